//! What records cost, counted once per lease, and what each window adds up to.

mod leases;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use headgate_kit::db::{Engine, Tx, within};
use headgate_kit::fetch;

use super::{Store, Writer};
use crate::maps::IdMap;
use crate::policy::{KEY, Scope, TENANT};
use crate::record::Ended;

/// How often leases that other processes book at the same time are looked up again.
const ATTEMPTS: u32 = 5;

/// One ended request, and the start of the window that pays for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseSpend<'a> {
    pub(crate) ended: &'a Ended,
    pub(crate) window_start: i64,
}

/// By how much a lease changed the spend, and in which window.
pub(crate) type Change = (i64, i64);

/// Books ended requests, all or none: each lease counts once, and one that was abandoned is superseded by any other
/// end. Lease ids must not repeat within `rows`. Tells for each row how it changed the spend; `None` where it was
/// counted before.
pub(crate) async fn book(
    writer: &Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Vec<Option<Change>>, sqlx::Error> {
    if let Some(changes) = book_fresh(writer, rows, now_ms).await? {
        return Ok(changes);
    }
    for _ in 0..ATTEMPTS {
        if let Some(changes) = book_any(writer, rows, now_ms).await? {
            return Ok(changes);
        }
    }
    Err(sqlx::Error::Protocol("others book the same leases all the time".into()))
}

/// Books rows of which none was counted before, as it nearly always is; nothing and `None` where one was.
async fn book_fresh(
    writer: &Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Option<Vec<Option<Change>>>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    if !leases::insert(&mut tx, rows, now_ms).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let changes: Vec<_> = rows.iter().map(|row| Some((row.ended.cost, row.window_start))).collect();
    add(&mut tx, &sums(rows, &changes)).await?;
    tx.commit().await?;
    Ok(Some(changes))
}

/// Books rows of which some were counted before: asks which, and then for the end of each. Nothing and `None` where
/// another process counted one in between.
async fn book_any(
    writer: &Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Option<Vec<Option<Change>>>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let known = leases::known(&mut tx, rows).await?;
    let is_known = |row: &LeaseSpend<'_>| known.contains(&*row.ended.lease_id);
    let fresh: Vec<_> = rows.iter().filter(|row| !is_known(row)).copied().collect();
    if !leases::insert(&mut tx, &fresh, now_ms).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.push(if !is_known(row) {
            Some((row.ended.cost, row.window_start))
        } else if row.ended.abandoned {
            None
        } else {
            leases::supersede(&mut tx, row.ended).await?
        });
    }
    add(&mut tx, &sums(rows, &changes)).await?;
    tx.commit().await?;
    Ok(Some(changes))
}

/// A scope in a window, its tenant, and by how much its spend changes.
type Sum<'a> = ((i64, &'a str, &'a str), (&'a str, i64));

/// Adds to the spend of scopes.
async fn add(tx: &mut Tx, sums: &[Sum<'_>]) -> Result<(), sqlx::Error> {
    match tx.conn() {
        Engine::Postgres(conn) => within(postgres::add(conn, sums)).await,
        Engine::Sqlite(conn) => sqlite::add(conn, sums).await,
    }
}

/// The changes, added up by scope and window; in order, so that replicas wait for each other and not in a circle.
fn sums<'a>(rows: &[LeaseSpend<'a>], changes: &[Option<Change>]) -> Vec<Sum<'a>> {
    // By key first: there are fewer keys than rows, and their sums are added up again.
    let mut keys: IdMap<(i64, &str, &str), i64> = IdMap::default();
    for (LeaseSpend { ended, .. }, change) in rows.iter().zip(changes) {
        let Some((delta, window)) = *change else { continue };
        let sum = keys.entry((window, &ended.key_id, &ended.tenant_id)).or_default();
        *sum = sum.saturating_add(delta);
    }
    let mut sums: IdMap<(i64, &str, &str), (&str, i64)> = IdMap::default();
    for ((window, key_id, tenant_id), delta) in keys {
        for (kind, id) in [(KEY, key_id), (TENANT, tenant_id)] {
            let (_, sum) = sums.entry((window, kind, id)).or_insert((tenant_id, 0));
            *sum = sum.saturating_add(delta);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable();
    sums
}

impl Store {
    /// What a window has cost so far: tenant, scope, nano-USD.
    pub(crate) async fn load_spend(
        &self,
        window_start: i64,
    ) -> Result<Vec<(String, Scope, i64)>, sqlx::Error> {
        let rows: Vec<(String, String, String, i64)> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT tenant_id, scope_kind, scope_id, spent_nano_usd FROM spend
                 WHERE window_start_unix_ms = $1",
            )
            .bind(window_start)
            .fetch_all(pool)
        })?;
        let known = |(tenant, kind, id, spent): (String, String, String, i64)| {
            Some((tenant, Scope::from_parts(&kind, id)?, spent))
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }
}
