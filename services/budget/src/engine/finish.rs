//! The ends of a lease: settled by its holder, given back, expired, or recorded. They may come in any order, and more than once.

use bytes::Bytes;
use headgate_proto::record::v1::UsageRecord;
use uuid::Uuid;

use crate::engine::admit::Now;
use crate::engine::lease::{Lease, State};
use crate::engine::tenant::{Running, Tenant};
use crate::policy::Policies;
use crate::record::Ended;
use crate::replays::Replays;

/// What a holder reports.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) cost: i64,
    pub(crate) tokens: u32,
    pub(crate) response: Option<Bytes>,
}

/// What an end did to a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// It ran, and runs no more.
    pub(crate) closed: bool,
    /// Nothing is left of it.
    pub(crate) gone: bool,
}

/// What a look at a lease's deadline found.
#[derive(Debug)]
pub(crate) enum Due {
    /// Look again then, in milliseconds.
    At(i64),
    /// Nothing is left of it.
    Gone,
    /// This must be written. It comes again until `written` is called.
    Write { record: Box<UsageRecord>, closed: bool },
}

/// By how much a stored record changes the spend of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) delta: i64,
    pub(crate) window_start: i64,
}

impl Tenant {
    /// Keeps a lease alive; `None` when it has ended or expired.
    pub(crate) fn extend(&mut self, id: Uuid, now_ms: i64, ttl_ms: i64) -> Option<i64> {
        let lease = self.leases.get_mut(&id)?;
        if lease.state != State::Open || lease.expires_at <= now_ms {
            return None;
        }
        lease.expires_at = lease.expires_at.max(now_ms.saturating_add(ttl_ms));
        Some(lease.expires_at)
    }

    /// Ends a lease as its holder reports.
    pub(crate) fn settle(
        &mut self,
        id: Uuid,
        settlement: Settlement,
        policies: &Policies,
        replays: &Replays,
        now: Now,
    ) -> Effect {
        let Some(lease) = self.leases.get_mut(&id) else { return Effect::default() };
        let (hold, cost) = (lease.hold, settlement.cost);
        match lease.state {
            State::Open => {
                self.scopes.close(lease, |account| account.settle(hold, cost));
                self.scopes.correct_tokens(lease, settlement.tokens, policies, now.micros);
                answer(&mut self.running, lease, settlement.response, replays, now);
                lease.state = State::Settled { cost, at: now.millis };
                Effect { closed: true, gone: false }
            }
            State::Recorded => {
                answer(&mut self.running, lease, settlement.response, replays, now);
                self.leases.remove(&id);
                Effect { closed: false, gone: true }
            }
            State::Settled { .. } | State::Expired { .. } => Effect::default(),
        }
    }

    /// Gives a lease back of which no use was made, whether it is known yet or not. One that has ended stays as it is.
    pub(crate) fn release(&mut self, id: Uuid, now: Now, ttl_ms: i64) -> Effect {
        if self.leases.get(&id).is_some_and(|lease| lease.state != State::Open) {
            return Effect::default();
        }
        self.released.insert(id, now.millis, ttl_ms);
        let Some(mut lease) = self.leases.remove(&id) else { return Effect::default() };
        let since = lease.expires_at.saturating_sub(ttl_ms).saturating_mul(1000);
        self.scopes.give_back(&lease, since, now.micros);
        free_key(&mut self.running, &mut lease);
        Effect { closed: true, gone: true }
    }

    /// A record was stored: ends the lease in whatever state it is, and moves its cost into the spend, in one step.
    /// The window must have been rolled.
    pub(crate) fn recorded(
        &mut self,
        record: &Ended,
        booking: Option<Booking>,
        policies: &Policies,
        now: Now,
    ) -> Effect {
        let effect = record.id.and_then(|id| self.leases.remove(&id)).map(|lease| {
            let closed = lease.state == State::Open;
            if booking.is_none() && lease.state != State::Recorded {
                // The database has the record and memory has not: this process stored it, and the connection broke
                // before it was told so.
                self.scopes.charge(&lease, |account| account.book(record.cost));
            }
            Effect { closed, gone: self.end_by_record(lease, record, policies, now) }
        });
        if let Some(booking) = booking.filter(|b| b.window_start == self.scopes.window.start) {
            self.scopes.book(&record.key_id, booking.delta);
        }
        effect.unwrap_or_default()
    }

    /// Whether nothing is left of the lease.
    fn end_by_record(&mut self, mut lease: Lease, record: &Ended, policies: &Policies, now: Now) -> bool {
        match lease.state {
            State::Open => {
                self.scopes.close(&lease, |account| account.release(lease.hold));
                if !record.abandoned {
                    self.scopes.correct_tokens(&lease, record.tokens, policies, now.micros);
                }
            }
            State::Settled { cost, .. } | State::Expired { cost, .. } => {
                self.scopes.charge(&lease, |account| account.unsettle(cost));
            }
            State::Recorded => {}
        }
        if lease.idempotency.is_some() && !record.abandoned {
            lease.state = State::Recorded;
            self.leases.insert(lease.id, lease);
            return false;
        }
        free_key(&mut self.running, &mut lease);
        true
    }

    /// Looks whether a lease is past its deadline, and ends it if so.
    pub(crate) fn due(&mut self, id: Uuid, now_ms: i64) -> Due {
        let Some(lease) = self.leases.get_mut(&id) else { return Due::Gone };
        if lease.deadline() > now_ms {
            return Due::At(lease.deadline());
        }
        free_key(&mut self.running, lease);
        let closed = lease.state == State::Open;
        let cost = match lease.state {
            State::Open => {
                let (hold, cost) = (lease.hold, lease.estimate());
                self.scopes.close(lease, |account| account.settle(hold, cost));
                cost
            }
            State::Settled { cost, .. } | State::Expired { cost, .. } => cost,
            State::Recorded => {
                self.leases.remove(&id);
                return Due::Gone;
            }
        };
        lease.state = State::Expired { cost, written: false };
        Due::Write { record: Box::new(lease.abandoned(cost, now_ms)), closed }
    }

    /// The record that `due` gave out is safely written.
    pub(crate) fn written(&mut self, id: Uuid) {
        if let Some(lease) = self.leases.get_mut(&id)
            && let State::Expired { cost, .. } = lease.state
        {
            lease.state = State::Expired { cost, written: true };
        }
    }
}

/// Stores the response to replay, and frees the key.
fn answer(running: &mut Running, lease: &mut Lease, response: Option<Bytes>, replays: &Replays, now: Now) {
    if let (Some(idempotency), Some(response)) = (&lease.idempotency, response) {
        replays.put(idempotency, response, now.millis);
    }
    free_key(running, lease);
}

/// Frees the idempotency key of a lease.
fn free_key(running: &mut Running, lease: &mut Lease) {
    if let Some(idempotency) = lease.idempotency.take() {
        running.remove(&idempotency.key);
    }
}
