//! Records are stored: their leases end, and the totals that the database has now count instead.

use std::collections::{HashMap, HashSet};

use super::names::account_suffix;
use super::{Fault, SCRIPTS, Shared};
use crate::policy::Scope;
use crate::record::Ended;
use crate::store::spend::{Change, LeaseSpend};
use crate::store::totals::Total;

/// Leases or accounts in one call, at most, so that the server is never held up for long.
const AT_ONCE: usize = 250;

/// What one tenant's records change.
#[derive(Default)]
struct Tenant<'a> {
    leases: Vec<&'a Ended>,
    /// By window and key; no key for the tenant as a whole.
    accounts: HashSet<(i64, Option<&'a str>)>,
}

impl Shared {
    /// Tells Redis what was stored; idempotent, in any order. `changes` says which window each row changed, if any.
    pub(crate) async fn booked(
        &self,
        rows: &[LeaseSpend<'_>],
        changes: &[Option<Change>],
    ) -> Result<(), Fault> {
        let mut tenants: HashMap<&str, Tenant<'_>> = HashMap::new();
        for (row, change) in rows.iter().zip(changes) {
            let tenant = tenants.entry(&row.ended.tenant_id).or_default();
            tenant.leases.push(row.ended);
            // Also where nothing changed: who stored it first may have died before it could tell.
            for window in [Some(row.window_start), change.map(|(_, window)| window)].into_iter().flatten() {
                tenant.accounts.insert((window, None));
                tenant.accounts.insert((window, Some(&row.ended.key_id)));
            }
        }
        for (tenant_id, tenant) in tenants {
            self.booked_of(tenant_id, tenant).await?;
        }
        Ok(())
    }

    async fn booked_of(&self, tenant_id: &str, tenant: Tenant<'_>) -> Result<(), Fault> {
        let mut totals = Vec::with_capacity(tenant.accounts.len());
        for (window, key_id) in tenant.accounts {
            let scope = match key_id {
                Some(id) => Scope::Key(id.to_owned()),
                None => Scope::Tenant(tenant_id.to_owned()),
            };
            if let Some((spent, version)) = self.store.total(&scope, window).await? {
                totals.push((window, Total { scope, spent, version }));
            }
        }
        // A total goes before the leases it counts, or with them: else neither would count for a moment. Where all fit
        // into one call, nothing is ever seen to count twice.
        let split = totals.len().saturating_sub(AT_ONCE);
        let (before, with) = totals.split_at(split);
        for totals in before.chunks(AT_ONCE) {
            self.book(tenant_id, &[], totals).await?;
        }
        let first = tenant.leases.len().min(AT_ONCE);
        let (first, later) = tenant.leases.split_at(first);
        self.book(tenant_id, first, with).await?;
        for leases in later.chunks(AT_ONCE) {
            self.book(tenant_id, leases, &[]).await?;
        }
        Ok(())
    }

    async fn book(&self, tenant_id: &str, leases: &[&Ended], totals: &[(i64, Total)]) -> Result<(), Fault> {
        let names = self.names.tenant(tenant_id);
        let leases: Vec<_> = leases.iter().filter_map(|ended| Some((ended.id?, *ended))).collect();
        let mut call = SCRIPTS.book.prepare_invoke();
        call.key(names.open());
        call.arg(self.time()).arg(names.prefix()).arg(leases.len());
        for (id, ended) in leases {
            call.arg(id.to_string()).arg(ended.tokens).arg(u8::from(ended.abandoned));
        }
        for (window_start, total) in totals {
            let key_id = match &total.scope {
                Scope::Key(id) => Some(id.as_str()),
                Scope::Tenant(_) => None,
            };
            let window = self.months.at(*window_start);
            call.arg(account_suffix(*window_start, key_id)).arg(total.spent).arg(total.version);
            call.arg(Self::kept_until(window));
        }
        self.link.call(&call).await
    }
}
