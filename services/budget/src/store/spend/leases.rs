//! Which leases are counted.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, SqliteConnection};
use uuid::Builder;

use super::{Change, LeaseSpend};
use crate::record::Ended;
use crate::store::Store;
use crate::store::batch::{Batched, repeat};

/// How long a lease is remembered: longer than any record can be late, in milliseconds.
const REMEMBERED_MS: i64 = 35 * 86_400_000;
/// Rows deleted by one statement, so that the writer is never held up for long.
const PRUNE_ROWS: i64 = 2000;

/// Columns of a lease.
const COLUMNS: usize = 5;
static INSERT: LazyLock<Batched> = LazyLock::new(|| {
    Batched::new(|rows| {
        format!(
            "INSERT INTO lease_spend (lease_id, cost_nano_usd, abandoned, window_start_unix_ms, at_unix_ms) VALUES {}
             ON CONFLICT (lease_id) DO NOTHING",
            repeat("(?,?,?,?,?)", rows)
        )
    })
});
static KNOWN: LazyLock<Batched> = LazyLock::new(|| {
    Batched::new(|rows| format!("SELECT lease_id FROM lease_spend WHERE lease_id IN ({})", repeat("?", rows)))
});

/// Stores leases. Whether none of them was known; otherwise nobody can tell which were stored, and the transaction
/// must be given up.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    for (sql, rows) in INSERT.over(rows) {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len() * COLUMNS, 0);
        for row in rows {
            bind(&mut arguments, row, now_ms).map_err(sqlx::Error::Encode)?;
        }
        let done = sqlx::query_with(sql, arguments).execute(&mut *tx).await?;
        if done.rows_affected() != rows.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bind(arguments: &mut SqliteArguments, row: &LeaseSpend<'_>, now_ms: i64) -> Result<(), BoxDynError> {
    arguments.add(row.ended.lease_id.clone())?;
    arguments.add(row.ended.cost)?;
    arguments.add(row.ended.abandoned)?;
    arguments.add(row.window_start)?;
    arguments.add(now_ms)
}

/// Those leases that are stored already.
pub(super) async fn known(
    tx: &mut SqliteConnection,
    rows: &[LeaseSpend<'_>],
) -> Result<HashSet<String>, sqlx::Error> {
    let mut known = HashSet::new();
    for (sql, rows) in KNOWN.over(rows) {
        let query = sqlx::query_scalar::<_, String>(sql);
        let query = rows.iter().fold(query, |query, row| query.bind(row.ended.lease_id.clone()));
        known.extend(query.fetch_all(&mut *tx).await?);
    }
    Ok(known)
}

/// Replaces an abandoned end; the difference stays in the window that was charged. `None` where the end that is known
/// was not abandoned.
pub(super) async fn supersede(
    tx: &mut SqliteConnection,
    ended: &Ended,
) -> Result<Option<Change>, sqlx::Error> {
    let before: Option<Change> = sqlx::query_as(
        "SELECT cost_nano_usd, window_start_unix_ms FROM lease_spend WHERE lease_id = $1 AND abandoned",
    )
    .bind(ended.lease_id.clone())
    .fetch_optional(&mut *tx)
    .await?;
    let Some((cost, window_start)) = before else { return Ok(None) };
    sqlx::query("UPDATE lease_spend SET cost_nano_usd = $2, abandoned = $3 WHERE lease_id = $1")
        .bind(ended.lease_id.clone())
        .bind(ended.cost)
        .bind(false)
        .execute(tx)
        .await?;
    Ok(Some((ended.cost.saturating_sub(cost), window_start)))
}

impl Store {
    /// Forgets leases whose records cannot come again. Lease ids sort by the time at which their requests came, which
    /// is before they are counted: what was counted long ago is among the smallest ids.
    pub(crate) async fn prune_leases(&self, now_ms: i64) -> Result<(), sqlx::Error> {
        let before_ms = now_ms.saturating_sub(REMEMBERED_MS);
        loop {
            let done = sqlx::query(
                "DELETE FROM lease_spend WHERE lease_id IN (
                     SELECT lease_id FROM lease_spend WHERE lease_id < $1 AND at_unix_ms < $2
                     ORDER BY lease_id LIMIT $3)",
            )
            .bind(first_id(before_ms))
            .bind(before_ms)
            .bind(PRUNE_ROWS)
            .execute(&self.db.write)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

/// The smallest id of a lease from that millisecond.
fn first_id(unix_ms: i64) -> String {
    let millis = u64::try_from(unix_ms).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string()
}
