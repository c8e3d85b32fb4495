//! Which tenants have to be looked after, and whose tenant a key is: entered before a key's first request, and again
//! now and then, as these lie in other slots than the tenant's counters.

use super::{Fault, Shared};
use crate::policy::Scope;
use crate::window::Window;

/// How long an entry of this process is good for, in milliseconds.
const ENTERED_MS: i64 = 300_000;
/// How long a key's home is kept, in milliseconds.
const HOME_KEPT_MS: i64 = 40 * 86_400_000;
/// After which time a tenant without open leases is looked after no more, in milliseconds. Longer than an entry is good
/// for, so that nobody relies on one that was struck off.
pub(super) const STRUCK_AFTER_MS: i64 = 3 * ENTERED_MS;

impl Shared {
    /// Enters a key and its tenant, unless this process did so a short while ago.
    pub(super) async fn enter(&self, key_id: &str, tenant_id: &str) -> Result<(), Fault> {
        let now_ms = self.now_ms();
        if self.is_entered(key_id, now_ms) {
            return Ok(());
        }
        // A burst of first requests needs one entry.
        let _one_at_a_time = self.entering.lock().await;
        if self.is_entered(key_id, now_ms) {
            return Ok(());
        }
        let mut list = redis::cmd("ZADD");
        list.arg(self.names.list_of(tenant_id)).arg(now_ms).arg(tenant_id);
        let mut home = redis::cmd("SET");
        home.arg(self.names.home(key_id)).arg(tenant_id).arg("PX").arg(HOME_KEPT_MS);
        tokio::try_join!(self.link.command::<()>(&list), self.link.command::<()>(&home))?;
        self.entered.insert(key_id.to_owned(), now_ms);
        Ok(())
    }

    fn is_entered(&self, key_id: &str, now_ms: i64) -> bool {
        self.entered.get(key_id).is_some_and(|at| (0..ENTERED_MS).contains(&(now_ms - at)))
    }

    /// Whose tenant a scope is; `None` for a key that nobody ever used.
    pub(super) async fn home(&self, scope: &Scope, window: Window) -> Result<Option<String>, Fault> {
        let key_id = match scope {
            Scope::Tenant(id) => return Ok(Some(id.clone())),
            Scope::Key(id) => id,
        };
        let mut read = redis::cmd("GET");
        read.arg(self.names.home(key_id));
        match self.link.command(&read).await? {
            Some(tenant_id) => Ok(Some(tenant_id)),
            None => Ok(self.store.tenant_of_key(key_id, window.start).await?),
        }
    }
}
