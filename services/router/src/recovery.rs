//! Ends what an earlier process left open: intents without an end become `abandoned` records.

use headgate_kit::clock::Clock;
use headgate_kit::spool::{OpenEntry, Spool, SpoolError};
use headgate_proto::record::v1::{IntentRecord, Outcome, ProgressRecord, UsageRecord};
use prost::Message as _;

use crate::{estimate, price};

/// Writes one abandoned record for every unfinished entry.
pub(crate) fn abandon(spool: &Spool, unfinished: Vec<OpenEntry>, clock: &Clock) -> Result<(), SpoolError> {
    for entry in unfinished {
        let record = abandoned(&entry, clock.unix_millis());
        let UsageRecord { lease_id, request_id, .. } = &record;
        tracing::warn!(lease_id, request_id, "request was abandoned by an earlier process");
        spool.end(entry.key, &record.encode_to_vec())?;
    }
    Ok(())
}

fn abandoned(entry: &OpenEntry, now_unix_ms: i64) -> UsageRecord {
    let intent = IntentRecord::decode(entry.begun.clone()).unwrap_or_else(|cause| {
        tracing::error!(%cause, key = %entry.key, "intent not readable");
        IntentRecord {
            lease_id: entry.key.to_string(),
            started_at_unix_ms: now_unix_ms,
            ..IntentRecord::default()
        }
    });
    let progress = entry.note.clone().and_then(|note| ProgressRecord::decode(note).ok()).unwrap_or_default();
    let usage = estimate::usage(intent.prompt_tokens_estimate, progress.completion_tokens);
    let latency = now_unix_ms.saturating_sub(intent.started_at_unix_ms);
    let mut record = UsageRecord {
        lease_id: intent.lease_id,
        request_id: intent.request_id,
        tenant_id: intent.tenant_id,
        key_id: intent.key_id,
        model: intent.model,
        operation: intent.operation,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        estimated: true,
        cost_nano_usd: price::cost(&intent.price.unwrap_or_default(), &usage).min(intent.hold_nano_usd),
        price_revision: intent.price_revision,
        status_code: 500,
        streamed: intent.streamed,
        started_at_unix_ms: intent.started_at_unix_ms,
        latency_ms: u32::try_from(latency).unwrap_or(0),
        ..UsageRecord::default()
    };
    record.set_outcome(Outcome::Abandoned);
    record
}

#[cfg(test)]
mod tests {
    use headgate_proto::catalog::v1::Price;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_abandoned_request_is_billed_for_its_last_progress() {
        let intent = IntentRecord {
            lease_id: "lease".into(),
            prompt_tokens_estimate: 10,
            hold_nano_usd: 1_000,
            price: Some(Price { output_nano_usd_per_1k_tokens: 1_000, ..Price::default() }),
            started_at_unix_ms: 5,
            ..IntentRecord::default()
        };
        let note = ProgressRecord { completion_tokens: 42, ..ProgressRecord::default() };
        let entry = OpenEntry {
            key: Uuid::nil(),
            begun: intent.encode_to_vec().into(),
            note: Some(note.encode_to_vec().into()),
        };
        let record = abandoned(&entry, 1_005);
        assert_eq!((record.prompt_tokens, record.completion_tokens, record.cost_nano_usd), (10, 42, 42));
        assert_eq!(
            (record.outcome(), record.estimated, record.latency_ms),
            (Outcome::Abandoned, true, 1_000)
        );
    }
}
