//! Which leases are counted.

use std::collections::HashSet;

use headgate_kit::db::{Engine, Tx, within};
use headgate_kit::{execute, fetch};
use uuid::{Builder, Uuid};

use super::{Change, LeaseSpend, postgres, sqlite};
use crate::record::Ended;
use crate::store::Store;

/// How long a lease is remembered: longer than any record can be late, in milliseconds.
const REMEMBERED_MS: i64 = 35 * 86_400_000;
/// Rows deleted by one statement, so that the writer is never held up for long.
const PRUNE_ROWS: i64 = 2000;

/// Stores leases. Whether none of them was known; otherwise nobody can tell which were stored, and the transaction
/// must be given up.
pub(super) async fn insert(tx: &mut Tx, rows: &[LeaseSpend<'_>], now_ms: i64) -> Result<bool, sqlx::Error> {
    match tx.conn() {
        Engine::Postgres(conn) => within(postgres::insert(conn, rows, now_ms)).await,
        Engine::Sqlite(conn) => sqlite::insert(conn, rows, now_ms).await,
    }
}

/// Those leases that are stored already.
pub(super) async fn known(tx: &mut Tx, rows: &[LeaseSpend<'_>]) -> Result<HashSet<String>, sqlx::Error> {
    match tx.conn() {
        Engine::Postgres(conn) => within(postgres::known(conn, rows)).await,
        Engine::Sqlite(conn) => sqlite::known(conn, rows).await,
    }
}

/// Replaces an abandoned end; the difference stays in the window that was charged. `None` where the end that is known
/// was not abandoned.
pub(super) async fn supersede(tx: &mut Tx, ended: &Ended) -> Result<Option<Change>, sqlx::Error> {
    let before: Option<Change> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT cost_nano_usd, window_start_unix_ms FROM lease_spend WHERE lease_id = $1 AND abandoned",
        )
        .bind(ended.lease_id.clone())
        .fetch_optional(conn)
    })?;
    let Some((cost, window_start)) = before else { return Ok(None) };
    // Another process may have replaced it since: then this one changes nothing.
    let replaced = execute!(tx.conn(), conn => {
        sqlx::query(
            "UPDATE lease_spend SET cost_nano_usd = $2, abandoned = $3 WHERE lease_id = $1 AND abandoned",
        )
        .bind(ended.lease_id.clone())
        .bind(ended.cost)
        .bind(false)
        .execute(conn)
    })?;
    Ok((replaced == 1).then(|| (ended.cost.saturating_sub(cost), window_start)))
}

impl Store {
    /// Those leases that are counted already.
    pub(crate) async fn counted(&self, ids: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
        let mut counted = HashSet::new();
        for id in ids {
            let found: Option<String> = fetch!(self.db.read(), pool => {
                sqlx::query_scalar("SELECT lease_id FROM lease_spend WHERE lease_id = $1")
                    .bind(id.to_string())
                    .fetch_optional(pool)
            })?;
            counted.extend(found.map(|_| *id));
        }
        Ok(counted)
    }

    /// Forgets leases whose records cannot come again. Lease ids sort by the time at which their requests came, which
    /// is before they are counted: what was counted long ago is among the smallest ids.
    pub(crate) async fn prune_leases(&self, now_ms: i64) -> Result<(), sqlx::Error> {
        let before_ms = now_ms.saturating_sub(REMEMBERED_MS);
        loop {
            let forgotten = execute!(self.db.write(), pool => {
                sqlx::query(
                    "DELETE FROM lease_spend WHERE lease_id IN (
                         SELECT lease_id FROM lease_spend WHERE lease_id < $1 AND at_unix_ms < $2
                         ORDER BY lease_id LIMIT $3)",
                )
                .bind(first_id(before_ms))
                .bind(before_ms)
                .bind(PRUNE_ROWS)
                .execute(pool)
            })?;
            if forgotten == 0 {
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
