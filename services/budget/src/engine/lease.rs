//! A lease: what one request holds, and how far it has come.

use headgate_proto::record::v1::{IntentRecord, Outcome, UsageRecord};
use uuid::Uuid;

use crate::account;
use crate::replays::IdempotencyKey;

/// How long a settled lease waits for its record, in milliseconds, before it is accounted for by an estimate.
pub(crate) const RECORD_GRACE_MS: i64 = 3_600_000;

/// One admitted request, until its record has come.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: Uuid,
    pub(crate) intent: Box<IntentRecord>,
    /// In nano-USD. The intent's, unless the answer was capped.
    pub(crate) hold: i64,
    /// The most tokens of answer that were agreed on.
    pub(crate) cap: Option<u32>,
    /// In milliseconds.
    pub(crate) expires_at: i64,
    /// The start of the window that pays, in milliseconds.
    pub(crate) window_start: i64,
    /// What the token limits of key and tenant were charged.
    pub(crate) charged: Charged,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) state: State,
}

/// Tokens charged; `None` where there was no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charged {
    pub(crate) key: Option<u32>,
    pub(crate) tenant: Option<u32>,
}

/// The idempotency key of a request, and what the request was.
#[derive(Clone, Debug)]
pub(crate) struct Idempotency {
    pub(crate) key: IdempotencyKey,
    pub(crate) request_sha256: [u8; 32],
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The request runs; its hold is held.
    Open,
    /// Its holder settled it, at a time in milliseconds; the cost counts until the record comes.
    Settled { cost: i64, at: i64 },
    /// Nobody settled it in time; the estimated cost counts until its record comes, which is ours to write.
    Expired { cost: i64, written: bool },
    /// Its record came before its settlement, which may yet bring the response to replay. Holds no money.
    Recorded,
}

impl Lease {
    /// When it must be looked at again, in milliseconds.
    pub(crate) fn deadline(&self) -> i64 {
        match self.state {
            State::Open | State::Recorded => self.expires_at,
            State::Settled { at, .. } => at.saturating_add(RECORD_GRACE_MS),
            State::Expired { written: false, .. } => i64::MIN,
            State::Expired { written: true, .. } => i64::MAX,
        }
    }

    /// What it cost at least, as far as anybody knows: the prompt, and never more than was held.
    pub(crate) fn estimate(&self) -> i64 {
        prompt_cost(&self.intent).clamp(0, self.hold)
    }

    /// The record of a request whose end nobody reported.
    pub(crate) fn abandoned(&self, cost: i64, now_ms: i64) -> UsageRecord {
        abandoned(self.id, &self.intent, self.hold, cost, now_ms)
    }
}

/// What a request costs that has brought its prompt, in nano-USD.
pub(crate) fn prompt_cost(intent: &IntentRecord) -> i64 {
    let price = intent.price.unwrap_or_default();
    let tokens = || account::cost(intent.prompt_tokens_estimate, price.input_nano_usd_per_1k_tokens);
    price.request_nano_usd.unwrap_or_else(tokens).max(0)
}

/// The record of a request that held `hold`, and whose end nobody reported.
pub(crate) fn abandoned(id: Uuid, intent: &IntentRecord, hold: i64, cost: i64, now_ms: i64) -> UsageRecord {
    let latency = now_ms.saturating_sub(intent.started_at_unix_ms).max(0);
    UsageRecord {
        lease_id: id.to_string(),
        request_id: intent.request_id.clone(),
        tenant_id: intent.tenant_id.clone(),
        key_id: intent.key_id.clone(),
        model: intent.model.clone(),
        operation: intent.operation,
        prompt_tokens: intent.prompt_tokens_estimate,
        estimated: true,
        cost_nano_usd: cost,
        overrun_nano_usd: cost.saturating_sub(hold).max(0),
        price_revision: intent.price_revision,
        outcome: Outcome::Abandoned.into(),
        status_code: 500,
        streamed: intent.streamed,
        started_at_unix_ms: intent.started_at_unix_ms,
        latency_ms: u32::try_from(latency).unwrap_or(u32::MAX),
        ..UsageRecord::default()
    }
}
