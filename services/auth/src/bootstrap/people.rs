//! People that the configuration names, and whether it does so well. Pure.

use std::collections::BTreeMap;

use headgate_access::role_named;
use headgate_kit::Failure;
use headgate_kit::config::Faults;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Bootstrap, redacted};
use crate::people::{Credential, Seed, check_hash, check_password, login};
use crate::validate;

/// Someone who shall exist and be a super admin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapAdmin {
    /// What they log in with: an e-mail address, or 1 to 64 letters, digits, `.`, `_` and `-`.
    pub email: String,
    /// The name of who is made; at most 128 characters.
    #[serde(default)]
    pub name: String,
    /// The password of who has none. Shown as `[redacted]`.
    #[serde(default, serialize_with = "redacted")]
    pub password: Option<SecretString>,
    /// Instead of it: its Argon2id hash in the PHC string form, `$argon2id$...`. Shown as `[redacted]`.
    #[serde(default, serialize_with = "redacted")]
    pub password_hash: Option<SecretString>,
}

/// Someone who shall belong to a tenant. They are made where there is nobody of that address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapMembership {
    /// Among the tenants of this bootstrap or made before.
    pub tenant_id: String,
    /// As of an admin.
    pub email: String,
    /// What they are there: `viewer`, `member`, `admin` or `owner`.
    pub role: String,
    /// The password of who has none. Shown as `[redacted]`.
    #[serde(default, serialize_with = "redacted")]
    pub password: Option<SecretString>,
    /// Instead of it: its hash, as of an admin.
    #[serde(default, serialize_with = "redacted")]
    pub password_hash: Option<SecretString>,
}

/// The people that are well named, each once.
pub(super) fn check(bootstrap: &Bootstrap, faults: &mut Faults) -> Vec<Seed> {
    let mut seeds = BTreeMap::new();
    for (i, admin) in bootstrap.admin_users.iter().enumerate() {
        let at = format!("bootstrap.admin_users[{i}]");
        faults.keep(validate::label(&format!("{at}.name"), &admin.name));
        let secrets = (admin.password.as_ref(), admin.password_hash.as_ref());
        if let Some(seed) = person(&mut seeds, &at, &admin.email, secrets, faults) {
            seed.super_admin = true;
            seed.name.clone_from(&admin.name);
        }
    }
    for (i, member) in bootstrap.memberships.iter().enumerate() {
        let at = format!("bootstrap.memberships[{i}]");
        let role = faults.keep(role(&format!("{at}.role"), &member.role));
        let secrets = (member.password.as_ref(), member.password_hash.as_ref());
        let seed = person(&mut seeds, &at, &member.email, secrets, faults);
        let Some((seed, role)) = seed.zip(role) else { continue };
        if seed.roles.iter().any(|(tenant_id, _)| *tenant_id == member.tenant_id) {
            faults.keep::<()>(Err(twice(&format!("{at}.tenant_id"))));
        }
        seed.roles.push((member.tenant_id.clone(), role));
    }
    seeds.into_values().collect()
}

/// Whoever has this address, with the password if there is one.
fn person<'a>(
    seeds: &'a mut BTreeMap<String, Seed>,
    at: &str,
    email: &str,
    secrets: (Option<&SecretString>, Option<&SecretString>),
    faults: &mut Faults,
) -> Option<&'a mut Seed> {
    let email = faults.keep(login(&format!("{at}.email"), email));
    let credential = faults.keep(credential(at, secrets));
    let (email, credential) = email.zip(credential)?;
    let new = || Seed {
        email: email.clone(),
        name: String::new(),
        credential: None,
        super_admin: false,
        roles: Vec::new(),
    };
    let seed = seeds.entry(email.clone()).or_insert_with(new);
    if credential.is_some() {
        if seed.credential.is_some() {
            faults.keep::<()>(Err(twice(&format!("{at}.password"))));
        }
        seed.credential = credential;
    }
    Some(seed)
}

fn credential(
    at: &str,
    secrets: (Option<&SecretString>, Option<&SecretString>),
) -> Result<Option<Credential>, Failure> {
    let (password, hash) = (format!("{at}.password"), format!("{at}.password_hash"));
    match secrets {
        (Some(_), Some(_)) => {
            Err(Failure::invalid(&hash, format!("{hash} stands beside a password; give one of them")))
        }
        (Some(given), None) => {
            check_password(&password, given.expose_secret())?;
            Ok(Some(Credential::Password(given.clone())))
        }
        (None, Some(given)) => Ok(Some(Credential::Hash(check_hash(&hash, given.expose_secret())?))),
        (None, None) => Ok(None),
    }
}

fn role(field: &str, name: &str) -> Result<headgate_access::Role, Failure> {
    let unknown = || Failure::invalid(field, format!("{field} must be viewer, member, admin or owner"));
    role_named(name).ok_or_else(unknown)
}

fn twice(field: &str) -> Failure {
    Failure::invalid(field, format!("{field} stands twice"))
}
