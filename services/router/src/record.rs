//! The terminal record of a request: a `headgate.record.v1.UsageRecord`, written from where its words lie. Made into a
//! message first, it would cost a copy of each of them.

use headgate_kit::error::ErrorReason;
use headgate_proto::inference::v1::TokenUsage;
use headgate_proto::record::v1::Outcome;

use crate::models::Candidate;
use crate::subject::Subject;
use crate::wire::Fields;

/// Most records fit.
const ROOM: usize = 512;

/// What there is to say of a request that ended.
pub(crate) struct Terminal<'a> {
    pub(crate) subject: &'a Subject,
    /// The target that answered or failed last.
    pub(crate) candidate: Option<&'a Candidate>,
    pub(crate) attempted: &'a [Attempted],
    pub(crate) usage: TokenUsage,
    pub(crate) cost_nano_usd: i64,
    pub(crate) outcome: Outcome,
    pub(crate) error_reason: ErrorReason,
    pub(crate) status_code: u16,
    pub(crate) latency_ms: u32,
    pub(crate) ttft_ms: Option<u32>,
}

/// An attempt that is over.
pub(crate) struct Attempted {
    /// The target's position among the model's candidates.
    pub(crate) at: usize,
    pub(crate) error_reason: ErrorReason,
    pub(crate) upstream_status: u32,
    pub(crate) latency_ms: u32,
}

impl Terminal<'_> {
    /// The part of the cost that lies beyond what was held, in nano-USD.
    fn overrun_nano_usd(&self) -> i64 {
        self.cost_nano_usd.saturating_sub(self.subject.hold_nano_usd).max(0)
    }

    /// The encoded record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::with_capacity(ROOM);
        self.subject.write(&mut fields);
        if let Some(Candidate { target, .. }) = self.candidate {
            fields.text(7, &target.provider_id);
            fields.text(8, &target.target_id);
            fields.text(9, &target.upstream_model);
        }
        self.write_end(&mut fields);
        for attempt in self.attempted {
            fields.message(25, |fields| self.write_attempt(attempt, fields));
        }
        fields.into_bytes()
    }

    fn write_end(&self, fields: &mut Fields) {
        fields.number(10, self.usage.prompt_tokens);
        fields.number(11, self.usage.completion_tokens);
        fields.number(12, self.usage.cached_tokens);
        fields.number(13, self.usage.reasoning_tokens);
        fields.number(14, self.usage.estimated);
        fields.signed(15, self.cost_nano_usd);
        fields.signed(16, self.overrun_nano_usd());
        fields.number(17, self.subject.entry.revision);
        fields.number(18, number(self.outcome));
        fields.number(19, number(self.error_reason));
        fields.number(20, self.status_code);
        fields.number(21, self.subject.streamed);
        fields.signed(22, self.subject.started_at_unix_ms);
        fields.number(23, self.latency_ms);
        if let Some(ttft_ms) = self.ttft_ms {
            fields.told(24, ttft_ms);
        }
    }

    fn write_attempt(&self, attempt: &Attempted, fields: &mut Fields) {
        if let Some(Candidate { target, .. }) = self.subject.entry.candidates.get(attempt.at) {
            fields.text(1, &target.provider_id);
            fields.text(2, &target.target_id);
        }
        fields.number(3, number(attempt.error_reason));
        fields.number(4, attempt.upstream_status);
        fields.number(5, attempt.latency_ms);
    }
}

/// An enum's number. None is negative.
fn number(value: impl Into<i32>) -> u32 {
    value.into().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headgate_kit::request_id::RequestId;
    use headgate_proto::catalog::v1::Operation;
    use headgate_proto::inference::v1::BodyFacts;
    use headgate_proto::record::v1::{AttemptRecord, UsageRecord};
    use http::HeaderValue;
    use proptest::prelude::{any, prop, proptest};
    use prost::Message as _;
    use uuid::Uuid;

    use super::*;
    use crate::asked::Asked;
    use crate::models::Models;
    use crate::tests::peers;

    fn subject(operation: Operation, started_at_unix_ms: i64) -> Subject {
        let models = Models::default();
        models.apply(peers::catalog());
        let entry = models.current().resolve(&peers::key(), "m").unwrap().clone();
        let facts = BodyFacts { max_output_tokens: Some(1), ..BodyFacts::default() };
        let asked = Asked { model: "m".into(), operation, facts, streamed: operation == Operation::Chat };
        let request_id = RequestId::given(&HeaderValue::from_static("request_1")).unwrap();
        Subject::new(
            Uuid::from_u128(7),
            Arc::new(peers::key()),
            request_id,
            entry,
            &asked,
            started_at_unix_ms,
        )
    }

    /// The record as a message, every field of it, so that a new one is not forgotten.
    fn message(terminal: &Terminal<'_>) -> UsageRecord {
        let subject = terminal.subject;
        let target = |at: usize| &subject.entry.candidates[at].target;
        let last = terminal.candidate.map(|c| &c.target);
        let attempts = terminal.attempted.iter().map(|attempt| AttemptRecord {
            provider_id: target(attempt.at).provider_id.clone(),
            target_id: target(attempt.at).target_id.clone(),
            error_reason: attempt.error_reason.into(),
            upstream_status: attempt.upstream_status,
            latency_ms: attempt.latency_ms,
        });
        let intent = subject.intent();
        UsageRecord {
            lease_id: intent.lease_id,
            request_id: intent.request_id,
            tenant_id: intent.tenant_id,
            key_id: intent.key_id,
            model: intent.model,
            operation: intent.operation,
            provider_id: last.map(|t| t.provider_id.clone()).unwrap_or_default(),
            target_id: last.map(|t| t.target_id.clone()).unwrap_or_default(),
            upstream_model: last.map(|t| t.upstream_model.clone()).unwrap_or_default(),
            prompt_tokens: terminal.usage.prompt_tokens,
            completion_tokens: terminal.usage.completion_tokens,
            cached_tokens: terminal.usage.cached_tokens,
            reasoning_tokens: terminal.usage.reasoning_tokens,
            estimated: terminal.usage.estimated,
            cost_nano_usd: terminal.cost_nano_usd,
            overrun_nano_usd: (terminal.cost_nano_usd - intent.hold_nano_usd).max(0),
            price_revision: intent.price_revision,
            outcome: terminal.outcome.into(),
            error_reason: terminal.error_reason.into(),
            status_code: terminal.status_code.into(),
            streamed: intent.streamed,
            started_at_unix_ms: intent.started_at_unix_ms,
            latency_ms: terminal.latency_ms,
            ttft_ms: terminal.ttft_ms,
            attempts: attempts.collect(),
            total_tokens: 0,
        }
    }

    fn attempted(at: usize, upstream_status: u32, latency_ms: u32) -> Attempted {
        Attempted { at, error_reason: ErrorReason::UpstreamFailed, upstream_status, latency_ms }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let subject = subject(Operation::Embeddings, 0);
        let terminal = Terminal {
            subject: &subject,
            candidate: None,
            attempted: &[],
            usage: TokenUsage::default(),
            cost_nano_usd: 0,
            outcome: Outcome::Cancelled,
            error_reason: ErrorReason::Unspecified,
            status_code: 0,
            latency_ms: 0,
            ttft_ms: None,
        };
        assert_eq!(terminal.encode(), message(&terminal).encode_to_vec());
        let told = Terminal { ttft_ms: Some(0), ..terminal };
        assert_eq!(told.encode(), message(&told).encode_to_vec());
    }

    proptest! {
        #[test]
        fn a_record_is_what_the_message_would_be(
            [prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, latency_ms] in any::<[u32; 5]>(),
            cost_nano_usd in 0..i64::MAX,
            started_at_unix_ms in any::<i64>(),
            (status_code, ttft_ms, estimated) in any::<(u16, Option<u32>, bool)>(),
            attempts in prop::collection::vec((0..2_usize, any::<u32>(), any::<u32>()), 0..4),
        ) {
            let subject = subject(Operation::Chat, started_at_unix_ms);
            let attempted: Vec<_> = attempts.into_iter().map(|(at, s, l)| attempted(at, s, l)).collect();
            let usage =
                TokenUsage { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, estimated };
            let terminal = Terminal {
                subject: &subject,
                candidate: subject.entry.candidates.get(attempted.len()),
                attempted: &attempted,
                usage,
                cost_nano_usd,
                outcome: Outcome::Failed,
                error_reason: ErrorReason::UpstreamTimeout,
                status_code,
                latency_ms,
                ttft_ms,
            };
            assert_eq!(terminal.encode(), message(&terminal).encode_to_vec());
        }
    }
}
