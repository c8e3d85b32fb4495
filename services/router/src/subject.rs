//! A request whose model is known: the words that its intent and its terminal record have in common.

use std::sync::Arc;

use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::record::v1::{IntentRecord, UsageRecord};
use http::HeaderValue;
use uuid::Uuid;

use crate::call::Asked;
use crate::estimate;
use crate::models::Entry;
use crate::price::worst_case;

/// Who asks for what. Shares what others own, so that words are copied only into what is written or sent.
pub(crate) struct Subject {
    /// The lease's id.
    pub(crate) id: Uuid,
    pub(crate) entry: Arc<Entry>,
    pub(crate) hold_nano_usd: i64,
    pub(crate) prompt_tokens_estimate: u32,
    key: Arc<KeyRecord>,
    request_id: HeaderValue,
    operation: Operation,
    streamed: bool,
    pub(crate) started_at_unix_ms: i64,
}

impl Subject {
    /// What `asked` is, by `key`, of `entry`. `request_id` must be visible ASCII.
    pub(crate) fn new(
        id: Uuid,
        key: Arc<KeyRecord>,
        request_id: HeaderValue,
        entry: Arc<Entry>,
        asked: &Asked<'_>,
        started_at_unix_ms: i64,
    ) -> Self {
        let facts = &asked.facts;
        let most = facts.max_output_tokens.unwrap_or(entry.model.max_output_tokens);
        let output = match asked.operation {
            Operation::Chat => u64::from(most) * u64::from(facts.choices.max(1)),
            _ => 0,
        };
        Self {
            id,
            hold_nano_usd: worst_case(&entry.dearest(), facts.prompt_bytes.into(), output),
            prompt_tokens_estimate: estimate::tokens(facts.prompt_bytes),
            entry,
            key,
            request_id,
            operation: asked.operation,
            streamed: asked.streamed,
            started_at_unix_ms,
        }
    }

    /// The record that is written before anything goes upstream.
    pub(crate) fn intent(&self) -> IntentRecord {
        IntentRecord {
            lease_id: self.lease_id(),
            request_id: self.request_id(),
            tenant_id: self.key.tenant_id.clone(),
            key_id: self.key.key_id.clone(),
            model: self.entry.model.name.clone(),
            operation: self.operation.into(),
            started_at_unix_ms: self.started_at_unix_ms,
            hold_nano_usd: self.hold_nano_usd,
            prompt_tokens_estimate: self.prompt_tokens_estimate,
            price: Some(self.entry.dearest()),
            price_revision: self.entry.revision,
            streamed: self.streamed,
        }
    }

    /// A terminal record that says nothing yet of targets and of how it ended.
    pub(crate) fn record(&self) -> UsageRecord {
        UsageRecord {
            lease_id: self.lease_id(),
            request_id: self.request_id(),
            tenant_id: self.key.tenant_id.clone(),
            key_id: self.key.key_id.clone(),
            model: self.entry.model.name.clone(),
            operation: self.operation.into(),
            price_revision: self.entry.revision,
            streamed: self.streamed,
            started_at_unix_ms: self.started_at_unix_ms,
            ..UsageRecord::default()
        }
    }

    /// The lease's id as services tell it each other.
    pub(crate) fn lease_id(&self) -> String {
        self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
    }

    fn request_id(&self) -> String {
        self.request_id.to_str().unwrap_or_default().to_owned()
    }
}
