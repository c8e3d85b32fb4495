//! The ends of a lease: settled by its holder, expired, or recorded. They may come in any order, and more than once.

use bytes::Bytes;
use headgate_proto::record::v1::{Outcome, UsageRecord};
use uuid::Uuid;

use crate::engine::admit::Now;
use crate::engine::lease::{Lease, State};
use crate::engine::tenant::{Covering, Tenant};
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
        covering: &Covering,
        replays: &Replays,
        now: Now,
    ) -> Effect {
        let Some(mut lease) = self.leases.remove(&id) else { return Effect::default() };
        match lease.state {
            State::Open => {
                self.free_slots(&lease);
                self.correct_tokens(&lease, settlement.tokens, covering, now.micros);
                self.charge(&lease, |account| account.settle(lease.hold, settlement.cost));
                self.answer(&mut lease, settlement.response, replays, now);
                lease.state = State::Settled { cost: settlement.cost, at: now.millis };
                self.leases.insert(id, lease);
                Effect { closed: true, gone: false }
            }
            State::Recorded => {
                self.answer(&mut lease, settlement.response, replays, now);
                Effect { closed: false, gone: true }
            }
            State::Settled { .. } | State::Expired { .. } => {
                self.leases.insert(id, lease);
                Effect::default()
            }
        }
    }

    /// Stores the response to replay, or frees the key.
    fn answer(&mut self, lease: &mut Lease, response: Option<Bytes>, replays: &Replays, now: Now) {
        let Some(idempotency) = lease.idempotency.take() else { return };
        if let Some(response) = response {
            replays.put(&idempotency, response, now.millis);
        }
        self.free_key(Some(&idempotency));
    }

    /// A record was stored: ends the lease in whatever state it is, and moves its cost into the spend, in one step.
    /// The window must have been rolled.
    pub(crate) fn recorded(
        &mut self,
        id: Option<Uuid>,
        record: &UsageRecord,
        booking: Option<Booking>,
        covering: &Covering,
        now: Now,
    ) -> Effect {
        let effect = id.and_then(|id| self.leases.remove(&id)).map(|lease| {
            let closed = lease.state == State::Open;
            Effect { closed, gone: self.end_by_record(lease, record, covering, now) }
        });
        if let Some(booking) = booking.filter(|b| b.window_start == self.window.start) {
            self.own.account.book(booking.delta);
            self.keys.entry(record.key_id.clone()).or_default().account.book(booking.delta);
        }
        effect.unwrap_or_default()
    }

    /// Whether nothing is left of the lease.
    fn end_by_record(
        &mut self,
        mut lease: Lease,
        record: &UsageRecord,
        covering: &Covering,
        now: Now,
    ) -> bool {
        let abandoned = record.outcome() == Outcome::Abandoned;
        match lease.state {
            State::Open => {
                self.free_slots(&lease);
                self.charge(&lease, |account| account.release(lease.hold));
                if !abandoned {
                    let took = record.prompt_tokens.saturating_add(record.completion_tokens);
                    self.correct_tokens(&lease, took, covering, now.micros);
                }
            }
            State::Settled { cost, .. } | State::Expired { cost, .. } => {
                self.charge(&lease, |account| account.unsettle(cost));
            }
            State::Recorded => {}
        }
        if lease.idempotency.is_some() && !abandoned {
            lease.state = State::Recorded;
            self.leases.insert(lease.id, lease);
            return false;
        }
        self.free_key(lease.idempotency.as_ref());
        true
    }

    /// Looks whether a lease is past its deadline, and ends it if so.
    pub(crate) fn due(&mut self, id: Uuid, now_ms: i64) -> Due {
        let Some(mut lease) = self.leases.remove(&id) else { return Due::Gone };
        if lease.deadline() > now_ms {
            let deadline = lease.deadline();
            self.leases.insert(id, lease);
            return Due::At(deadline);
        }
        let closed = lease.state == State::Open;
        let cost = match lease.state {
            State::Open => {
                let cost = lease.estimate();
                self.free_slots(&lease);
                self.charge(&lease, |account| account.settle(lease.hold, cost));
                cost
            }
            State::Settled { cost, .. } | State::Expired { cost, .. } => cost,
            State::Recorded => {
                self.free_key(lease.idempotency.as_ref());
                return Due::Gone;
            }
        };
        self.free_key(lease.idempotency.take().as_ref());
        lease.state = State::Expired { cost, written: false };
        let record = Box::new(lease.abandoned(cost, now_ms));
        self.leases.insert(id, lease);
        Due::Write { record, closed }
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
