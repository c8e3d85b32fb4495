//! Table `provider_health`.

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::timestamp;

use super::{unix_ms, unsigned};
use crate::BuildError;
use crate::health::Health;

#[derive(sqlx::FromRow)]
struct Row {
    provider_id: String,
    status: String,
    latency_ms: i64,
    tested_at_unix_ms: i64,
    consecutive_failures: i64,
    is_healthy: bool,
}

const HEALTH: &str =
    "SELECT provider_id, status, latency_ms, tested_at_unix_ms, consecutive_failures, is_healthy
     FROM provider_health";

pub(super) async fn load(tx: &mut Tx) -> Result<Vec<(String, Health)>, BuildError> {
    let rows: Vec<Row> =
        fetch!(tx.conn(), conn => sqlx::query_as(HEALTH).fetch_all(conn)).map_err(db::Error::from)?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

pub(super) async fn put(tx: &mut Tx, provider_id: &str, health: &Health) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO provider_health (provider_id, status, latency_ms, tested_at_unix_ms,
                 consecutive_failures, is_healthy)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (provider_id) DO UPDATE SET status = excluded.status, latency_ms = excluded.latency_ms,
                 tested_at_unix_ms = excluded.tested_at_unix_ms,
                 consecutive_failures = excluded.consecutive_failures, is_healthy = excluded.is_healthy",
        )
        .bind(provider_id)
        .bind(&health.status)
        .bind(i64::from(health.latency_ms))
        .bind(unix_ms(health.last_tested_at.as_ref()))
        .bind(i64::from(health.consecutive_failures))
        .bind(health.is_healthy)
    .execute(conn)
    })?;
    Ok(())
}

impl TryFrom<Row> for (String, Health) {
    type Error = BuildError;

    fn try_from(row: Row) -> Result<Self, BuildError> {
        let health = Health {
            status: row.status,
            latency_ms: unsigned(row.latency_ms)?,
            last_tested_at: (row.tested_at_unix_ms != 0).then(|| timestamp(row.tested_at_unix_ms)),
            consecutive_failures: unsigned(row.consecutive_failures)?,
            is_healthy: row.is_healthy,
        };
        Ok((row.provider_id, health))
    }
}
