//! A row as it is read back.

use headgate_proto::record::v1::UsageRecord;
use prost::Message;
use sqlx::FromRow;

/// The columns of `usage_records`, by name.
#[derive(FromRow)]
pub(crate) struct Row {
    pub(crate) lease_id: String,
    request_id: String,
    tenant_id: String,
    key_id: String,
    model: String,
    operation: i32,
    provider_id: String,
    target_id: String,
    upstream_model: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    reasoning_tokens: i64,
    estimated: bool,
    cost_nano_usd: i64,
    overrun_nano_usd: i64,
    price_revision: i64,
    outcome: i32,
    error_reason: i32,
    status_code: i32,
    streamed: bool,
    pub(crate) started_at: i64,
    latency_ms: i64,
    ttft_ms: Option<i64>,
    attempts: Vec<u8>,
}

impl TryFrom<Row> for UsageRecord {
    type Error = sqlx::Error;

    /// Fails only on a row that this crate did not write.
    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let attempts = Self::decode(row.attempts.as_slice()).map_err(decode_error)?.attempts;
        let total = row.prompt_tokens.saturating_add(row.completion_tokens);
        Ok(Self {
            lease_id: row.lease_id,
            request_id: row.request_id,
            tenant_id: row.tenant_id,
            key_id: row.key_id,
            model: row.model,
            operation: row.operation,
            provider_id: row.provider_id,
            target_id: row.target_id,
            upstream_model: row.upstream_model,
            prompt_tokens: number(row.prompt_tokens)?,
            completion_tokens: number(row.completion_tokens)?,
            cached_tokens: number(row.cached_tokens)?,
            reasoning_tokens: number(row.reasoning_tokens)?,
            estimated: row.estimated,
            cost_nano_usd: row.cost_nano_usd,
            overrun_nano_usd: row.overrun_nano_usd,
            price_revision: u64::try_from(row.price_revision).map_err(decode_error)?,
            outcome: row.outcome,
            error_reason: row.error_reason,
            status_code: number(row.status_code.into())?,
            streamed: row.streamed,
            started_at_unix_ms: row.started_at,
            latency_ms: number(row.latency_ms)?,
            ttft_ms: row.ttft_ms.map(number).transpose()?,
            attempts,
            total_tokens: u64::try_from(total).map_err(decode_error)?,
        })
    }
}

fn number(value: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(value).map_err(decode_error)
}

fn decode_error(cause: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(cause))
}
