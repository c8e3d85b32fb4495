//! A request whose model is known: the words that its intent and its terminal record have in common.

use std::sync::Arc;

use headgate_kit::request_id::RequestId;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::record::v1::IntentRecord;
use uuid::Uuid;

use crate::asked::Asked;
use crate::estimate;
use crate::models::Entry;
use crate::wire::Fields;

/// Who asks for what. Shares what others own, so that words are copied only into what is written or sent.
pub(crate) struct Subject {
    /// The lease's id.
    pub(crate) id: Uuid,
    pub(crate) entry: Arc<Entry>,
    pub(crate) hold_nano_usd: i64,
    pub(crate) prompt_tokens_estimate: u32,
    /// Who asks, and whose tenant pays.
    pub(crate) key: Arc<KeyRecord>,
    request_id: RequestId,
    pub(crate) operation: Operation,
    pub(crate) streamed: bool,
    pub(crate) started_at_unix_ms: i64,
}

impl Subject {
    /// What `asked` is, by `key`, of `entry`.
    pub(crate) fn new(
        id: Uuid,
        key: Arc<KeyRecord>,
        request_id: RequestId,
        entry: Arc<Entry>,
        asked: &Asked<'_>,
        started_at_unix_ms: i64,
    ) -> Self {
        Self {
            id,
            hold_nano_usd: asked.hold_nano_usd(&entry),
            prompt_tokens_estimate: estimate::tokens(asked.facts.prompt_bytes),
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
            request_id: self.request_id.as_str().to_owned(),
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

    /// Writes a terminal record's first fields: those it has in common with the intent, under the same numbers.
    pub(crate) fn write(&self, record: &mut Fields) {
        record.text(1, self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        record.text(2, self.request_id.as_str());
        record.text(3, &self.key.tenant_id);
        record.text(4, &self.key.key_id);
        record.text(5, &self.entry.model.name);
        record.number(6, i32::from(self.operation).cast_unsigned());
    }

    /// The lease's id as services tell it each other.
    pub(crate) fn lease_id(&self) -> String {
        self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
    }
}
