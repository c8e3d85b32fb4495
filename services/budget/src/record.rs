//! What spend reads of the record of an ended request.

use std::sync::Arc;

use bytes::Bytes;
use headgate_proto::record::v1::Outcome;
use prost::Message;
use uuid::Uuid;

/// An ended request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The lease, if its id is one that a lease can have.
    pub(crate) id: Option<Uuid>,
    /// The lease's id as text, always written the same way. Shared with the statements that store it.
    pub(crate) lease_id: Arc<str>,
    pub(crate) tenant_id: String,
    pub(crate) key_id: String,
    /// Of prompt and answer.
    pub(crate) tokens: u32,
    /// In nano-USD, not negative.
    pub(crate) cost: i64,
    /// Nobody knows how it ended, so any other end is better.
    pub(crate) abandoned: bool,
    /// In milliseconds.
    pub(crate) started_at: i64,
}

/// Why a record says nothing about spend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    #[error("a field is missing")]
    Incomplete,
    /// PostgreSQL takes none, and no client can get one here.
    #[error("a text holds a NUL")]
    Nul,
}

/// The few fields of a `headgate.record.v1.UsageRecord` that spend needs. The others are skipped over unread.
#[derive(Clone, PartialEq, Message)]
struct View {
    #[prost(string, tag = "1")]
    lease_id: String,
    #[prost(string, tag = "3")]
    tenant_id: String,
    #[prost(string, tag = "4")]
    key_id: String,
    #[prost(uint32, tag = "10")]
    prompt_tokens: u32,
    #[prost(uint32, tag = "11")]
    completion_tokens: u32,
    #[prost(int64, tag = "15")]
    cost_nano_usd: i64,
    #[prost(enumeration = "Outcome", tag = "18")]
    outcome: i32,
    #[prost(int64, tag = "22")]
    started_at_unix_ms: i64,
}

impl Ended {
    /// Reads an encoded `UsageRecord`.
    pub(crate) fn decode(record: Bytes) -> Result<Self, Unreadable> {
        let view = View::decode(record)?;
        let named = !view.lease_id.is_empty() && !view.key_id.is_empty() && !view.tenant_id.is_empty();
        let storable = |text: &String| !text.contains('\0');
        if ![&view.lease_id, &view.key_id, &view.tenant_id].into_iter().all(storable) {
            return Err(Unreadable::Nul);
        }
        if !named || view.cost_nano_usd < 0 {
            return Err(Unreadable::Incomplete);
        }
        let abandoned = view.outcome() == Outcome::Abandoned;
        let id = Uuid::try_parse(&view.lease_id).ok();
        Ok(Self {
            id,
            lease_id: id.map_or_else(|| view.lease_id.as_str().into(), canonical),
            tenant_id: view.tenant_id,
            key_id: view.key_id,
            tokens: view.prompt_tokens.saturating_add(view.completion_tokens),
            cost: view.cost_nano_usd,
            abandoned,
            started_at: view.started_at_unix_ms,
        })
    }
}

fn canonical(id: Uuid) -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    Arc::from(&*id.hyphenated().encode_lower(&mut text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headgate_proto::record::v1::{AttemptRecord, UsageRecord};

    fn record() -> UsageRecord {
        let text = |text: &str| text.to_owned();
        UsageRecord {
            lease_id: text("0199F0A00000700080000000000000AB"),
            request_id: text("request"),
            tenant_id: text("tenant"),
            key_id: text("key"),
            model: text("model"),
            operation: 1,
            provider_id: text("provider"),
            target_id: text("target"),
            upstream_model: text("upstream"),
            prompt_tokens: 1001,
            completion_tokens: 1002,
            cached_tokens: 1003,
            reasoning_tokens: 1004,
            estimated: true,
            cost_nano_usd: 1005,
            overrun_nano_usd: 1006,
            price_revision: 1007,
            outcome: Outcome::Abandoned.into(),
            error_reason: 3,
            status_code: 1008,
            streamed: true,
            started_at_unix_ms: 1009,
            latency_ms: 1010,
            ttft_ms: Some(1011),
            attempts: vec![AttemptRecord { provider_id: text("provider"), ..AttemptRecord::default() }],
            total_tokens: 0,
        }
    }

    fn decode(record: &UsageRecord) -> Result<Ended, Unreadable> {
        Ended::decode(record.encode_to_vec().into())
    }

    #[test]
    fn what_is_read_is_what_the_whole_record_says() {
        let lease_id = "0199f0a0-0000-7000-8000-0000000000ab";
        let ended = Ended {
            id: Some(lease_id.parse().unwrap()),
            lease_id: lease_id.into(),
            tenant_id: "tenant".into(),
            key_id: "key".into(),
            tokens: 2003,
            cost: 1005,
            abandoned: true,
            started_at: 1009,
        };
        assert_eq!(decode(&record()).unwrap(), ended);
        let settled = UsageRecord { outcome: Outcome::Failed.into(), ..record() };
        assert_eq!(decode(&settled).unwrap(), Ended { abandoned: false, ..ended });
    }

    #[test]
    fn a_lease_that_is_no_uuid_keeps_its_name() {
        let ended = decode(&UsageRecord { lease_id: "A lease".into(), ..record() }).unwrap();
        assert_eq!((ended.id, &*ended.lease_id), (None, "A lease"));
    }

    #[test]
    fn what_is_incomplete_or_malformed_is_not_read() {
        let incomplete = [
            UsageRecord { lease_id: String::new(), ..record() },
            UsageRecord { tenant_id: String::new(), ..record() },
            UsageRecord { key_id: String::new(), ..record() },
            UsageRecord { cost_nano_usd: -1, ..record() },
        ];
        for record in incomplete {
            assert!(matches!(decode(&record), Err(Unreadable::Incomplete)), "{record:?}");
        }
        let malformed = Ended::decode(Bytes::from_static(b"\xff\xffnot a record"));
        assert!(matches!(malformed, Err(Unreadable::Malformed(_))));
    }
}
