//! On SQLite: statements of many rows.
//!
//! Statements come in three fixed sizes, so each is parsed once per connection and then only bound and stepped,
//! whatever the size of a batch.

use std::sync::LazyLock;

use headgate_proto::record::v1::UsageRecord;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::{COLUMNS, attempts, on_conflict};

const LARGE: usize = 100;
const SMALL: usize = 10;
static LARGE_SQL: LazyLock<String> = LazyLock::new(|| statement(LARGE));
static SMALL_SQL: LazyLock<String> = LazyLock::new(|| statement(SMALL));
static SINGLE_SQL: LazyLock<String> = LazyLock::new(|| statement(1));

fn statement(rows: usize) -> String {
    // Bare `?`: SQLite looks numbered names up one by one, which grows with the square of their number.
    let row = format!("({})", vec!["?"; COLUMNS.len()].join(","));
    let columns = COLUMNS.map(|(name, _)| name).join(",");
    let rows = vec![row.as_str(); rows].join(",");
    format!("INSERT INTO usage_records ({columns}) VALUES {rows} {}", on_conflict())
}

/// Stores records in the order given.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    records: Vec<UsageRecord>,
) -> Result<(), sqlx::Error> {
    let mut left = records.len();
    let mut records = records.into_iter();
    while left > 0 {
        let (sql, rows): (&'static str, usize) = match left {
            LARGE.. => (LARGE_SQL.as_str(), LARGE),
            SMALL.. => (SMALL_SQL.as_str(), SMALL),
            _ => (SINGLE_SQL.as_str(), 1),
        };
        let query = records.by_ref().take(rows).fold(sqlx::query(sql), bind);
        query.execute(&mut *conn).await?;
        left -= rows;
    }
    Ok(())
}

/// In the order of [`COLUMNS`].
fn bind(
    query: Query<'static, Sqlite, SqliteArguments>,
    record: UsageRecord,
) -> Query<'static, Sqlite, SqliteArguments> {
    let attempts = attempts(record.attempts);
    query
        .bind(record.lease_id)
        .bind(record.request_id)
        .bind(record.tenant_id)
        .bind(record.key_id)
        .bind(record.model)
        .bind(record.operation)
        .bind(record.provider_id)
        .bind(record.target_id)
        .bind(record.upstream_model)
        .bind(i64::from(record.prompt_tokens))
        .bind(i64::from(record.completion_tokens))
        .bind(i64::from(record.cached_tokens))
        .bind(i64::from(record.reasoning_tokens))
        .bind(record.estimated)
        .bind(record.cost_nano_usd)
        .bind(record.overrun_nano_usd)
        // Decoding refused what does not fit.
        .bind(i64::try_from(record.price_revision).unwrap_or(i64::MAX))
        .bind(record.outcome)
        .bind(record.error_reason)
        .bind(i64::from(record.status_code))
        .bind(record.streamed)
        .bind(record.started_at_unix_ms)
        .bind(i64::from(record.latency_ms))
        .bind(record.ttft_ms.map(i64::from))
        .bind(attempts)
}
