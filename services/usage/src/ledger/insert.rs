//! The hot path: records become rows by statements of many rows, in the way that is fastest on each engine.

mod postgres;
mod sqlite;

use headgate_kit::db::{Engine, Tx, within};
use headgate_proto::record::v1::{AttemptRecord, Outcome, UsageRecord};
use prost::Message;

/// The columns of `usage_records`, with their types.
const COLUMNS: [(&str, &str); 25] = [
    ("lease_id", "text"),
    ("request_id", "text"),
    ("tenant_id", "text"),
    ("key_id", "text"),
    ("model", "text"),
    ("operation", "integer"),
    ("provider_id", "text"),
    ("target_id", "text"),
    ("upstream_model", "text"),
    ("prompt_tokens", "bigint"),
    ("completion_tokens", "bigint"),
    ("cached_tokens", "bigint"),
    ("reasoning_tokens", "bigint"),
    ("estimated", "boolean"),
    ("cost_nano_usd", "bigint"),
    ("overrun_nano_usd", "bigint"),
    ("price_revision", "bigint"),
    ("outcome", "integer"),
    ("error_reason", "integer"),
    ("status_code", "integer"),
    ("streamed", "boolean"),
    ("started_at", "bigint"),
    ("latency_ms", "bigint"),
    ("ttft_ms", "bigint"),
    ("attempts", "bytea"),
];

/// A stored row changes only from abandoned to how the request really ended.
fn on_conflict() -> String {
    let updates: Vec<_> = COLUMNS.iter().skip(1).map(|(name, _)| format!("{name}=excluded.{name}")).collect();
    format!(
        "ON CONFLICT (lease_id) DO UPDATE SET {} \
         WHERE usage_records.outcome = {abandoned} AND excluded.outcome <> {abandoned}",
        updates.join(","),
        abandoned = Outcome::Abandoned as i32,
    )
}

/// Stores records as if one after the other, in the order given.
pub(crate) async fn insert(tx: &mut Tx, records: Vec<UsageRecord>) -> Result<(), sqlx::Error> {
    match tx.conn() {
        Engine::Postgres(conn) => within(postgres::insert(conn, records)).await,
        Engine::Sqlite(conn) => sqlite::insert(conn, records).await,
    }
}

fn attempts(attempts: Vec<AttemptRecord>) -> Vec<u8> {
    UsageRecord { attempts, ..Default::default() }.encode_to_vec()
}
