//! What operators set for a scope, and the defaults behind it.

use std::collections::{BTreeMap, HashMap};

use headgate_proto::budget::v1 as pb;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::maps::SharedIdMap;
use crate::schedule::Schedule;
pub use crate::sliding::SlidingWindow;

/// Whom a limit or a budget covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// One API key, by id.
    Key(String),
    /// One tenant with all its keys, by id.
    Tenant(String),
}

impl Scope {
    /// As the tables name it: kind and id.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Key(id) => (KEY, id),
            Self::Tenant(id) => (TENANT, id),
        }
    }

    /// From a row; `None` for a kind of a newer version.
    pub(crate) fn from_parts(kind: &str, id: String) -> Option<Self> {
        match kind {
            KEY => Some(Self::Key(id)),
            TENANT => Some(Self::Tenant(id)),
            _ => None,
        }
    }
}

/// The name of key scopes in tables.
pub(crate) const KEY: &str = "key";
/// The name of tenant scopes in tables.
pub(crate) const TENANT: &str = "tenant";

/// How much at once. An unset limit takes the default behind it, or is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per second, at least 1.
    pub requests_per_second: Option<u32>,
    /// Requests per minute, at least 1.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, at least 1.
    pub tokens_per_minute: Option<u32>,
    /// Requests running at the same time, at least 1.
    pub parallel_requests: Option<u32>,
    /// Requests that `requests_per_second` lets through at once, at least 1. Unset: as many as it says itself.
    pub request_burst: Option<u32>,
    /// Streamed responses running at the same time, at least 1.
    pub parallel_streams: Option<u32>,
    /// Requests in any span of time.
    pub sliding_window: Option<SlidingWindow>,
}

impl Limits {
    /// Everything that is wrong: the field, and what is wrong with it.
    pub(crate) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let named = [
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("parallel_requests", self.parallel_requests),
            ("request_burst", self.request_burst),
            ("parallel_streams", self.parallel_streams),
        ];
        let zero = named.into_iter().filter(|(_, limit)| *limit == Some(0));
        let mut problems: Vec<_> = zero.map(|(name, _)| (name, "must be at least 1")).collect();
        if self.request_burst.is_some() && self.requests_per_second.is_none() {
            problems.push(("request_burst", "needs requests_per_second beside it"));
        }
        let window = self.sliding_window.and_then(SlidingWindow::problem);
        problems.extend(window.map(|wrong| ("sliding_window", wrong)));
        problems
    }

    fn or(self, default: Self) -> Self {
        // A burst belongs to its rate: another rate's says nothing.
        let rated = if self.requests_per_second.is_some() { self } else { default };
        Self {
            requests_per_second: rated.requests_per_second,
            requests_per_minute: self.requests_per_minute.or(default.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(default.tokens_per_minute),
            parallel_requests: self.parallel_requests.or(default.parallel_requests),
            request_burst: rated.request_burst,
            parallel_streams: self.parallel_streams.or(default.parallel_streams),
            sliding_window: self.sliding_window.or(default.sliding_window),
        }
    }
}

impl From<pb::Limits> for Limits {
    fn from(limits: pb::Limits) -> Self {
        Self {
            requests_per_second: limits.requests_per_second,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            parallel_requests: limits.parallel_requests,
            request_burst: limits.request_burst,
            parallel_streams: limits.parallel_streams,
            sliding_window: limits
                .sliding_window
                .map(|pb::SlidingWindow { requests, seconds }| SlidingWindow { requests, seconds }),
        }
    }
}

impl From<Limits> for pb::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_second: limits.requests_per_second,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            parallel_requests: limits.parallel_requests,
            request_burst: limits.request_burst,
            parallel_streams: limits.parallel_streams,
            sliding_window: limits
                .sliding_window
                .map(|SlidingWindow { requests, seconds }| pb::SlidingWindow { requests, seconds }),
        }
    }
}

/// How much may be spent in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// In nano-USD, not negative.
    pub(crate) limit: i64,
    /// From which share of the limit on to warn, in percent.
    pub(crate) warning_percent: u32,
    /// When it is to start anew. It is counted by calendar month all the same, for now.
    pub(crate) schedule: Schedule,
}

/// What holds for one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) limits: Limits,
    pub(crate) budget: Option<Budget>,
    /// The changes that last touched them; 0 where none did.
    pub(crate) limits_revision: i64,
    pub(crate) budget_revision: i64,
}

/// A budget, and the change that last touched it.
pub(crate) type Dated = (Budget, i64);

/// What holds for a key and for its tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covering {
    pub(crate) key: Policy,
    pub(crate) tenant: Policy,
}

impl Covering {
    /// Whether any budget covers the request.
    pub(crate) fn has_budget(&self) -> bool {
        self.key.budget.is_some() || self.tenant.budget.is_some()
    }
}

/// Every scope's policy, as set.
#[derive(Debug)]
pub(crate) struct Policies {
    keys: SharedIdMap<String, Policy>,
    tenants: SharedIdMap<String, Policy>,
    key_defaults: Limits,
    tenant_defaults: Limits,
    /// Covers tenants without a budget of their own.
    default_budget: RwLock<Option<Dated>>,
    /// Rises whenever a budget may have come or gone.
    changes: watch::Sender<u64>,
}

impl Policies {
    pub(crate) fn new(key_defaults: Limits, tenant_defaults: Limits) -> Self {
        let (keys, tenants) = (SharedIdMap::default(), SharedIdMap::default());
        let (default_budget, changes) = (RwLock::default(), watch::Sender::default());
        Self { keys, tenants, key_defaults, tenant_defaults, default_budget, changes }
    }

    /// What holds for a key, defaults filled in.
    pub(crate) fn of_key(&self, id: &str) -> Policy {
        effective(self.keys.get(id).map(|p| *p), self.key_defaults)
    }

    /// What holds for a tenant, defaults filled in.
    pub(crate) fn of_tenant(&self, id: &str) -> Policy {
        effective(self.tenants.get(id).map(|p| *p), self.tenant_defaults)
    }

    /// What covers a request of a key. The default budget gives way to a tenant's own, and to a key's.
    pub(crate) fn covering(&self, key_id: &str, tenant_id: &str) -> Covering {
        let (key, mut tenant) = (self.of_key(key_id), self.of_tenant(tenant_id));
        if tenant.budget.is_none() && key.budget.is_none() {
            tenant.budget = self.default_budget().map(|(budget, _)| budget);
        }
        Covering { key, tenant }
    }

    /// What covers tenants without a budget of their own.
    pub(crate) fn default_budget(&self) -> Option<Dated> {
        *self.default_budget.read()
    }

    pub(crate) fn set_default_budget(&self, budget: Option<Dated>) {
        *self.default_budget.write() = budget;
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The ids of tenants that have a budget of their own.
    pub(crate) fn tenants_with_budget(&self) -> Vec<String> {
        self.with_budget().1
    }

    /// Everything that was set for a scope, by scope.
    pub(crate) fn overrides(&self) -> BTreeMap<Scope, Policy> {
        let is_set = |policy: &Policy| policy.budget.is_some() || policy.limits != Limits::default();
        let keys = self.keys.iter().map(|entry| (Scope::Key(entry.key().clone()), *entry.value()));
        let tenants = self.tenants.iter().map(|entry| (Scope::Tenant(entry.key().clone()), *entry.value()));
        keys.chain(tenants).filter(|(_, policy)| is_set(policy)).collect()
    }

    /// What was set for a scope.
    pub(crate) fn get(&self, scope: &Scope) -> Policy {
        let (map, id) = self.place(scope);
        map.get(id).map(|p| *p).unwrap_or_default()
    }

    pub(crate) fn set_limits(&self, scope: &Scope, limits: Limits) {
        let (map, id) = self.place(scope);
        map.entry(id.to_owned()).or_default().limits = limits;
    }

    /// Notes the change that touched a scope's limits.
    pub(crate) fn date_limits(&self, scope: &Scope, revision: i64) {
        let (map, id) = self.place(scope);
        map.entry(id.to_owned()).or_default().limits_revision = revision;
    }

    /// Notes the change that touched a scope's budget.
    pub(crate) fn date_budget(&self, scope: &Scope, revision: i64) {
        let (map, id) = self.place(scope);
        map.entry(id.to_owned()).or_default().budget_revision = revision;
    }

    pub(crate) fn set_budget(&self, scope: &Scope, budget: Option<Budget>) {
        let (map, id) = self.place(scope);
        map.entry(id.to_owned()).or_default().budget = budget;
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Gives a scope limits and budget at once, by the change of this revision.
    pub(crate) fn set_quota(
        &self,
        scope: &Scope,
        limits: Option<Limits>,
        budget: Option<Budget>,
        revision: i64,
    ) {
        let (map, id) = self.place(scope);
        let policy = Policy {
            limits: limits.unwrap_or_default(),
            budget,
            limits_revision: limits.map_or(0, |_| revision),
            budget_revision: budget.map_or(0, |_| revision),
        };
        map.insert(id.to_owned(), policy);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Tells when a budget may have come or gone.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The keys and the tenants that have a budget.
    pub(crate) fn with_budget(&self) -> (Vec<String>, Vec<String>) {
        let ids = |map: &SharedIdMap<String, Policy>| {
            map.iter().filter(|entry| entry.budget.is_some()).map(|entry| entry.key().clone()).collect()
        };
        (ids(&self.keys), ids(&self.tenants))
    }

    /// Puts everything that is set in place of what was. What was there before and still is does not vanish meanwhile.
    pub(crate) fn replace(&self, set: HashMap<Scope, Policy>) {
        self.keys.retain(|id, _| set.contains_key(&Scope::Key(id.clone())));
        self.tenants.retain(|id, _| set.contains_key(&Scope::Tenant(id.clone())));
        for (scope, policy) in set {
            match scope {
                Scope::Key(id) => self.keys.insert(id, policy),
                Scope::Tenant(id) => self.tenants.insert(id, policy),
            };
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn place<'a>(&'a self, scope: &'a Scope) -> (&'a SharedIdMap<String, Policy>, &'a str) {
        match scope {
            Scope::Key(id) => (&self.keys, id),
            Scope::Tenant(id) => (&self.tenants, id),
        }
    }
}

fn effective(set: Option<Policy>, defaults: Limits) -> Policy {
    let set = set.unwrap_or_default();
    Policy { limits: set.limits.or(defaults), ..set }
}
