//! The counters and the money of a tenant as a whole and of each of its keys.

use crate::account::Account;
use crate::engine::admit::Ask;
use crate::engine::lease::{Charged, Lease, State};
use crate::limits::Counters;
use crate::maps::IdMap;
use crate::policy::{Budget, Covering, Policies, Policy, Scope};
use crate::window::{Months, Window};

/// The counters and the money of a key, or of a tenant as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScopeState {
    pub(crate) counters: Counters,
    pub(crate) account: Account,
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

/// A tenant and its keys.
#[derive(Debug)]
pub(crate) struct Scopes {
    pub(super) window: Window,
    pub(super) own: ScopeState,
    pub(super) keys: IdMap<String, ScopeState>,
}

impl Scopes {
    pub(super) fn new(window: Window) -> Self {
        Self { window, own: ScopeState::default(), keys: IdMap::default() }
    }

    /// A tenant and one of its keys, as they stand.
    pub(crate) fn of(window: Window, own: ScopeState, key_id: &str, key: ScopeState) -> Self {
        let mut keys = IdMap::default();
        keys.insert(key_id.to_owned(), key);
        Self { window, own, keys }
    }

    /// Starts the accounts anew once the month is over. A clock that goes backwards changes nothing.
    pub(super) fn roll(&mut self, now_ms: i64, months: &Months) {
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
    pub(super) fn restore(&mut self, scope: &Scope, spent: i64) {
        let account = Account::booked(spent);
        match scope {
            Scope::Tenant(_) => self.own.account = account,
            Scope::Key(id) => with_key(&mut self.keys, id, |key| key.account = account),
        }
    }

    /// Takes what a request needs, from tenant and key. `now` is in microseconds.
    pub(super) fn take(&mut self, ask: &Ask, hold: i64, covering: &Covering, now: i64) -> Charged {
        let take = |scope: &mut ScopeState, policy: &Policy| {
            scope.account.hold(hold);
            scope.counters.take(&policy.limits, ask.load(), now)
        };
        Charged {
            tenant: take(&mut self.own, &covering.tenant),
            key: with_key(&mut self.keys, &ask.intent.key_id, |key| take(key, &covering.key)),
        }
    }

    /// Takes what a lease of an earlier process holds, or has cost.
    pub(super) fn resume(&mut self, lease: &Lease) {
        let pays = lease.window_start == self.window.start;
        let resume = |scope: &mut ScopeState| match lease.state {
            State::Settled { cost, .. } if pays => scope.account.settle(0, cost),
            State::Open => {
                scope.counters.resume(lease.intent.streamed);
                if pays {
                    scope.account.hold(lease.hold);
                }
            }
            _ => {}
        };
        resume(&mut self.own);
        with_key(&mut self.keys, &lease.intent.key_id, resume);
    }

    /// Frees the slots of a lease, and changes the accounts it is held in as `charge` does.
    pub(super) fn close(&mut self, lease: &Lease, change: impl Fn(&mut Account)) {
        let pays = lease.window_start == self.window.start;
        let close = |scope: &mut ScopeState| {
            scope.counters.finish(lease.intent.streamed);
            if pays {
                change(&mut scope.account);
            }
        };
        close(&mut self.own);
        with_key(&mut self.keys, &lease.intent.key_id, close);
    }

    /// A lease was given back: its slots, its hold, and what its rates were charged at `since`. Times are in microseconds.
    pub(super) fn give_back(&mut self, lease: &Lease, since: i64, now: i64) {
        self.close(lease, |account| account.release(lease.hold));
        self.own.counters.give_back(lease.charged.tenant, since, now);
        with_key(&mut self.keys, &lease.intent.key_id, |key| {
            key.counters.give_back(lease.charged.key, since, now);
        });
    }

    /// Runs `change` on the accounts a lease is held in, unless their window is over.
    pub(super) fn charge(&mut self, lease: &Lease, change: impl Fn(&mut Account)) {
        if lease.window_start == self.window.start {
            change(&mut self.own.account);
            with_key(&mut self.keys, &lease.intent.key_id, |key| change(&mut key.account));
        }
    }

    /// Replaces the tokens a lease was charged by those it took. `now` is in microseconds.
    pub(super) fn correct_tokens(&mut self, lease: &Lease, took: u32, policies: &Policies, now: i64) {
        let intent = &lease.intent;
        if let Some(charged) = lease.charged.tenant {
            let limits = policies.of_tenant(&intent.tenant_id).limits;
            self.own.counters.correct(&limits, charged, took, now);
        }
        if let Some(charged) = lease.charged.key {
            let limits = policies.of_key(&intent.key_id).limits;
            with_key(&mut self.keys, &intent.key_id, |key| {
                key.counters.correct(&limits, charged, took, now);
            });
        }
    }

    /// A record changed the spend of the present window.
    pub(super) fn book(&mut self, key_id: &str, delta: i64) {
        self.own.account.book(delta);
        with_key(&mut self.keys, key_id, |key| key.account.book(delta));
    }

    /// Where a scope stands.
    pub(super) fn standing(&self, scope: &Scope, budget: Budget) -> Standing {
        let account = match scope {
            Scope::Tenant(_) => self.own.account,
            Scope::Key(id) => self.key_account(id),
        };
        self.stands(scope.clone(), budget, account)
    }

    /// The covering budget with the least share left.
    pub(super) fn nearest(&self, key_id: &str, tenant_id: &str, covering: &Covering) -> Option<Standing> {
        let key = covering.key.budget.map(|budget| (budget, self.key_account(key_id)));
        let tenant = covering.tenant.budget.map(|budget| (budget, self.own.account));
        Some(match (key, tenant) {
            (Some(key), tenant) if tenant.is_none_or(|tenant| !has_less_left(tenant, key)) => {
                self.stands(Scope::Key(key_id.to_owned()), key.0, key.1)
            }
            (_, Some((budget, account))) => self.stands(Scope::Tenant(tenant_id.to_owned()), budget, account),
            (_, None) => return None,
        })
    }

    fn key_account(&self, key_id: &str) -> Account {
        self.keys.get(key_id).map(|key| key.account).unwrap_or_default()
    }

    fn stands(&self, scope: Scope, budget: Budget, account: Account) -> Standing {
        let (spent, held) = (account.spent(), account.held());
        Standing { scope, budget, window: self.window, spent, held }
    }
}

/// Runs `f` on a key, which begins with nothing; its id is copied then only.
fn with_key<T>(
    keys: &mut IdMap<String, ScopeState>,
    key_id: &str,
    f: impl FnOnce(&mut ScopeState) -> T,
) -> T {
    match keys.get_mut(key_id) {
        Some(key) => f(key),
        None => f(keys.entry(key_id.to_owned()).or_default()),
    }
}

/// Whether `a` has a smaller share of its limit left than `b`.
fn has_less_left((a, account_a): (Budget, Account), (b, account_b): (Budget, Account)) -> bool {
    let product = |left: i64, limit: i64| i128::from(left) * i128::from(limit.max(1));
    product(account_a.remaining(a.limit), b.limit) < product(account_b.remaining(b.limit), a.limit)
}
