//! Checks a bootstrap by itself. Pure, and goes on after the first fault.

use std::collections::{BTreeMap, HashSet};

use headgate_kit::Failure;
use headgate_kit::config::{Faults, Problem};
use secrecy::ExposeSecret as _;

use super::{Bootstrap, BootstrapKey, BootstrapMembership, BootstrapTenant, people};
use crate::people::Seed;
use crate::{key, validate};

const MIN_SECRET: usize = 8;

/// A key of the bootstrap, found good.
pub(super) struct Sound<'a> {
    pub id: String,
    pub tenant_id: &'a str,
    pub name: &'a str,
    pub prefix: &'a str,
    pub secret: &'a str,
    pub scopes: Vec<String>,
    pub models: Option<Vec<String>>,
    pub ip_allowlist: Option<Vec<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Bootstrap {
    /// Everything that is wrong with it by itself, with its path in the configuration. No secret is shown.
    ///
    /// `first_start` says that no tenant was made before, so that the owners of keys must stand here.
    #[must_use]
    pub fn problems(&self, first_start: bool) -> Vec<Problem> {
        let mut problems = check(self).2.into_problems();
        let ownerless = |key: &BootstrapKey| first_start && !self.names_tenant(&key.tenant_id);
        for (i, _) in self.api_keys.iter().enumerate().filter(|(_, key)| ownerless(key)) {
            let path = format!("bootstrap.api_keys[{i}].tenant_id");
            problems.push(Problem::new(path, "names no tenant"));
        }
        let homeless = |member: &BootstrapMembership| first_start && !self.names_tenant(&member.tenant_id);
        for (i, _) in self.memberships.iter().enumerate().filter(|(_, member)| homeless(member)) {
            let path = format!("bootstrap.memberships[{i}].tenant_id");
            problems.push(Problem::new(path, "names no tenant"));
        }
        problems
    }

    fn names_tenant(&self, id: &str) -> bool {
        self.tenants.iter().any(|tenant| tenant.id == id)
    }
}

/// The keys and people that are good, and every fault of the whole.
pub(super) fn check(bootstrap: &Bootstrap) -> (Vec<Sound<'_>>, Vec<Seed>, Faults) {
    let mut faults = Faults::default();
    check_tenants(&bootstrap.tenants, &mut faults);
    let keys = check_keys(&bootstrap.api_keys, &mut faults);
    let seeds = people::check(bootstrap, &mut faults);
    (keys, seeds, faults)
}

fn check_tenants(tenants: &[BootstrapTenant], faults: &mut Faults) {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for (i, tenant) in tenants.iter().enumerate() {
        let field = |name| format!("bootstrap.tenants[{i}].{name}");
        faults.keep(validate::id(&field("id"), &tenant.id));
        faults.keep(validate::tenant_name(&field("name"), &tenant.name));
        faults.keep(unique(&field("id"), &mut ids, &tenant.id));
        faults.keep(unique(&field("name"), &mut names, &tenant.name));
    }
}

fn check_keys<'a>(keys: &'a [BootstrapKey], faults: &mut Faults) -> Vec<Sound<'a>> {
    let (mut ids, mut prefixes) = (HashSet::new(), HashSet::new());
    let mut sound = Vec::with_capacity(keys.len());
    for (i, key) in keys.iter().enumerate() {
        let at = format!("bootstrap.api_keys[{i}]");
        if let Some(key) = check_key(&at, key, faults) {
            faults.keep(unique(&format!("{at}.id"), &mut ids, &key.id));
            faults.keep(unique(&format!("{at}.key"), &mut prefixes, key.prefix));
            sound.push(key);
        }
    }
    sound
}

fn check_key<'a>(at: &str, key: &'a BootstrapKey, faults: &mut Faults) -> Option<Sound<'a>> {
    let parts = faults.keep(parse(&format!("{at}.key"), key));
    let id = key.id();
    if let Some(id) = &id {
        faults.keep(validate::id(&format!("{at}.id"), id));
    }
    faults.keep(validate::label(&format!("{at}.name"), &key.name));
    let scopes = faults.keep(validate::scopes(&format!("{at}.scopes"), &key.scopes));
    let models = key.models.as_ref().map(|list| validate::models(&format!("{at}.models"), list));
    let models = faults.keep(models.transpose());
    let networks =
        key.ip_allowlist.as_ref().map(|list| validate::networks(&format!("{at}.ip_allowlist"), list));
    let ip_allowlist = faults.keep(networks.transpose());
    if let Some(notes) = &key.metadata {
        faults.keep(validate::metadata(&format!("{at}.metadata"), notes));
    }
    let key::Presented { prefix, secret } = parts?;
    Some(Sound {
        id: id?,
        tenant_id: &key.tenant_id,
        name: &key.name,
        prefix,
        secret,
        scopes: scopes?,
        models: models?,
        ip_allowlist: ip_allowlist?,
        metadata: key.metadata.clone(),
    })
}

fn parse<'a>(field: &str, key: &'a BootstrapKey) -> Result<key::Presented<'a>, Failure> {
    let parts = key::parse(key.key.expose_secret()).filter(|parts| parts.secret.len() >= MIN_SECRET);
    parts.ok_or_else(|| {
        let form = "a key is sk-<prefix>.<secret> with a secret of 8 to 256 visible ASCII characters";
        Failure::invalid(field, form)
    })
}

/// Does not show the value: it may be a secret in the wrong place.
fn unique(field: &str, seen: &mut HashSet<String>, value: &str) -> Result<(), Failure> {
    if seen.insert(value.to_owned()) {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} stands twice")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(json: &str, first_start: bool) -> Vec<String> {
        let bootstrap: Bootstrap = serde_json::from_str(json).unwrap();
        bootstrap.problems(first_start).into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let json = r#"{
            "tenants": [{"id": "a b", "name": ""}, {"id": "t", "name": "T"}, {"id": "t", "name": "T"}],
            "api_keys": [
                {"tenant_id": "t", "key": "sk-a.short", "scopes": ["all"], "id": "a b"},
                {"tenant_id": "t", "key": "sk-b.long-enough"},
                {"tenant_id": "t", "key": "sk-b.long-enough"}
            ]
        }"#;
        let wanted = [
            "bootstrap.tenants[0].id",
            "bootstrap.tenants[0].name",
            "bootstrap.tenants[2].id",
            "bootstrap.tenants[2].name",
            "bootstrap.api_keys[0].key",
            "bootstrap.api_keys[0].id",
            "bootstrap.api_keys[0].scopes",
            "bootstrap.api_keys[2].id",
            "bootstrap.api_keys[2].key",
        ];
        assert_eq!(paths(json, true), wanted);
    }

    #[test]
    fn every_fault_of_people_is_found_and_no_secret_shown() {
        let json = r#"{
            "tenants": [{"id": "t", "name": "T"}],
            "admin_users": [
                {"email": "a b"},
                {"email": "ada", "password": "short"},
                {"email": "bob", "password": "long enough", "password_hash": "planted"},
                {"email": "eve", "password_hash": "planted"},
                {"email": "zoe", "password": "long enough"}
            ],
            "memberships": [
                {"tenant_id": "t", "email": "zoe", "role": "king"},
                {"tenant_id": "t", "email": "ZOE", "role": "owner", "password": "long enough"},
                {"tenant_id": "t", "email": "zoe", "role": "viewer"},
                {"tenant_id": "u", "email": "zoe", "role": "viewer"}
            ]
        }"#;
        let wanted = [
            "bootstrap.admin_users[0].email",
            "bootstrap.admin_users[1].password",
            "bootstrap.admin_users[2].password_hash",
            "bootstrap.admin_users[3].password_hash",
            "bootstrap.memberships[0].role",
            "bootstrap.memberships[1].password",
            "bootstrap.memberships[2].tenant_id",
            "bootstrap.memberships[3].tenant_id",
        ];
        assert_eq!(paths(json, true), wanted);
        let bootstrap: Bootstrap = serde_json::from_str(json).unwrap();
        let shown = format!("{:?} {bootstrap:?}", bootstrap.problems(true));
        let shown = shown + &serde_json::to_string(&bootstrap).unwrap();
        assert!(!shown.contains("planted") && !shown.contains("long enough"), "{shown}");
    }

    #[test]
    fn an_owner_may_have_been_made_before() {
        let json = r#"{"api_keys": [{"tenant_id": "t", "key": "sk-a.long-enough"}]}"#;
        assert_eq!(paths(json, true), ["bootstrap.api_keys[0].tenant_id"]);
        assert!(paths(json, false).is_empty());
    }
}
