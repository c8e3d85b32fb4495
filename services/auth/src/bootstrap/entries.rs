//! What a bootstrap says, thing by thing, to tell what was applied of it before.

use headgate_kit::Failure;
use headgate_kit::seal::MasterKey;
use headgate_kit::seeds::{self, Due, Entry};

use super::Bootstrap;
use crate::draft::Draft;
use crate::people::login;
use crate::pepper::Pepper;

pub(super) const TENANT: &str = "tenant";
pub(super) const API_KEY: &str = "api_key";
const MEMBERSHIP: &str = "membership";

/// An entry for each tenant, key and membership, and what digests of them are sealed under. Super admins have none: they are
/// made so at each start.
#[derive(Clone)]
pub(crate) struct Entries {
    entries: Vec<Entry>,
    key: MasterKey,
}

/// The memberships that are due.
pub(crate) struct DueMemberships(Due);

impl Entries {
    /// Of a bootstrap that was found good.
    pub(super) fn of(bootstrap: &Bootstrap, pepper: &Pepper) -> Result<Self, Failure> {
        let tenants = bootstrap.tenants.iter().map(|tenant| Entry::new(TENANT, &tenant.id, tenant, &[]));
        let keys = bootstrap.api_keys.iter().map(|key| {
            let id = key.id().unwrap_or_default();
            Entry::new(API_KEY, &id, key, &[Some(&key.key)])
        });
        let members = bootstrap.memberships.iter().map(|member| {
            let email = login("bootstrap.memberships", &member.email)?;
            let secrets = [member.password.as_ref(), member.password_hash.as_ref()];
            Entry::new(MEMBERSHIP, &membership(&member.tenant_id, &email), member, &secrets)
        });
        let entries = tenants.chain(keys).chain(members).collect::<Result<_, _>>()?;
        Ok(Self { entries, key: pepper.sealing_key() })
    }

    /// What is due of these kinds. It is noted to be applied with this change.
    pub(super) async fn due(&self, draft: &mut Draft, kinds: &[&str]) -> Result<Due, Failure> {
        let away = |cause| Failure::unavailable("the key store", cause);
        let applied = seeds::applied(draft.reading()).await.map_err(away)?;
        let due = Due::of(&self.entries, &applied, &self.key)?.only(kinds);
        if !due.is_empty() {
            due.write(draft.writing()).await.map_err(away)?;
        }
        Ok(due)
    }

    /// The memberships that are due, which are noted to be applied with this change.
    pub(crate) async fn due_memberships(&self, draft: &mut Draft) -> Result<DueMemberships, Failure> {
        self.due(draft, &[MEMBERSHIP]).await.map(DueMemberships)
    }
}

impl DueMemberships {
    /// Whether what is said of a person in a tenant is to be applied. Their address is in lower case.
    pub(crate) fn has(&self, tenant_id: &str, email: &str) -> bool {
        self.0.has(MEMBERSHIP, &membership(tenant_id, email))
    }
}

fn membership(tenant_id: &str, email: &str) -> String {
    format!("{tenant_id} {email}")
}
