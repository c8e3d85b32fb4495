//! The decision: may a request run, and what does it hold?

use bytes::Bytes;
use headgate_kit::error::ErrorReason;
use headgate_proto::budget::v1::CapTerms;
use headgate_proto::record::v1::IntentRecord;
use uuid::Uuid;

use crate::account;
use crate::engine::lease::{Charged, Idempotency, Lease, State};
use crate::engine::scopes::{ScopeState, Standing};
use crate::engine::tenant::Tenant;
use crate::limits::{Load, Refusal};
use crate::policy::Covering;
use crate::replays::Replays;
use headgate_kit::money::Usd;

/// A request that wants to run.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) lease: Uuid,
    pub(crate) intent: Box<IntentRecord>,
    /// What the token limits are charged.
    pub(crate) limit_tokens: u32,
    /// Set where a shorter answer may be agreed on.
    pub(crate) cap_terms: Option<CapTerms>,
    pub(crate) idempotency: Option<Idempotency>,
    /// Whether whoever asks is another process, which may outlive this one.
    pub(crate) from_elsewhere: bool,
}

impl Ask {
    /// What it takes of the limits.
    pub(crate) fn load(&self) -> Load {
        Load { tokens: self.limit_tokens, streamed: self.intent.streamed }
    }
}

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may run.
    Admitted { expires_at: i64, cap: Option<u32>, is_new: bool },
    /// It ran before.
    Replay(Bytes),
    /// It may not run, and holds nothing.
    Refused(Refusal),
    /// Its lease was admitted before and has ended, or was given back.
    Ended,
}

/// The decision, and where the nearest budget stands after it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    pub(crate) budget: Option<Standing>,
}

/// Now, in the units that are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) micros: i64,
    pub(crate) millis: i64,
}

/// What a request may hold, and the most tokens of answer where that is less than was asked for.
type Terms = (i64, Option<u32>);

impl Tenant {
    /// Decides and, where it may run, holds everything at once. The window must have been rolled.
    pub(crate) fn admit(
        &mut self,
        ask: Ask,
        covering: &Covering,
        replays: &Replays,
        now: Now,
        ttl_ms: i64,
    ) -> Answer {
        let decided = self.decide(&ask, covering, replays, now);
        let held = decided.map(|terms| (terms, self.scopes.take(&ask, terms.0, covering, now.micros)));
        let budget = self.nearest(&ask, covering);
        let decision = match held {
            Ok((terms, charged)) => self.grant(ask, terms, charged, now.millis.saturating_add(ttl_ms)),
            Err(decision) => decision,
        };
        Answer { decision, budget }
    }

    /// What a request may hold, or the answer where it holds nothing.
    fn decide(&self, ask: &Ask, covering: &Covering, replays: &Replays, now: Now) -> Result<Terms, Decision> {
        if let Some(lease) = self.leases.get(&ask.lease) {
            return Err(repeated(lease, ask));
        }
        if self.released.contains(ask.lease, now.millis) {
            return Err(Decision::Ended);
        }
        if let Some(decision) = ask.idempotency.as_ref().and_then(|i| self.ran_before(i, replays, now)) {
            return Err(decision);
        }
        self.fits(ask, covering, now).map_err(Decision::Refused)
    }

    /// What a request may hold, or why limits or budgets refuse it.
    fn fits(&self, ask: &Ask, covering: &Covering, now: Now) -> Result<Terms, Refusal> {
        let none = ScopeState::default();
        let key = self.scopes.keys.get(&ask.intent.key_id).unwrap_or(&none);
        if let Some(refusal) = self.over_limit(ask, key, covering, now) {
            return Err(refusal);
        }
        self.affordable(ask, key, covering)
    }

    /// Why limits or budgets refuse a request, if they do.
    pub(crate) fn refusal(&self, ask: &Ask, covering: &Covering, now: Now) -> Option<Refusal> {
        self.fits(ask, covering, now).err()
    }

    /// Where the nearest budget stands that covers a request.
    pub(crate) fn nearest(&self, ask: &Ask, covering: &Covering) -> Option<Standing> {
        self.scopes.nearest(&ask.intent.key_id, &ask.intent.tenant_id, covering)
    }

    fn ran_before(&self, ask: &Idempotency, replays: &Replays, now: Now) -> Option<Decision> {
        if let Some((_, request_sha256)) = self.running.get(&ask.key) {
            let is_same = *request_sha256 == ask.request_sha256;
            return Some(Decision::Refused(if is_same { in_progress() } else { mismatch() }));
        }
        let stored = replays.get(&ask.key, now.millis)?;
        Some(if stored.request_sha256 == ask.request_sha256 {
            Decision::Replay(stored.response)
        } else {
            Decision::Refused(mismatch())
        })
    }

    /// Parallel requests first, then the rates; of several rates the one that takes longest speaks, so that coming
    /// back when told is not in vain.
    fn over_limit(&self, ask: &Ask, key: &ScopeState, covering: &Covering, now: Now) -> Option<Refusal> {
        let (key, tenant) = (&key.counters, &self.scopes.own.counters);
        let (key_limits, tenant_limits) = (&covering.key.limits, &covering.tenant.limits);
        let load = ask.load();
        let parallel = key.parallel_refusal(key_limits, load, "key");
        if let Some(refusal) = parallel.or_else(|| tenant.parallel_refusal(tenant_limits, load, "tenant")) {
            return Some(refusal);
        }
        let key = key.rate_refusal(key_limits, load, now.micros, "key");
        let tenant = tenant.rate_refusal(tenant_limits, load, now.micros, "tenant");
        let slowest = tenant.into_iter().chain(key).max_by_key(|(wait, _)| *wait);
        slowest.map(|(_, refusal)| refusal)
    }

    fn affordable(&self, ask: &Ask, key: &ScopeState, covering: &Covering) -> Result<Terms, Refusal> {
        let hold = ask.intent.hold_nano_usd;
        let (key, tenant) = (&key.account, &self.scopes.own.account);
        let key = covering.key.budget.map(|b| (key.remaining(b.limit), b.limit, "key"));
        let tenant = covering.tenant.budget.map(|b| (tenant.remaining(b.limit), b.limit, "tenant"));
        let smallest = key.into_iter().chain(tenant).min_by_key(|(remaining, ..)| *remaining);
        let Some((remaining, limit, whom)) = smallest else { return Ok((hold, None)) };
        if hold == 0 || hold <= remaining {
            return Ok((hold, None));
        }
        if let Some((tokens, capped)) = ask.cap_terms.and_then(|terms| account::cap(remaining, &terms)) {
            return Ok((capped.min(hold), Some(tokens)));
        }
        let left = Usd::from_nano(remaining.max(0));
        let limit = Usd::from_nano(limit);
        Err(Refusal::new(
            ErrorReason::BudgetExceeded,
            format!("budget of ${limit} for this {whom} has ${left} left, less than the request may cost"),
        ))
    }

    fn grant(&mut self, ask: Ask, (hold, cap): Terms, charged: Charged, expires_at: i64) -> Decision {
        if let Some(idempotency) = &ask.idempotency {
            self.running.insert(idempotency.key.clone(), (ask.lease, idempotency.request_sha256));
        }
        let lease = Lease {
            id: ask.lease,
            intent: ask.intent,
            hold,
            cap,
            expires_at,
            window_start: self.scopes.window.start,
            charged,
            idempotency: ask.idempotency,
            state: State::Open,
        };
        self.leases.insert(ask.lease, lease);
        Decision::Admitted { expires_at, cap, is_new: true }
    }
}

/// The same answer again for a lease that runs, to the one who holds it.
fn repeated(lease: &Lease, ask: &Ask) -> Decision {
    if lease.state == State::Open && lease.intent.key_id == ask.intent.key_id {
        return Decision::Admitted { expires_at: lease.expires_at, cap: lease.cap, is_new: false };
    }
    Decision::Ended
}

/// A request with the same idempotency key runs.
pub(crate) fn in_progress() -> Refusal {
    let text = "a request with this idempotency key is still running";
    Refusal::new(ErrorReason::IdempotencyInProgress, text)
}

/// Another request had the same idempotency key.
pub(crate) fn mismatch() -> Refusal {
    let text = "the idempotency key was used with another request";
    Refusal::new(ErrorReason::IdempotencyMismatch, text)
}
