//! The hot statements on SQLite, each over many rows.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, SqliteConnection};

use super::{LeaseSpend, Sum};
use crate::store::batch::{Batched, repeat};

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
static ADD: LazyLock<Batched> = LazyLock::new(|| {
    Batched::new(|rows| {
        format!(
            "INSERT INTO spend (window_start_unix_ms, scope_kind, scope_id, tenant_id, spent_nano_usd) VALUES {}
             ON CONFLICT (window_start_unix_ms, scope_kind, scope_id)
             DO UPDATE SET spent_nano_usd = spend.spent_nano_usd + excluded.spent_nano_usd,
                           version = spend.version + 1",
            repeat("(?,?,?,?,?)", rows)
        )
    })
});

pub(super) async fn insert(
    conn: &mut SqliteConnection,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    for (sql, rows) in INSERT.over(rows) {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len() * COLUMNS, 0);
        for row in rows {
            bind_lease(&mut arguments, row, now_ms).map_err(sqlx::Error::Encode)?;
        }
        let done = sqlx::query_with(sql, arguments).execute(&mut *conn).await?;
        if done.rows_affected() != rows.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bind_lease(arguments: &mut SqliteArguments, row: &LeaseSpend<'_>, now_ms: i64) -> Result<(), BoxDynError> {
    arguments.add(row.ended.lease_id.clone())?;
    arguments.add(row.ended.cost)?;
    arguments.add(row.ended.abandoned)?;
    arguments.add(row.window_start)?;
    arguments.add(now_ms)
}

pub(super) async fn known(
    conn: &mut SqliteConnection,
    rows: &[LeaseSpend<'_>],
) -> Result<HashSet<String>, sqlx::Error> {
    let mut known = HashSet::new();
    for (sql, rows) in KNOWN.over(rows) {
        let query = sqlx::query_scalar::<_, String>(sql);
        let query = rows.iter().fold(query, |query, row| query.bind(row.ended.lease_id.clone()));
        known.extend(query.fetch_all(&mut *conn).await?);
    }
    Ok(known)
}

pub(super) async fn add(conn: &mut SqliteConnection, sums: &[Sum<'_>]) -> Result<(), sqlx::Error> {
    for (sql, sums) in ADD.over(sums) {
        let mut arguments = SqliteArguments::default();
        for sum in sums {
            bind_sum(&mut arguments, sum).map_err(sqlx::Error::Encode)?;
        }
        sqlx::query_with(sql, arguments).execute(&mut *conn).await?;
    }
    Ok(())
}

fn bind_sum(
    arguments: &mut SqliteArguments,
    ((window, kind, id), (tenant_id, sum)): &Sum<'_>,
) -> Result<(), BoxDynError> {
    arguments.add(*window)?;
    arguments.add(*kind)?;
    arguments.add(*id)?;
    arguments.add(*tenant_id)?;
    arguments.add(*sum)
}
