//! People that the configuration names.

use headgate_access::Author;
use headgate_kit::{Failure, ids};
use headgate_proto::common::v1::Role;
use secrecy::SecretString;

use super::model::{PasswordHash, User};
use super::{People, log_out_and_update, membership, store, void_and_update, written};
use crate::bootstrap::Entries;
use crate::draft::Draft;

/// Someone who shall exist.
pub(crate) struct Seed {
    /// In lower case.
    pub email: String,
    pub name: String,
    /// For who has none.
    pub credential: Option<Credential>,
    pub super_admin: bool,
    /// Tenants, and what they are in them.
    pub roles: Vec<(String, Role)>,
}

/// What a password is seeded from.
pub(crate) enum Credential {
    Password(SecretString),
    Hash(PasswordHash),
}

/// The same with the password hashed, if that is needed.
struct Ready {
    seed: Seed,
    hash: Option<PasswordHash>,
}

impl People {
    /// Makes people, or brings them to what is said of them, of memberships as far as they are due; all of it or nothing. It
    /// takes no right away, sets no password of who has one that is theirs, and lets nobody in again who is suspended.
    pub(crate) async fn seed(&self, by: Author, seeds: Vec<Seed>, entries: Entries) -> Result<(), Failure> {
        let mut ready = Vec::with_capacity(seeds.len());
        for mut seed in seeds {
            let known = store::user_with_email(&mut self.reading().await?, &seed.email).await?;
            let has_one = known.is_some_and(|user| user.password.is_some() && user.vouched_by.is_none());
            let hash = match seed.credential.take().filter(|_| !has_one) {
                Some(Credential::Password(password)) => Some(self.hasher.hash(password).await?),
                Some(Credential::Hash(hash)) => Some(hash),
                None => None,
            };
            ready.push(Ready { seed, hash });
        }
        let clock = self.registry.clock.clone();
        let work = async move |draft: &mut Draft| {
            let due = entries.due_memberships(draft).await?;
            for Ready { mut seed, hash } in ready {
                seed.roles.retain(|(tenant_id, _)| due.has(tenant_id, &seed.email));
                if !seed.super_admin && seed.roles.is_empty() {
                    continue;
                }
                let id = ids::prefixed("user", &clock);
                plant(draft, id, seed, hash).await?;
            }
            Ok(())
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }
}

async fn plant(draft: &mut Draft, id: String, seed: Seed, hash: Option<PasswordHash>) -> Result<(), Failure> {
    let known = store::user_with_email(draft.reading(), &seed.email).await?;
    let mut user = match known {
        Some(known) => known,
        None => {
            let user = User::new(id, seed.email, seed.name, draft.now_ms);
            super::user::insert(draft, user).await?
        }
    };
    // What the configuration says is said by hand, whatever groups say.
    let promoted = seed.super_admin && (!user.super_admin || user.super_admin_issuer.is_some());
    // The configuration vouches for whom it names; a password that a tenant's owner gave them makes way for its own.
    let confirmed = user.vouched_by.take().is_some();
    let hash = hash.filter(|_| confirmed || user.password.is_none());
    if promoted || confirmed || hash.is_some() {
        if promoted {
            (user.super_admin, user.super_admin_issuer) = (true, None);
        }
        user.password = hash.or(user.password);
        if confirmed {
            log_out_and_update(draft, &mut user).await?;
        } else {
            void_and_update(draft, &mut user).await?;
        }
    }
    for (tenant_id, role) in seed.roles {
        if draft.directory().tenant(&tenant_id).is_none() {
            let message = format!("bootstrap membership of {}: there is no tenant {tenant_id}", user.email);
            return Err(Failure::invalid("bootstrap.memberships", message));
        }
        match store::membership(draft.reading(), &tenant_id, &user.id).await? {
            Some(known) if known.role == role && known.issuer.is_none() => {}
            Some(mut known) => {
                (known.role, known.issuer) = (role, None);
                known.revision = draft.revision();
                written::put_membership(draft, &known, &user).await?;
                void_and_update(draft, &mut user).await?;
            }
            None => drop(membership::join(draft, tenant_id, &mut user, role).await?),
        }
    }
    Ok(())
}
