//! An admitted request: counts what it takes, and writes its one terminal record on every way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::budget::v1::SettleRequest;
use headgate_proto::catalog::v1::Price;
use headgate_proto::inference::v1::TokenUsage;
use headgate_proto::record::v1::{AttemptRecord, IntentRecord, Outcome, ProgressRecord, UsageRecord};
use prost::Message as _;
use uuid::Uuid;

use crate::models::Candidate;
use crate::router::Parts;
use crate::settle::settle;
use crate::{estimate, price};

/// How often a stream's progress is noted: what a crash can leave unaccounted.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The guard of one admitted request. Dropping it records the request as cancelled.
pub(crate) struct Lease {
    parts: Arc<Parts>,
    id: Uuid,
    started: Instant,
    noted: Instant,
    hold_nano_usd: i64,
    prompt_tokens_estimate: u32,
    price: Price,
    record: UsageRecord,
    delivered_tokens: u32,
    content_seen: bool,
    usage: Option<TokenUsage>,
    /// Set when the answer is complete, even if the consumer leaves before the stream's end.
    complete: bool,
    replay: Option<Vec<u8>>,
    ended: bool,
}

impl Lease {
    /// Writes the intent; nothing may go upstream before this returns.
    pub(crate) fn open(
        parts: Arc<Parts>,
        id: Uuid,
        intent: IntentRecord,
        started: Instant,
        keep_response: bool,
    ) -> Result<Self, Failure> {
        let begun = parts.spool.begin(id, &intent.encode_to_vec());
        parts.metrics.running.inc();
        let lease = Self {
            id,
            started,
            noted: started,
            hold_nano_usd: intent.hold_nano_usd,
            prompt_tokens_estimate: intent.prompt_tokens_estimate,
            price: intent.price.unwrap_or_default(),
            record: blank(intent),
            delivered_tokens: 0,
            content_seen: false,
            usage: None,
            complete: false,
            replay: keep_response.then(Vec::new),
            ended: false,
            parts,
        };
        match begun {
            Ok(()) => Ok(lease),
            Err(cause) => {
                lease.parts.metrics.lost_intents.inc();
                let failure = Failure::unavailable("the record store", cause);
                lease.fail(&failure);
                Err(failure)
            }
        }
    }

    /// Says which target is tried now, and bills at its price from here on.
    pub(crate) fn attempt(&mut self, candidate: &Candidate) {
        self.price = candidate.price;
        self.record.provider_id.clone_from(&candidate.target.provider_id);
        self.record.target_id.clone_from(&candidate.target.target_id);
        self.record.upstream_model.clone_from(&candidate.target.upstream_model);
    }

    /// Adds one attempt to the record.
    pub(crate) fn attempted(&mut self, candidate: &Candidate, since: Instant, failure: Option<&Failure>) {
        let status =
            failure.map_or(Some(200), |f| f.metadata.get("upstream_status").and_then(|s| s.parse().ok()));
        self.record.attempts.push(AttemptRecord {
            provider_id: candidate.target.provider_id.clone(),
            target_id: candidate.target.target_id.clone(),
            error_reason: failure.map_or(ErrorReason::Unspecified, |f| f.reason).into(),
            upstream_status: status.unwrap_or(0),
            latency_ms: millis(since.elapsed()),
        });
    }

    /// Counts a piece of a stream before it goes to the consumer.
    pub(crate) fn delivered(&mut self, tokens: u32, usage: Option<TokenUsage>) {
        if usage.is_some() {
            self.usage = usage;
        }
        if tokens == 0 {
            return;
        }
        self.delivered_tokens = self.delivered_tokens.saturating_add(tokens);
        let now = Instant::now();
        if !self.content_seen {
            self.content_seen = true;
            self.record.ttft_ms = Some(millis(now - self.started));
        }
        if now - self.noted >= PROGRESS_EVERY {
            self.noted = now;
            self.note();
        }
    }

    fn note(&self) {
        let progress = ProgressRecord {
            lease_id: self.record.lease_id.clone(),
            completion_tokens: self.delivered_tokens,
        };
        if let Err(cause) = self.parts.spool.note(self.id, &progress.encode_to_vec()) {
            self.parts.metrics.lost_intents.inc();
            tracing::warn!(%cause, "progress not noted");
        }
    }

    /// Keeps a piece of the response for its idempotency key, as long as all of it fits.
    pub(crate) fn keep(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if let Some(kept) = &mut self.replay {
            encode(kept);
            if kept.len() > self.parts.config.max_replay_bytes {
                self.replay = None;
            }
        }
    }

    /// What the request took if the upstream tells nothing.
    pub(crate) fn estimate(&self, output_tokens: u32) -> TokenUsage {
        estimate::usage(self.prompt_tokens_estimate, output_tokens)
    }

    /// What a stream took, where the upstream told nothing.
    pub(crate) fn untold_usage(&self) -> Option<TokenUsage> {
        self.usage.is_none().then(|| self.estimate(self.delivered_tokens))
    }

    /// The answer is complete: records it before its last piece goes out, so that a consumer who has it finds its
    /// slot free and its budget right.
    pub(crate) fn succeed(&mut self, usage: Option<TokenUsage>, output_tokens: u32) {
        if usage.is_some() {
            self.usage = usage;
        }
        self.delivered_tokens = self.delivered_tokens.max(output_tokens);
        self.complete = true;
        self.end(Outcome::Succeeded, None);
    }

    /// Marks the answer as complete in content; only its last words are missing.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }

    /// Records a failure.
    pub(crate) fn fail(mut self, failure: &Failure) {
        let outcome = match failure.reason {
            ErrorReason::DeadlineExceeded | ErrorReason::UpstreamTimeout => Outcome::DeadlineExceeded,
            ErrorReason::Cancelled => Outcome::Cancelled,
            _ => Outcome::Failed,
        };
        self.end(outcome, Some(failure));
    }

    fn end(&mut self, outcome: Outcome, failure: Option<&Failure>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let usage = self.usage_for(outcome);
        let cost = price::cost(&self.price, &usage);
        let record = &mut self.record;
        record.prompt_tokens = usage.prompt_tokens;
        record.completion_tokens = usage.completion_tokens;
        record.cached_tokens = usage.cached_tokens;
        record.reasoning_tokens = usage.reasoning_tokens;
        record.estimated = usage.estimated;
        record.cost_nano_usd = cost;
        record.overrun_nano_usd = cost.saturating_sub(self.hold_nano_usd).max(0);
        record.set_outcome(outcome);
        record.set_error_reason(failure.map_or(ErrorReason::Unspecified, |f| f.reason));
        record.status_code = match (outcome, failure) {
            (Outcome::Succeeded, _) => 200,
            (_, Some(failure)) => failure.http_status().into(),
            _ => 499,
        };
        record.latency_ms = millis(self.started.elapsed());
        self.write(outcome, usage);
    }

    fn write(&mut self, outcome: Outcome, usage: TokenUsage) {
        let parts = &self.parts;
        if let Err(cause) = parts.spool.end(self.id, &self.record.encode_to_vec()) {
            parts.metrics.lost_intents.inc();
            // The intent stays open and becomes `abandoned` at the next start.
            tracing::error!(%cause, lease_id = self.record.lease_id, "record not written");
        }
        parts.keeper.release(&self.record.lease_id);
        parts.metrics.running.dec();
        parts.metrics.ended(&self.record);
        let response = self.replay.take().filter(|_| outcome == Outcome::Succeeded);
        let message = SettleRequest {
            lease_id: self.record.lease_id.clone(),
            cost_nano_usd: self.record.cost_nano_usd,
            tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            response: response.map(Into::into),
        };
        settle(parts, message);
    }

    /// What is billed: the upstream's count where it told one. Otherwise an estimate, and nothing for a request that
    /// failed before it produced anything.
    fn usage_for(&self, outcome: Outcome) -> TokenUsage {
        if let Some(usage) = self.usage {
            return usage;
        }
        if self.delivered_tokens == 0 && !matches!(outcome, Outcome::Succeeded | Outcome::Cancelled) {
            return TokenUsage::default();
        }
        if self.record.attempts.is_empty() && self.record.target_id.is_empty() {
            return TokenUsage::default();
        }
        estimate::usage(self.prompt_tokens_estimate, self.delivered_tokens)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            self.end(Outcome::Failed, Some(&Failure::new(ErrorReason::Internal, "internal error")));
        } else if self.complete {
            self.end(Outcome::Succeeded, None);
        } else {
            self.end(
                Outcome::Cancelled,
                Some(&Failure::new(ErrorReason::Cancelled, "the consumer went away")),
            );
        }
    }
}

fn blank(intent: IntentRecord) -> UsageRecord {
    UsageRecord {
        lease_id: intent.lease_id,
        request_id: intent.request_id,
        tenant_id: intent.tenant_id,
        key_id: intent.key_id,
        model: intent.model,
        operation: intent.operation,
        price_revision: intent.price_revision,
        streamed: intent.streamed,
        started_at_unix_ms: intent.started_at_unix_ms,
        ..UsageRecord::default()
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
