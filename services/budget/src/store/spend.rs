//! What records cost, counted once per lease, and what each window adds up to.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};

use super::{Store, Writer};
use crate::policy::{KEY, Scope, TENANT};

/// How long a lease is remembered: longer than any record can be late, in milliseconds.
const REMEMBERED_MS: i64 = 35 * 86_400_000;
/// Rows deleted by one statement, so that the writer is never held up for long.
const PRUNE_ROWS: i64 = 2000;

/// One ended request, as the tables see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseSpend {
    pub(crate) lease_id: String,
    pub(crate) key_id: String,
    pub(crate) tenant_id: String,
    pub(crate) cost: i64,
    pub(crate) abandoned: bool,
    pub(crate) window_start: i64,
}

/// By how much a lease changed the spend, and in which window.
pub(crate) type Change = (i64, i64);

/// Books ended requests, all or none: each lease counts once, and one that was abandoned is superseded by any other
/// end. Lease ids must not repeat within `rows`. Tells for each row how it changed the spend; `None` where it was
/// counted before.
pub(crate) async fn book(
    writer: &mut Writer,
    rows: &[LeaseSpend],
    now_ms: i64,
) -> Result<Vec<Option<Change>>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let fresh = insert(&mut tx, rows, now_ms).await?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.push(if fresh.contains(&row.lease_id) {
            Some((row.cost, row.window_start))
        } else if row.abandoned {
            None
        } else {
            supersede(&mut tx, row).await?
        });
    }
    add(&mut tx, rows, &changes).await?;
    tx.commit().await?;
    Ok(changes)
}

/// The leases that were not known.
async fn insert(
    tx: &mut SqliteConnection,
    rows: &[LeaseSpend],
    now_ms: i64,
) -> Result<HashSet<String>, sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO lease_spend (lease_id, key_id, tenant_id, cost_nano_usd, abandoned, window_start_unix_ms,
                                  at_unix_ms) ",
    );
    sql.push_values(rows, |mut values, row| {
        values
            .push_bind(row.lease_id.as_str())
            .push_bind(row.key_id.as_str())
            .push_bind(row.tenant_id.as_str())
            .push_bind(row.cost)
            .push_bind(row.abandoned)
            .push_bind(row.window_start)
            .push_bind(now_ms);
    });
    sql.push(" ON CONFLICT (lease_id) DO NOTHING RETURNING lease_id");
    let fresh: Vec<String> = sql.build_query_scalar().persistent(false).fetch_all(tx).await?;
    Ok(fresh.into_iter().collect())
}

/// Replaces an abandoned end; the difference stays in the window that was charged.
async fn supersede(tx: &mut SqliteConnection, row: &LeaseSpend) -> Result<Option<Change>, sqlx::Error> {
    let before: Option<Change> = sqlx::query_as(
        "SELECT cost_nano_usd, window_start_unix_ms FROM lease_spend WHERE lease_id = $1 AND abandoned",
    )
    .bind(row.lease_id.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some((cost, window_start)) = before else { return Ok(None) };
    sqlx::query("UPDATE lease_spend SET cost_nano_usd = $2, abandoned = $3 WHERE lease_id = $1")
        .bind(row.lease_id.as_str())
        .bind(row.cost)
        .bind(false)
        .execute(tx)
        .await?;
    Ok(Some((row.cost.saturating_sub(cost), window_start)))
}

/// Adds the changes up by scope and window.
async fn add(
    tx: &mut SqliteConnection,
    rows: &[LeaseSpend],
    changes: &[Option<Change>],
) -> Result<(), sqlx::Error> {
    let mut sums: HashMap<(i64, &str, &str), (&str, i64)> = HashMap::new();
    for (row, change) in rows.iter().zip(changes) {
        let Some((delta, window)) = change else { continue };
        for (kind, id) in [(KEY, &row.key_id), (TENANT, &row.tenant_id)] {
            let (_, sum) = sums.entry((*window, kind, id)).or_insert((&row.tenant_id, 0));
            *sum = sum.saturating_add(*delta);
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO spend (window_start_unix_ms, scope_kind, scope_id, tenant_id, spent_nano_usd) ",
    );
    sql.push_values(sums, |mut values, ((window, kind, id), (tenant_id, sum))| {
        values.push_bind(window).push_bind(kind).push_bind(id).push_bind(tenant_id).push_bind(sum);
    });
    sql.push(
        " ON CONFLICT (window_start_unix_ms, scope_kind, scope_id)
         DO UPDATE SET spent_nano_usd = spend.spent_nano_usd + excluded.spent_nano_usd",
    );
    sql.build().persistent(false).execute(tx).await?;
    Ok(())
}

impl Store {
    /// What a window has cost so far: tenant, scope, nano-USD.
    pub(crate) async fn load_spend(
        &self,
        window_start: i64,
    ) -> Result<Vec<(String, Scope, i64)>, sqlx::Error> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT tenant_id, scope_kind, scope_id, spent_nano_usd FROM spend WHERE window_start_unix_ms = $1",
        )
        .bind(window_start)
        .fetch_all(&self.db.write)
        .await?;
        let known = |(tenant, kind, id, spent): (String, String, String, i64)| {
            Some((tenant, Scope::from_parts(&kind, id)?, spent))
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Forgets leases whose records cannot come again.
    pub(crate) async fn prune_leases(&self, now_ms: i64) -> Result<(), sqlx::Error> {
        loop {
            let done = sqlx::query(
                "DELETE FROM lease_spend WHERE lease_id IN (
                     SELECT lease_id FROM lease_spend WHERE at_unix_ms < $1 ORDER BY at_unix_ms LIMIT $2)",
            )
            .bind(now_ms.saturating_sub(REMEMBERED_MS))
            .bind(PRUNE_ROWS)
            .execute(&self.db.write)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}
