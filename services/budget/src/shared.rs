//! Live counters in Redis, shared by every replica of this service.
//!
//! Promises what the engine in memory promises, over all replicas: one script decides and holds, others end, reap and
//! book, each at once or not at all. Everything of a tenant lies in one slot of a cluster. Time is the server's. What
//! the present window has cost is never taken from Redis alone: the database has it, and Redis holds the total as read
//! there, with the count of changes it was read at, beside what the database cannot know yet (holds, and what was
//! settled and not yet recorded). So a total that was lost, or came late or twice, heals and never says too little.

mod answer;
mod book;
pub(crate) mod config;
mod decide;
mod fault;
mod home;
mod link;
mod names;
mod reap;
mod release;
mod scripts;
mod seed;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::account::Account;
use crate::engine::finish::Settlement;
use crate::engine::lease::RECORD_GRACE_MS;
use crate::engine::scopes::Standing;
use crate::metrics::Metrics;
use crate::policy::{Budget, Covering, Policies, Scope};
use crate::replays;
use crate::store::Store;
use crate::window::{Months, Window};
pub(crate) use fault::Fault;
pub(crate) use link::Link;
use names::Names;
pub(crate) use release::{Unused, take_back};
use scripts::SCRIPTS;

/// What every name in Redis begins with.
pub(crate) const PREFIX: &str = "headgate";
/// How many keys this process remembers to have entered.
const KEYS_KNOWN: u64 = 100_000;
/// How long after a window its accounts are kept, in milliseconds: longer than any record can be late.
const KEPT_MS: i64 = 40 * 86_400_000;

/// The engine on Redis.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policies: Policies,
    pub(crate) months: Months,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    store: Store,
    link: Link,
    names: Names,
    ttl_ms: i64,
    /// The present window, as far as is known: the server's clock has the last word.
    window: Mutex<Window>,
    /// Keys, and when this process entered them and their tenants, in milliseconds.
    entered: Cache<String, i64>,
    /// One key at a time is entered.
    entering: tokio::sync::Mutex<()>,
    /// One tenant at a time is learnt.
    seeding: tokio::sync::Mutex<()>,
    unused: mpsc::Sender<Unused>,
    behind: Arc<AtomicUsize>,
}

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) policies: Policies,
    pub(crate) months: Months,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) store: Store,
    pub(crate) link: Link,
    pub(crate) ttl_ms: i64,
    /// Sources of records that were not yet read up to where they stood at the start.
    pub(crate) behind: Arc<AtomicUsize>,
}

impl Shared {
    /// The engine, and the queue of leases to take back.
    pub(crate) fn new(parts: Parts, prefix: &str) -> (Self, mpsc::Receiver<Unused>) {
        let (unused, queue) = mpsc::channel(release::QUEUE);
        let window = Mutex::new(parts.months.at(parts.clock.unix_millis()));
        let Parts { policies, months, clock, metrics, store, link, ttl_ms, behind } = parts;
        let shared = Self {
            policies,
            months,
            clock,
            metrics,
            store,
            link,
            names: Names::new(prefix),
            ttl_ms,
            window,
            entered: Cache::new(KEYS_KNOWN),
            entering: tokio::sync::Mutex::default(),
            seeding: tokio::sync::Mutex::default(),
            unused,
            behind,
        };
        (shared, queue)
    }

    /// The connection.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Keeps a lease alive and tells until when; `None` when it has ended or expired.
    pub(crate) async fn extend(&self, id: Uuid, tenant_id: &str) -> Result<Option<i64>, Fault> {
        let names = self.names.tenant(tenant_id);
        let mut call = SCRIPTS.extend.prepare_invoke();
        call.key(names.lease(id)).key(names.open());
        call.arg(self.time()).arg(self.ttl_ms).arg(id.to_string());
        self.link.call(&call).await
    }

    /// Ends a lease as its holder reports. One that is not known is no error.
    pub(crate) async fn settle(
        &self,
        id: Uuid,
        tenant_id: &str,
        settlement: Settlement,
    ) -> Result<(), Fault> {
        let names = self.names.tenant(tenant_id);
        let response = settlement.response.filter(|r| r.len() <= replays::RESPONSE_MAX_BYTES);
        let mut call = SCRIPTS.settle.prepare_invoke();
        call.key(names.lease(id)).key(names.open()).key(names.replays());
        call.arg(self.time()).arg(names.prefix()).arg(id.to_string());
        call.arg(settlement.cost).arg(settlement.tokens);
        call.arg(u8::from(response.is_some())).arg(response.as_deref().unwrap_or_default());
        call.arg(replays::TTL_MS).arg(replays::TOTAL_MAX_BYTES).arg(RECORD_GRACE_MS);
        self.link.call(&call).await
    }

    /// Where a scope's budget stands.
    pub(crate) async fn standing(&self, scope: &Scope, budget: Budget) -> Result<Standing, Fault> {
        let window = self.window_at(self.now_ms());
        let account = match self.home(scope, window).await? {
            Some(tenant_id) => self.account(&tenant_id, scope, window).await?,
            None => Account::default(),
        };
        let (spent, held) = (account.spent(), account.held());
        Ok(Standing { scope: scope.clone(), budget, window, spent, held })
    }

    async fn account(&self, tenant_id: &str, scope: &Scope, window: Window) -> Result<Account, Fault> {
        self.know(tenant_id, window).await?;
        let names = self.names.tenant(tenant_id);
        let key_id = match scope {
            Scope::Key(id) => Some(id.as_str()),
            Scope::Tenant(_) => None,
        };
        let mut read = redis::cmd("HMGET");
        read.arg(names.account(window, key_id)).arg(&["b", "s", "h"]);
        let values: Vec<Option<String>> = self.link.command(&read).await?;
        answer::account(&values)
    }

    /// How much is left of a tenant's leases and idempotency keys, but for leases that were given back.
    #[cfg(test)]
    pub(crate) async fn left(&self, tenant_id: &str) -> usize {
        let names = self.names.tenant(tenant_id);
        let mut find = redis::cmd("KEYS");
        find.arg(format!("{}*", names.prefix()));
        let all: Vec<String> = self.link.command(&find).await.unwrap();
        let kinds = ["l:", "i:", "o"].map(|kind| format!("{}{kind}", names.prefix()));
        let mut left = 0;
        for name in all.iter().filter(|name| kinds.iter().any(|kind| name.starts_with(kind))) {
            let mut state = redis::cmd("HGET");
            state.arg(name).arg("s");
            let is_lease = name.starts_with(&kinds[0]);
            let state: Option<String> =
                if is_lease { self.link.command(&state).await.unwrap() } else { None };
            left += usize::from(state.as_deref() != Some("released"));
        }
        left
    }

    fn covering(&self, key_id: &str, tenant_id: &str) -> Covering {
        self.policies.covering(key_id, tenant_id)
    }

    /// What scripts are told of the time: nothing, as the server knows best, unless the clock is set by hand.
    fn time(&self) -> String {
        self.clock.set_by_hand().map(|micros| micros.to_string()).unwrap_or_default()
    }

    fn now_ms(&self) -> i64 {
        self.clock.unix_millis()
    }

    /// The window of a time, without asking the calendar each time.
    fn window_at(&self, now_ms: i64) -> Window {
        let mut window = self.window.lock();
        if !(window.start..window.end).contains(&now_ms) {
            *window = self.months.at(now_ms);
        }
        *window
    }

    /// Until when the accounts of a window are kept, in milliseconds.
    fn kept_until(window: Window) -> i64 {
        const YEAR_9999_MS: i64 = 253_402_300_799_000;
        window.end.clamp(0, YEAR_9999_MS) + KEPT_MS
    }
}

/// What a caller is told when the counters cannot be used.
pub(crate) fn unavailable(fault: Fault) -> Failure {
    Failure::unavailable("the counters of limits and budgets", fault)
}
