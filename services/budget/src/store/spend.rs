//! What records cost, counted once per lease, and what each window adds up to.

mod leases;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Connection as _, SqliteConnection};

use super::batch::{Batched, repeat};
use super::{Store, Writer};
use crate::maps::IdMap;
use crate::policy::{KEY, Scope, TENANT};
use crate::record::Ended;

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
    writer: &mut Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Vec<Option<Change>>, sqlx::Error> {
    match book_fresh(writer, rows, now_ms).await? {
        Some(changes) => Ok(changes),
        None => book_any(writer, rows, now_ms).await,
    }
}

/// Books rows of which none was counted before, as it nearly always is; nothing and `None` where one was.
async fn book_fresh(
    writer: &mut Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Option<Vec<Option<Change>>>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    if !leases::insert(&mut tx, rows, now_ms).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let changes: Vec<_> = rows.iter().map(|row| Some((row.ended.cost, row.window_start))).collect();
    add(&mut tx, rows, &changes).await?;
    tx.commit().await?;
    Ok(Some(changes))
}

/// Books rows of which some were counted before: asks which, and then for the end of each.
async fn book_any(
    writer: &mut Writer,
    rows: &[LeaseSpend<'_>],
    now_ms: i64,
) -> Result<Vec<Option<Change>>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let known = leases::known(&mut tx, rows).await?;
    let is_known = |row: &LeaseSpend<'_>| known.contains(&*row.ended.lease_id);
    let fresh: Vec<_> = rows.iter().filter(|row| !is_known(row)).copied().collect();
    if !leases::insert(&mut tx, &fresh, now_ms).await? {
        return Err(sqlx::Error::Protocol("a lease that was not known is known".into()));
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
    add(&mut tx, rows, &changes).await?;
    tx.commit().await?;
    Ok(changes)
}

static ADD: LazyLock<Batched> = LazyLock::new(|| {
    Batched::new(|rows| {
        format!(
            "INSERT INTO spend (window_start_unix_ms, scope_kind, scope_id, tenant_id, spent_nano_usd) VALUES {}
             ON CONFLICT (window_start_unix_ms, scope_kind, scope_id)
             DO UPDATE SET spent_nano_usd = spend.spent_nano_usd + excluded.spent_nano_usd",
            repeat("(?,?,?,?,?)", rows)
        )
    })
});

/// A scope in a window, its tenant, and by how much its spend changes.
type Sum<'a> = ((i64, &'a str, &'a str), (&'a str, i64));

/// Adds the changes up by scope and window.
async fn add(
    tx: &mut SqliteConnection,
    rows: &[LeaseSpend<'_>],
    changes: &[Option<Change>],
) -> Result<(), sqlx::Error> {
    for (sql, sums) in ADD.over(&sums(rows, changes)) {
        let mut arguments = SqliteArguments::default();
        for sum in sums {
            bind(&mut arguments, sum).map_err(sqlx::Error::Encode)?;
        }
        sqlx::query_with(sql, arguments).execute(&mut *tx).await?;
    }
    Ok(())
}

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
    sums.into_iter().collect()
}

fn bind(
    arguments: &mut SqliteArguments,
    ((window, kind, id), (tenant_id, sum)): &Sum<'_>,
) -> Result<(), BoxDynError> {
    arguments.add(*window)?;
    arguments.add(*kind)?;
    arguments.add(*id)?;
    arguments.add(*tenant_id)?;
    arguments.add(*sum)
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
}
