//! An admitted request: counts what it takes, and writes its one terminal record on every way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::budget::v1::SettleRequest;
use headgate_proto::inference::v1::TokenUsage;
use headgate_proto::record::v1::{Outcome, ProgressRecord};
use prost::Message as _;

use crate::attempt::Attempt;
use crate::record::{Attempted, Terminal};
use crate::release::release;
use crate::router::Parts;
use crate::settle::settle;
use crate::subject::Subject;
use crate::{estimate, price};

/// How often a stream's progress is noted: what a crash can leave unaccounted.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The guard of one admitted request. Dropping it records the request as cancelled.
pub(crate) struct Lease {
    parts: Arc<Parts>,
    pub(crate) subject: Subject,
    started: Instant,
    noted: Instant,
    /// The last target tried, as a position among the model's candidates.
    tried: Option<usize>,
    attempted: Vec<Attempted>,
    ttft_ms: Option<u32>,
    delivered_tokens: u32,
    usage: Option<TokenUsage>,
    /// Set when the answer is complete, even if the consumer leaves before the stream's end.
    complete: bool,
    replay: Option<Vec<u8>>,
    ended: bool,
}

impl Lease {
    /// Writes the encoded intent of `subject`; nothing may go upstream before this returns. Where it cannot be written,
    /// the admission is given back, and nothing is recorded.
    pub(crate) fn open(
        parts: Arc<Parts>,
        subject: Subject,
        intent: &[u8],
        started: Instant,
        keep_response: bool,
    ) -> Result<Self, Failure> {
        if let Err(cause) = parts.spool.begin(subject.id, intent) {
            parts.metrics.lost_intents.inc();
            release(&parts, subject.id, &subject.key.tenant_id);
            return Err(Failure::unavailable("the record store", cause));
        }
        parts.metrics.running.inc();
        Ok(Self {
            parts,
            subject,
            started,
            noted: started,
            tried: None,
            attempted: Vec::new(),
            ttft_ms: None,
            delivered_tokens: 0,
            usage: None,
            complete: false,
            replay: keep_response.then(Vec::new),
            ended: false,
        })
    }

    /// What the router is made of.
    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Says which of the model's candidates is tried now, and bills at its price from here on.
    pub(crate) fn attempt(&mut self, at: usize) {
        self.tried = Some(at);
    }

    /// Adds one attempt to the record.
    pub(crate) fn attempted(&mut self, attempt: Attempt, failure: Option<&Failure>) {
        self.judge(attempt, failure.map(|f| f.reason));
        let told = |f: &Failure| f.metadata.get("upstream_status").and_then(|s| s.parse().ok());
        self.attempted.push(Attempted {
            at: attempt.at,
            error_reason: failure.map_or(ErrorReason::Unspecified, |f| f.reason),
            upstream_status: failure.map_or(Some(200), told).unwrap_or(0),
            latency_ms: millis(attempt.since.elapsed()),
        });
    }

    /// Lets a target's breaker know.
    fn judge(&self, attempt: Attempt, reason: Option<ErrorReason>) {
        let Some(candidate) = self.subject.entry.candidates.get(attempt.at) else { return };
        let target_id = &*candidate.target.target_id;
        if self.parts.breakers.note(target_id, reason, Instant::now()) {
            self.parts.metrics.opened_breakers.inc();
            tracing::warn!(target_id, "a target keeps failing, others are tried before it");
        }
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
        if self.ttft_ms.is_none() {
            self.ttft_ms = Some(millis(now - self.started));
        }
        if now - self.noted >= PROGRESS_EVERY {
            self.noted = now;
            self.note();
        }
    }

    fn note(&self) {
        let progress =
            ProgressRecord { lease_id: self.subject.lease_id(), completion_tokens: self.delivered_tokens };
        if let Err(cause) = self.parts.spool.note(self.subject.id, &progress.encode_to_vec()) {
            self.parts.metrics.lost_intents.inc();
            headgate_kit::warn_seldom!(%cause, "progress not noted");
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
        estimate::usage(self.subject.prompt_tokens_estimate, output_tokens)
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
    pub(crate) fn fail(&mut self, failure: &Failure) {
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
        let reason = failure.map_or(ErrorReason::Unspecified, |f| f.reason);
        tracing::debug!(
            lease_id = %self.subject.id,
            outcome = outcome.as_str_name(),
            reason = reason.as_str_name(),
            "request ended"
        );
        let usage = self.usage_for(outcome);
        let response = self.replay.take().filter(|_| outcome == Outcome::Succeeded);
        self.write(&self.terminal(outcome, failure, usage), response);
    }

    fn terminal(&self, outcome: Outcome, failure: Option<&Failure>, usage: TokenUsage) -> Terminal<'_> {
        let entry = &self.subject.entry;
        let candidate = self.tried.and_then(|at| entry.candidates.get(at));
        let price = candidate.map_or_else(|| entry.dearest(), |c| c.price);
        Terminal {
            subject: &self.subject,
            candidate,
            attempted: &self.attempted,
            usage,
            cost_nano_usd: price::cost(&price, &usage),
            outcome,
            error_reason: failure.map_or(ErrorReason::Unspecified, |f| f.reason),
            status_code: match (outcome, failure) {
                (Outcome::Succeeded, _) => 200,
                (_, Some(failure)) => failure.http_status(),
                _ => 499,
            },
            latency_ms: millis(self.started.elapsed()),
            ttft_ms: self.ttft_ms,
        }
    }

    fn write(&self, record: &Terminal<'_>, response: Option<Vec<u8>>) {
        let (parts, id) = (&self.parts, self.subject.id);
        if let Err(cause) = parts.spool.end(id, &record.encode()) {
            parts.metrics.lost_intents.inc();
            // The intent stays open and becomes `abandoned` at the next start.
            tracing::error!(%cause, lease_id = %id, "record not written");
        }
        parts.keeper.release(id);
        parts.metrics.running.dec();
        parts.metrics.ended(record);
        let message = SettleRequest {
            lease_id: self.subject.lease_id(),
            cost_nano_usd: record.cost_nano_usd,
            tokens: record.usage.prompt_tokens.saturating_add(record.usage.completion_tokens),
            response: response.map(Into::into),
            tenant_id: self.subject.key.tenant_id.clone(),
        };
        settle(parts, id, message);
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
        if self.tried.is_none() {
            return TokenUsage::default();
        }
        estimate::usage(self.subject.prompt_tokens_estimate, self.delivered_tokens)
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

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
