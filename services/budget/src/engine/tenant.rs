//! Everything one tenant has running and has spent. One lock guards it, so a decision sees all of it or nothing.

use std::collections::HashMap;

use uuid::Uuid;

use crate::account::Account;
use crate::engine::lease::{Idempotency, Lease};
use crate::limits::Counters;
use crate::policy::{Budget, Policy, Scope};
use crate::replays::IdempotencyKey;
use crate::window::{Months, Window};

/// The counters and the money of a key, or of a tenant as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScopeState {
    pub(crate) counters: Counters,
    pub(crate) account: Account,
}

/// What holds for a key and for its tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covering {
    pub(crate) key: Policy,
    pub(crate) tenant: Policy,
}

/// Where a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) scope: Scope,
    pub(crate) budget: Budget,
    pub(crate) window: Window,
    pub(crate) spent: i64,
    pub(crate) held: i64,
}

/// One tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(super) window: Window,
    pub(super) own: ScopeState,
    pub(super) keys: HashMap<String, ScopeState>,
    pub(super) leases: HashMap<Uuid, Lease>,
    /// The idempotency keys of requests that run.
    pub(super) running: HashMap<IdempotencyKey, (Uuid, [u8; 32])>,
}

impl Tenant {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            own: ScopeState::default(),
            keys: HashMap::new(),
            leases: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// Starts the accounts anew once the month is over. A clock that goes backwards changes nothing.
    pub(crate) fn roll(&mut self, now_ms: i64, months: &Months) {
        if now_ms < self.window.end {
            return;
        }
        self.window = months.at(now_ms);
        self.own.account = Account::default();
        for key in self.keys.values_mut() {
            key.account = Account::default();
        }
    }

    /// What a store remembers of the present window.
    pub(crate) fn restore(&mut self, scope: &Scope, spent: i64) {
        match scope {
            Scope::Tenant(_) => self.own.account = Account::booked(spent),
            Scope::Key(id) => self.keys.entry(id.clone()).or_default().account = Account::booked(spent),
        }
    }

    pub(crate) fn knows(&self, key_id: &str) -> bool {
        self.keys.contains_key(key_id)
    }

    /// Where a scope of this tenant stands.
    pub(crate) fn standing(&self, scope: &Scope, budget: Budget) -> Standing {
        let account = match scope {
            Scope::Tenant(_) => self.own.account,
            Scope::Key(id) => self.keys.get(id).map(|k| k.account).unwrap_or_default(),
        };
        let (spent, held) = (account.spent(), account.held());
        Standing { scope: scope.clone(), budget, window: self.window, spent, held }
    }

    /// The covering budget with the least share left.
    pub(super) fn nearest(&self, key_id: &str, tenant_id: &str, covering: &Covering) -> Option<Standing> {
        let account = self.keys.get(key_id).map(|k| k.account).unwrap_or_default();
        let key = covering.key.budget.map(|b| (b, account.remaining(b.limit)));
        let tenant = covering.tenant.budget.map(|b| (b, self.own.account.remaining(b.limit)));
        let tenant_is_nearer = match (key, tenant) {
            (None, None) => return None,
            (Some(key), Some(tenant)) => share_is_less(tenant, key),
            (key, _) => key.is_none(),
        };
        if tenant_is_nearer {
            let (budget, _) = tenant?;
            return Some(self.standing(&Scope::Tenant(tenant_id.to_owned()), budget));
        }
        let (budget, _) = key?;
        Some(self.standing(&Scope::Key(key_id.to_owned()), budget))
    }

    /// Runs `change` on the accounts a lease is held in, unless their window is over.
    pub(super) fn charge(&mut self, lease: &Lease, change: impl Fn(&mut Account)) {
        if lease.window_start != self.window.start {
            return;
        }
        change(&mut self.own.account);
        change(&mut self.keys.entry(lease.intent.key_id.clone()).or_default().account);
    }

    /// Frees the slots of a lease.
    pub(super) fn free_slots(&mut self, lease: &Lease) {
        self.own.counters.finish();
        if let Some(key) = self.keys.get_mut(&lease.intent.key_id) {
            key.counters.finish();
        }
    }

    /// Replaces the tokens a lease was charged by those it took. `now` is in microseconds.
    pub(super) fn correct_tokens(&mut self, lease: &Lease, took: u32, covering: &Covering, now: i64) {
        self.own.counters.correct(&covering.tenant.limits, lease.charged.tenant, took, now);
        if let Some(key) = self.keys.get_mut(&lease.intent.key_id) {
            key.counters.correct(&covering.key.limits, lease.charged.key, took, now);
        }
    }

    /// Frees the idempotency key of a lease.
    pub(super) fn free_key(&mut self, idempotency: Option<&Idempotency>) {
        if let Some(idempotency) = idempotency {
            self.running.remove(&idempotency.key);
        }
    }
}

/// Whether `a` has a smaller share of its limit left than `b`.
fn share_is_less((a, left_a): (Budget, i64), (b, left_b): (Budget, i64)) -> bool {
    let product = |left: i64, limit: i64| i128::from(left) * i128::from(limit.max(1));
    product(left_a, b.limit) < product(left_b, a.limit)
}
