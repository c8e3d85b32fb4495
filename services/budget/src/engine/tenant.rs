//! Everything one tenant has running and has spent. One lock guards it, so a decision sees all of it or nothing.

use std::collections::HashMap;

use uuid::Uuid;

use crate::engine::lease::Lease;
use crate::engine::released::Released;
use crate::engine::scopes::{Scopes, Standing};
use crate::maps::IdMap;
use crate::policy::{Budget, Scope};
use crate::replays::IdempotencyKey;
use crate::window::{Months, Window};

/// The idempotency keys of requests that run: whose they are, and what was asked. Consumers choose them.
pub(super) type Running = HashMap<IdempotencyKey, (Uuid, [u8; 32])>;

/// One tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(super) scopes: Scopes,
    pub(super) leases: IdMap<Uuid, Lease>,
    pub(super) running: Running,
    pub(super) released: Released,
}

impl Tenant {
    pub(crate) fn new(window: Window) -> Self {
        Self::of(Scopes::new(window))
    }

    /// A tenant of which nothing but its scopes is known.
    pub(crate) fn of(scopes: Scopes) -> Self {
        Self { scopes, leases: IdMap::default(), running: Running::new(), released: Released::default() }
    }

    /// Starts the accounts anew once the month is over. A clock that goes backwards changes nothing.
    pub(crate) fn roll(&mut self, now_ms: i64, months: &Months) {
        self.scopes.roll(now_ms, months);
    }

    /// What a store remembers of the present window.
    pub(crate) fn restore(&mut self, scope: &Scope, spent: i64) {
        self.scopes.restore(scope, spent);
    }

    /// Takes over a lease of an earlier process.
    pub(crate) fn resume(&mut self, lease: Lease) {
        self.scopes.resume(&lease);
        if let Some(idempotency) = &lease.idempotency {
            self.running.insert(idempotency.key.clone(), (lease.id, idempotency.request_sha256));
        }
        self.leases.insert(lease.id, lease);
    }

    /// A lease.
    pub(crate) fn lease(&self, id: Uuid) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// How many keys it has. Grows by one when a key is seen for the first time.
    pub(crate) fn keys(&self) -> usize {
        self.scopes.keys.len()
    }

    /// The key that holds a lease.
    pub(crate) fn key_of(&self, id: Uuid) -> Option<&str> {
        self.leases.get(&id).map(|lease| lease.intent.key_id.as_str())
    }

    /// Where a scope of this tenant stands.
    pub(crate) fn standing(&self, scope: &Scope, budget: Budget) -> Standing {
        self.scopes.standing(scope, budget)
    }
}
