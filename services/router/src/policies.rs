//! Who has a budget, as budget's watch says: what may go on while budget is away (P10).

use std::time::Duration;

use foldhash::HashSet;
use headgate_proto::budget::v1::WatchPoliciesResponse;
use parking_lot::RwLock;

/// Every key and tenant that has a budget.
#[derive(Default)]
pub(crate) struct Policies(RwLock<State>);

#[derive(Default)]
struct State {
    /// `None` while nothing is known.
    known: Option<Known>,
    heard_unix_ms: i64,
}

struct Known {
    keys: HashSet<String>,
    tenants: HashSet<String>,
    every_tenant: bool,
}

impl Policies {
    /// Takes in what the watch says.
    pub(crate) fn apply(&self, message: WatchPoliciesResponse, now_unix_ms: i64) {
        let mut state = self.0.write();
        state.heard_unix_ms = now_unix_ms;
        if message.snapshot {
            let keys = message.key_ids_with_budget.into_iter().collect();
            let tenants = message.tenant_ids_with_budget.into_iter().collect();
            let every_tenant = message.every_tenant_has_budget;
            state.known = Some(Known { keys, tenants, every_tenant });
        }
    }

    /// Whether neither a key nor its tenant had a budget when the watch was last heard, which was no longer than
    /// `max_age` ago.
    pub(crate) fn know_no_budget(
        &self,
        key_id: &str,
        tenant_id: &str,
        now_unix_ms: i64,
        max_age: Duration,
    ) -> bool {
        let state = self.0.read();
        let age = now_unix_ms.saturating_sub(state.heard_unix_ms);
        let recent = u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) <= max_age);
        let none = |known: &Known| {
            !known.every_tenant && !known.keys.contains(key_id) && !known.tenants.contains(tenant_id)
        };
        recent && state.known.as_ref().is_some_and(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn only_what_is_known_to_have_no_budget_has_none() {
        let policies = Policies::default();
        assert!(!policies.know_no_budget("free", "tenant", 0, HOUR), "nothing is known");
        let message = WatchPoliciesResponse {
            snapshot: true,
            key_ids_with_budget: vec!["key".into()],
            tenant_ids_with_budget: vec!["rich".into()],
            every_tenant_has_budget: false,
        };
        policies.apply(message.clone(), 1_000);
        policies.apply(WatchPoliciesResponse::default(), 2_000);
        let none = |key, tenant, now| policies.know_no_budget(key, tenant, now, HOUR);
        assert!(none("free", "tenant", 2_000));
        assert!(!none("key", "tenant", 2_000) && !none("free", "rich", 2_000));
        assert!(none("free", "tenant", 3_602_000) && !none("free", "tenant", 3_602_001), "bounded");
        policies.apply(WatchPoliciesResponse { every_tenant_has_budget: true, ..message }, 2_000);
        assert!(!none("free", "tenant", 2_000), "the default covers it");
    }
}
