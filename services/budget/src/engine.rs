//! Every live counter of this process: limits, holds, leases, idempotency keys.
//!
//! A tenant's counters lie behind one lock, which is held for a few microseconds and never across an await. Locks are
//! taken in this order: a tenant's, then a map's.

pub(crate) mod admit;
pub(crate) mod finish;
pub(crate) mod journal;
pub(crate) mod lease;
pub(crate) mod released;
pub(crate) mod scopes;
pub(crate) mod tenant;

use std::sync::Arc;

use headgate_kit::clock::Clock;
use headgate_kit::spool::{OpenEntry, SpoolError};
use headgate_proto::record::v1::UsageRecord;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::maps::SharedIdMap;
use crate::metrics::Metrics;
use crate::policy::{Budget, Covering, Policies, Scope};
use crate::record::Ended;
use crate::replays::Replays;
use crate::window::Months;
use admit::{Answer, Ask, Decision, Now};
use finish::{Booking, Due, Effect, Settlement};
use journal::Journal;
use lease::State;
use scopes::Standing;
use tenant::Tenant;

type Cell = Arc<Mutex<Tenant>>;

/// The in-memory engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) policies: Policies,
    pub(crate) months: Months,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    replays: Replays,
    journal: Journal,
    ttl_ms: i64,
    tenants: SharedIdMap<String, Cell>,
    /// Whose tenant a key is.
    homes: SharedIdMap<String, Cell>,
    leases: SharedIdMap<Uuid, Slot>,
}

/// Where a lease is, and when to look at it, in milliseconds: its deadline or earlier.
#[derive(Debug)]
struct Slot {
    cell: Cell,
    look_at: i64,
    /// Whether it is written down.
    in_journal: bool,
}

/// A lease whose end nobody reported, and the record that says so.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) id: Uuid,
    pub(crate) record: Box<UsageRecord>,
}

impl Engine {
    pub(crate) fn new(
        policies: Policies,
        months: Months,
        clock: Clock,
        metrics: Metrics,
        replays: Replays,
        journal: Journal,
        ttl_ms: i64,
    ) -> Self {
        Self {
            policies,
            months,
            clock,
            metrics,
            replays,
            journal,
            ttl_ms,
            tenants: SharedIdMap::default(),
            homes: SharedIdMap::default(),
            leases: SharedIdMap::default(),
        }
    }

    /// What a store remembers of the present window.
    pub(crate) fn restore(&self, tenant_id: &str, scope: &Scope, spent: i64) {
        let cell = self.cell(tenant_id);
        cell.lock().restore(scope, spent);
        if let Scope::Key(id) = scope {
            self.homes.insert(id.clone(), cell);
        }
    }

    /// Takes over a lease that an earlier process wrote down, unless its spend is counted already.
    pub(crate) fn resume(&self, entry: &OpenEntry, is_counted: bool) {
        let read = || journal::read(entry, self.clock.unix_millis(), self.ttl_ms);
        let Some(lease) = (!is_counted).then(read).flatten() else { return self.journal.end(entry.key) };
        let (id, look_at) = (lease.id, lease.deadline());
        let cell = self.cell(&lease.intent.tenant_id);
        self.homes.insert(lease.intent.key_id.clone(), cell.clone());
        if lease.state == State::Open {
            self.metrics.open_leases.inc();
        }
        let mut tenant = cell.lock();
        tenant.resume(lease);
        self.leases.insert(id, Slot { cell: cell.clone(), look_at, in_journal: true });
    }

    /// Decides a request, and holds what it may take. Fails where that cannot be written down, and must be.
    pub(crate) fn admit(&self, ask: Ask) -> Result<Answer, SpoolError> {
        let (id, in_journal, now) = (ask.lease, ask.from_elsewhere, self.now());
        let cell = self.cell(&ask.intent.tenant_id);
        if self.leases.get(&id).is_some_and(|slot| !Arc::ptr_eq(&slot.cell, &cell)) {
            return Ok(Answer { decision: Decision::Ended, budget: None });
        }
        let mut tenant = cell.lock();
        tenant.roll(now.millis, &self.months);
        let covering = self.covering(&ask.intent.key_id, &ask.intent.tenant_id);
        let keys = tenant.keys();
        let answer = tenant.admit(ask, &covering, &self.replays, now, self.ttl_ms);
        if let Decision::Admitted { expires_at, is_new: true, .. } = answer.decision {
            if tenant.keys() > keys
                && let Some(key_id) = tenant.key_of(id)
            {
                self.homes.insert(key_id.to_owned(), cell.clone());
            }
            self.leases.insert(id, Slot { cell: cell.clone(), look_at: expires_at, in_journal });
            self.metrics.open_leases.inc();
            if in_journal
                && let Some(lease) = tenant.lease(id)
                && let Err(cause) = self.journal.begin(lease)
            {
                let effect = tenant.release(id, now, self.ttl_ms);
                self.follow(Some(id), effect);
                return Err(cause);
            }
        }
        Ok(answer)
    }

    /// Keeps a lease alive and tells until when; `None` when it has ended or expired.
    pub(crate) fn extend(&self, id: Uuid) -> Option<i64> {
        let cell = self.home(id)?;
        cell.lock().extend(id, self.clock.unix_millis(), self.ttl_ms)
    }

    /// Ends a lease as its holder reports. One that is not known is no error.
    pub(crate) fn settle(&self, id: Uuid, settlement: Settlement) {
        let found = self.leases.get(&id).map(|slot| (slot.cell.clone(), slot.in_journal));
        let Some((cell, in_journal)) = found else { return };
        let now = self.now();
        let mut tenant = cell.lock();
        tenant.roll(now.millis, &self.months);
        let cost = settlement.cost;
        let effect = tenant.settle(id, settlement, &self.policies, &self.replays, now);
        if effect.closed && in_journal {
            self.journal.settled(id, cost);
        }
        self.follow(Some(id), effect);
    }

    /// Gives a lease back of which no use was made, whether it is known yet or not.
    pub(crate) fn release(&self, id: Uuid, tenant_id: &str) {
        let now = self.now();
        let cell = self.cell(tenant_id);
        let mut tenant = cell.lock();
        tenant.roll(now.millis, &self.months);
        let effect = tenant.release(id, now, self.ttl_ms);
        self.follow(Some(id), effect);
    }

    /// A record was stored. `booking` says how it changed the spend, if it did.
    pub(crate) fn recorded(&self, record: &Ended, booking: Option<Booking>) {
        let now = self.now();
        let cell = self.cell(&record.tenant_id);
        let mut tenant = cell.lock();
        tenant.roll(now.millis, &self.months);
        let keys = tenant.keys();
        let effect = tenant.recorded(record, booking, &self.policies, now);
        if tenant.keys() > keys {
            self.homes.insert(record.key_id.clone(), cell.clone());
        }
        self.follow(record.id, effect);
    }

    /// Ends what is past its deadline. What is returned must be written, and comes again until `written` is called.
    pub(crate) fn overdue(&self) -> Vec<Overdue> {
        let now_ms = self.clock.unix_millis();
        let due: Vec<(Uuid, Cell)> = self
            .leases
            .iter()
            .filter(|slot| slot.look_at <= now_ms)
            .map(|slot| (*slot.key(), slot.cell.clone()))
            .collect();
        due.into_iter().filter_map(|(id, cell)| self.look(id, &cell, now_ms)).collect()
    }

    fn look(&self, id: Uuid, cell: &Cell, now_ms: i64) -> Option<Overdue> {
        let mut tenant = cell.lock();
        tenant.roll(now_ms, &self.months);
        match tenant.due(id, now_ms) {
            Due::At(deadline) => self.look_again(id, deadline),
            Due::Gone => self.follow(Some(id), Effect { closed: false, gone: true }),
            Due::Write { record, closed } => {
                self.follow(Some(id), Effect { closed, gone: false });
                if closed {
                    self.metrics.expired_leases.inc();
                }
                return Some(Overdue { id, record });
            }
        }
        None
    }

    /// An overdue lease's record is safely written.
    pub(crate) fn written(&self, id: Uuid) {
        if let Some(cell) = self.home(id) {
            cell.lock().written(id);
            self.look_again(id, i64::MAX);
        }
    }

    /// Where a scope's budget stands.
    pub(crate) fn standing(&self, scope: &Scope, budget: Budget) -> Standing {
        let now_ms = self.clock.unix_millis();
        let cell = match scope {
            Scope::Key(id) => self.homes.get(id).map(|c| c.clone()),
            Scope::Tenant(id) => self.tenants.get(id).map(|c| c.clone()),
        };
        let Some(cell) = cell else {
            let window = self.months.at(now_ms);
            return Standing { scope: scope.clone(), budget, window, spent: 0, held: 0 };
        };
        let mut tenant = cell.lock();
        tenant.roll(now_ms, &self.months);
        tenant.standing(scope, budget)
    }

    /// How much is left of leases, and of a tenant's idempotency keys that run.
    #[cfg(test)]
    pub(crate) fn left(&self, tenant_id: &str) -> usize {
        let cell = self.cell(tenant_id);
        let tenant = cell.lock();
        self.leases.len() + tenant.leases.len() + tenant.running.len()
    }

    /// What an end means for the process as a whole. The tenant's lock is held.
    fn follow(&self, id: Option<Uuid>, effect: Effect) {
        if effect.closed {
            self.metrics.open_leases.dec();
        }
        if let Some((id, slot)) = id.filter(|_| effect.gone).and_then(|id| self.leases.remove(&id))
            && slot.in_journal
        {
            self.journal.end(id);
        }
    }

    fn look_again(&self, id: Uuid, at: i64) {
        if let Some(mut slot) = self.leases.get_mut(&id) {
            slot.look_at = at;
        }
    }

    /// Whether any budget covers a request.
    pub(crate) fn is_covered(&self, ask: &Ask) -> bool {
        self.covering(&ask.intent.key_id, &ask.intent.tenant_id).has_budget()
    }

    fn covering(&self, key_id: &str, tenant_id: &str) -> Covering {
        self.policies.covering(key_id, tenant_id)
    }

    /// Where a lease is. Nothing of the map is locked afterwards.
    fn home(&self, id: Uuid) -> Option<Cell> {
        self.leases.get(&id).map(|slot| slot.cell.clone())
    }

    fn now(&self) -> Now {
        let micros = self.clock.unix_micros();
        Now { micros, millis: micros / 1000 }
    }

    fn cell(&self, tenant_id: &str) -> Cell {
        if let Some(cell) = self.tenants.get(tenant_id) {
            return cell.clone();
        }
        let new = || Arc::new(Mutex::new(Tenant::new(self.months.at(self.clock.unix_millis()))));
        self.tenants.entry(tenant_id.to_owned()).or_insert_with(new).clone()
    }
}
