//! The hot statements on PostgreSQL, which take each column of all rows as an array.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::{LeaseSpend, Sum};

/// A lease that another transaction is storing is waited for: whether it counts is known only when that ends.
pub(super) async fn insert(
    conn: &mut PgConnection,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO lease_spend (lease_id, cost_nano_usd, abandoned, window_start_unix_ms, at_unix_ms)
         SELECT lease_id, cost, abandoned, window_start, $5
         FROM UNNEST ($1::text[], $2::bigint[], $3::boolean[], $4::bigint[])
             AS row (lease_id, cost, abandoned, window_start)
         ON CONFLICT (lease_id) DO NOTHING",
    )
    .bind(ids(rows))
    .bind(rows.iter().map(|row| row.ended.cost).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.ended.abandoned).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.window_start).collect::<Vec<_>>())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == rows.len() as u64)
}

pub(super) async fn known(
    conn: &mut PgConnection,
    rows: &[LeaseSpend<'_>],
) -> Result<HashSet<String>, sqlx::Error> {
    let known = sqlx::query_scalar("SELECT lease_id FROM lease_spend WHERE lease_id = ANY ($1)")
        .bind(ids(rows))
        .fetch_all(conn)
        .await?;
    Ok(known.into_iter().collect())
}

fn ids<'a>(rows: &'a [LeaseSpend<'_>]) -> Vec<&'a str> {
    rows.iter().map(|row| &*row.ended.lease_id).collect()
}

pub(super) async fn add(conn: &mut PgConnection, sums: &[Sum<'_>]) -> Result<(), sqlx::Error> {
    if sums.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO spend (window_start_unix_ms, scope_kind, scope_id, tenant_id, spent_nano_usd)
         SELECT * FROM UNNEST ($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
         ON CONFLICT (window_start_unix_ms, scope_kind, scope_id)
         DO UPDATE SET spent_nano_usd = spend.spent_nano_usd + excluded.spent_nano_usd,
                       version = spend.version + 1",
    )
    .bind(sums.iter().map(|((window, ..), _)| *window).collect::<Vec<_>>())
    .bind(sums.iter().map(|((_, kind, _), _)| *kind).collect::<Vec<_>>())
    .bind(sums.iter().map(|((.., id), _)| *id).collect::<Vec<_>>())
    .bind(sums.iter().map(|(_, (tenant_id, _))| *tenant_id).collect::<Vec<_>>())
    .bind(sums.iter().map(|(_, (_, sum))| *sum).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
