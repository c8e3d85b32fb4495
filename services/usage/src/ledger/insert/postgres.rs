//! On PostgreSQL: one statement, which takes each column as an array.

use std::collections::HashMap;
use std::sync::LazyLock;

use headgate_proto::record::v1::{Outcome, UsageRecord};
use sqlx::PgConnection;

use super::{COLUMNS, attempts, on_conflict};

static SQL: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.map(|(name, _)| name).join(",");
    let arrays: Vec<_> = (1..).zip(COLUMNS).map(|(n, (_, kind))| format!("${n}::{kind}[]")).collect();
    format!(
        "INSERT INTO usage_records ({columns}) SELECT * FROM UNNEST ({}) {}",
        arrays.join(","),
        on_conflict()
    )
});

/// Each column of all rows.
#[derive(Default)]
struct Columns {
    lease_id: Vec<String>,
    request_id: Vec<String>,
    tenant_id: Vec<String>,
    key_id: Vec<String>,
    model: Vec<String>,
    operation: Vec<i32>,
    provider_id: Vec<String>,
    target_id: Vec<String>,
    upstream_model: Vec<String>,
    prompt_tokens: Vec<i64>,
    completion_tokens: Vec<i64>,
    cached_tokens: Vec<i64>,
    reasoning_tokens: Vec<i64>,
    estimated: Vec<bool>,
    cost_nano_usd: Vec<i64>,
    overrun_nano_usd: Vec<i64>,
    price_revision: Vec<i64>,
    outcome: Vec<i32>,
    error_reason: Vec<i32>,
    status_code: Vec<i32>,
    streamed: Vec<bool>,
    started_at: Vec<i64>,
    latency_ms: Vec<i64>,
    ttft_ms: Vec<Option<i64>>,
    attempts: Vec<Vec<u8>>,
}

pub(super) async fn insert(conn: &mut PgConnection, records: Vec<UsageRecord>) -> Result<(), sqlx::Error> {
    let mut columns = Columns::default();
    for record in once_each(records) {
        columns.push(record);
    }
    if columns.lease_id.is_empty() {
        return Ok(());
    }
    sqlx::query(SQL.as_str())
        .bind(columns.lease_id)
        .bind(columns.request_id)
        .bind(columns.tenant_id)
        .bind(columns.key_id)
        .bind(columns.model)
        .bind(columns.operation)
        .bind(columns.provider_id)
        .bind(columns.target_id)
        .bind(columns.upstream_model)
        .bind(columns.prompt_tokens)
        .bind(columns.completion_tokens)
        .bind(columns.cached_tokens)
        .bind(columns.reasoning_tokens)
        .bind(columns.estimated)
        .bind(columns.cost_nano_usd)
        .bind(columns.overrun_nano_usd)
        .bind(columns.price_revision)
        .bind(columns.outcome)
        .bind(columns.error_reason)
        .bind(columns.status_code)
        .bind(columns.streamed)
        .bind(columns.started_at)
        .bind(columns.latency_ms)
        .bind(columns.ttft_ms)
        .bind(columns.attempts)
        .execute(conn)
        .await?;
    Ok(())
}

/// What stays of records that come one after the other, as a statement may name a lease only once: the first, unless
/// that was abandoned and a later one was not. By lease id, so that replicas which store the same leases wait for each
/// other and not in a circle.
fn once_each(records: Vec<UsageRecord>) -> Vec<UsageRecord> {
    let abandoned = |record: &UsageRecord| record.outcome == Outcome::Abandoned as i32;
    let mut kept: HashMap<String, UsageRecord> = HashMap::with_capacity(records.len());
    for record in records {
        match kept.get_mut(&record.lease_id) {
            None => drop(kept.insert(record.lease_id.clone(), record)),
            Some(first) if abandoned(first) && !abandoned(&record) => *first = record,
            Some(_) => {}
        }
    }
    let mut records: Vec<_> = kept.into_values().collect();
    records.sort_unstable_by(|a, b| a.lease_id.cmp(&b.lease_id));
    records
}

impl Columns {
    fn push(&mut self, record: UsageRecord) {
        self.lease_id.push(record.lease_id);
        self.request_id.push(record.request_id);
        self.tenant_id.push(record.tenant_id);
        self.key_id.push(record.key_id);
        self.model.push(record.model);
        self.operation.push(record.operation);
        self.provider_id.push(record.provider_id);
        self.target_id.push(record.target_id);
        self.upstream_model.push(record.upstream_model);
        self.prompt_tokens.push(i64::from(record.prompt_tokens));
        self.completion_tokens.push(i64::from(record.completion_tokens));
        self.cached_tokens.push(i64::from(record.cached_tokens));
        self.reasoning_tokens.push(i64::from(record.reasoning_tokens));
        self.estimated.push(record.estimated);
        self.cost_nano_usd.push(record.cost_nano_usd);
        self.overrun_nano_usd.push(record.overrun_nano_usd);
        // Decoding refused what does not fit.
        self.price_revision.push(i64::try_from(record.price_revision).unwrap_or(i64::MAX));
        self.outcome.push(record.outcome);
        self.error_reason.push(record.error_reason);
        self.status_code.push(i32::try_from(record.status_code).unwrap_or(i32::MAX));
        self.streamed.push(record.streamed);
        self.started_at.push(record.started_at_unix_ms);
        self.latency_ms.push(i64::from(record.latency_ms));
        self.ttft_ms.push(record.ttft_ms.map(i64::from));
        self.attempts.push(attempts(record.attempts));
    }
}
