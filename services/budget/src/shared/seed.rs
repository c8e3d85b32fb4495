//! A tenant that Redis knows nothing of, or nothing sure: new, or lost with the server's memory.
//!
//! A server that was started again may have read an old file, and one that was promoted may lack the last writes;
//! neither can prove that it has everything. So counters are believed only by the run of the server that kept them, which
//! every decision compares; whatever came from elsewhere counts as lost. Leases of an old copy stay as they are: those
//! that run are extended, and the others expire into records, which change nothing where a lease has one already.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::names::{TenantNames, account_suffix};
use super::{Fault, SCRIPTS, Shared};
use crate::policy::Scope;
use crate::store::totals::Total;
use crate::window::Window;

/// Accounts set by one call, at most, so that the server is never held up for long.
const ACCOUNTS: usize = 200;

/// For how long a tenant may be on its way into Redis, in milliseconds.
const JUST_BEGUN_MS: i64 = 5000;
/// How often, and how many times, to look whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: usize = 100;

impl Shared {
    /// Makes sure that Redis knows what a tenant's window has cost.
    ///
    /// The database remembers which tenants were ever counted in Redis. One that was, and is not there (or not sure to
    /// be there as it was), was lost: what its running requests hold is not known, so its budgets stay closed for the
    /// time to live of a lease. Nothing is told from a database that lacks what waited at the start.
    pub(super) async fn know(&self, tenant_id: &str, window: Window) -> Result<(), Fault> {
        let names = self.names.tenant(tenant_id);
        if self.is_known(&names).await? {
            return Ok(());
        }
        let _one_at_a_time = self.seeding.lock().await;
        if self.is_known(&names).await? {
            return Ok(());
        }
        if self.behind.load(Ordering::Acquire) > 0 {
            return Err(Fault::Behind);
        }
        let since = self.store.begin_counting(tenant_id, self.now_ms()).await?;
        if let Some(since) = since
            && self.now_ms() - since < JUST_BEGUN_MS
            && self.comes_soon(&names).await?
        {
            return Ok(());
        }
        let is_new = since.is_none();
        let totals = self.store.totals_of_tenant(tenant_id, window.start).await?;
        for totals in totals.chunks(ACCOUNTS) {
            self.seed(&names, window, totals, true, 0).await?;
        }
        let pause_ms = if is_new { 0 } else { self.ttl_ms };
        let is_first = self.seed(&names, window, &[], false, pause_ms).await?;
        if is_first && !is_new {
            self.metrics.rebuilt_tenants.inc();
            tracing::warn!(tenant_id, pause_ms, "counters were lost and are rebuilt from what is stored");
        }
        Ok(())
    }

    /// Whether the replica that met the tenant first tells Redis about it after all.
    async fn comes_soon(&self, names: &TenantNames) -> Result<bool, Fault> {
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.is_known(names).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_known(&self, names: &TenantNames) -> Result<bool, Fault> {
        let mut call = SCRIPTS.known.prepare_invoke();
        call.key(names.counters(None));
        self.link.call(&call).await
    }

    async fn seed(
        &self,
        names: &TenantNames,
        window: Window,
        totals: &[Total],
        more_come: bool,
        pause_ms: i64,
    ) -> Result<bool, Fault> {
        let mut call = SCRIPTS.seed.prepare_invoke();
        call.key(names.counters(None));
        call.arg(self.time()).arg(names.prefix()).arg(u8::from(more_come)).arg(pause_ms);
        for total in totals {
            let key_id = match &total.scope {
                Scope::Key(id) => Some(id.as_str()),
                Scope::Tenant(_) => None,
            };
            call.arg(account_suffix(window.start, key_id)).arg(total.spent).arg(total.version);
            call.arg(Self::kept_until(window));
        }
        self.link.call(&call).await
    }
}
