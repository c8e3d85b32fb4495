//! Changes of what people set: each one transaction, in which whoever wants it must know what it takes the place of, and
//! in which it is written down for the audit log.

use headgate_audit::{Entry, outbox};
use headgate_kit::db::Tx;
use headgate_kit::{Failure, etag, execute, fetch};

use super::Writer;
use super::policies::{BudgetRow, CALENDAR_MONTH, DEFAULT, LimitsRow};
use crate::change::Change;
use crate::policy::{Budget, Limits, Scope};

/// Kind and id of a scope.
pub(super) type Place<'a> = (&'a str, &'a str);

/// The change that last touched it; a refusal where the caller knew it otherwise.
pub(crate) type Outcome = Result<i64, Failure>;

/// How the contract names a change. Nothing was ever set where none is.
pub(crate) fn etag(revision: i64) -> String {
    if revision == 0 { String::new() } else { revision.to_string() }
}

/// Sets limits, unless they are set already.
pub(crate) async fn limits(
    writer: &Writer,
    scope: &Scope,
    limits: Limits,
    change: &Change,
    now_ms: i64,
) -> Result<Outcome, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let next = touch(&mut tx).await?;
    let old = limits_at(&mut tx, scope.parts()).await?;
    let revision = old.as_ref().map_or(0, |row| row.revision);
    if let Err(refusal) = etag::check(&change.read, &etag(revision)) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    let old = old.map(|row| row.limits());
    if old == Some(limits) {
        tx.rollback().await?;
        return Ok(Ok(revision));
    }
    put_limits(&mut tx, scope.parts(), limits, next, now_ms).await?;
    let told = change.of_limits(scope, old, Some(limits), now_ms);
    Ok(finish(tx, told).await?.map(|()| next))
}

/// Sets the budget of a scope, or of those who have none of their own, unless it is set already.
pub(crate) async fn budget(
    writer: &Writer,
    scope: Option<&Scope>,
    budget: Budget,
    change: &Change,
    now_ms: i64,
) -> Result<Outcome, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let next = touch(&mut tx).await?;
    let old = budget_at(&mut tx, place(scope)).await?;
    let revision = old.map_or(0, |(_, revision)| revision);
    if let Err(refusal) = etag::check(&change.read, &etag(revision)) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    let old = old.map(|(old, _)| old);
    if old == Some(budget) {
        tx.rollback().await?;
        return Ok(Ok(revision));
    }
    put_budget(&mut tx, place(scope), budget, next, now_ms).await?;
    let told = change.of_budget(scope, old, Some(budget), now_ms);
    Ok(finish(tx, told).await?.map(|()| next))
}

/// Removes a budget. Whether there was one; a refusal where the caller knew it otherwise.
pub(crate) async fn no_budget(
    writer: &Writer,
    scope: Option<&Scope>,
    change: &Change,
    now_ms: i64,
) -> Result<Result<bool, Failure>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    touch(&mut tx).await?;
    let Some((old, revision)) = budget_at(&mut tx, place(scope)).await? else {
        tx.rollback().await?;
        return Ok(Ok(false));
    };
    if let Err(refusal) = etag::check(&change.read, &etag(revision)) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    remove_budget(&mut tx, place(scope)).await?;
    let told = change.of_budget(scope, Some(old), None, now_ms);
    Ok(finish(tx, told).await?.map(|()| true))
}

fn place(scope: Option<&Scope>) -> Place<'_> {
    scope.map_or(DEFAULT, Scope::parts)
}

/// Makes a change last, with what the audit log is told of it.
pub(super) async fn finish(
    mut tx: Tx,
    told: Result<impl IntoIterator<Item = Entry>, Failure>,
) -> Result<Result<(), Failure>, sqlx::Error> {
    match told {
        Ok(entries) => {
            outbox::write(&mut tx, &Vec::from_iter(entries)).await?;
            tx.commit().await?;
            Ok(Ok(()))
        }
        Err(fault) => {
            tx.rollback().await?;
            Ok(Err(fault))
        }
    }
}

/// Lets other replicas see that something changes. Whoever else changes something waits here. The change's revision.
pub(super) async fn touch(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar("UPDATE policy_revision SET revision = revision + 1 RETURNING revision")
            .fetch_one(conn)
    })
}

pub(super) async fn limits_at(tx: &mut Tx, (kind, id): Place<'_>) -> Result<Option<LimitsRow>, sqlx::Error> {
    fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT scope_kind, scope_id, requests_per_second, requests_per_minute, tokens_per_minute,
                    parallel_requests, request_burst, parallel_streams, window_requests, window_seconds, revision
             FROM limits WHERE scope_kind = $1 AND scope_id = $2",
        )
        .bind(kind)
        .bind(id)
        .fetch_optional(conn)
    })
}

pub(super) async fn budget_at(
    tx: &mut Tx,
    (kind, id): Place<'_>,
) -> Result<Option<(Budget, i64)>, sqlx::Error> {
    let row: Option<BudgetRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT scope_kind, scope_id, limit_nano_usd, warning_percent, schedule, revision FROM budgets
             WHERE scope_kind = $1 AND scope_id = $2",
        )
        .bind(kind)
        .bind(id)
        .fetch_optional(conn)
    })?;
    Ok(row.map(|row| (row.budget(), row.revision)))
}

pub(super) async fn put_limits(
    tx: &mut Tx,
    (kind, id): Place<'_>,
    limits: Limits,
    revision: i64,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO limits (scope_kind, scope_id, requests_per_second, requests_per_minute, tokens_per_minute,
                                 parallel_requests, request_burst, parallel_streams, window_requests, window_seconds,
                                 updated_at_unix_ms, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (scope_kind, scope_id) DO UPDATE SET
                 requests_per_second = excluded.requests_per_second,
                 requests_per_minute = excluded.requests_per_minute,
                 tokens_per_minute = excluded.tokens_per_minute,
                 parallel_requests = excluded.parallel_requests,
                 request_burst = excluded.request_burst,
                 parallel_streams = excluded.parallel_streams,
                 window_requests = excluded.window_requests,
                 window_seconds = excluded.window_seconds,
                 updated_at_unix_ms = excluded.updated_at_unix_ms,
                 revision = excluded.revision",
        )
        .bind(kind)
        .bind(id)
        .bind(limits.requests_per_second.map(i64::from))
        .bind(limits.requests_per_minute.map(i64::from))
        .bind(limits.tokens_per_minute.map(i64::from))
        .bind(limits.parallel_requests.map(i64::from))
        .bind(limits.request_burst.map(i64::from))
        .bind(limits.parallel_streams.map(i64::from))
        .bind(limits.sliding_window.map(|window| i64::from(window.requests)))
        .bind(limits.sliding_window.map(|window| i64::from(window.seconds)))
        .bind(now_ms)
        .bind(revision)
        .execute(conn)
    })?;
    Ok(())
}

pub(super) async fn put_budget(
    tx: &mut Tx,
    (kind, id): Place<'_>,
    budget: Budget,
    revision: i64,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO budgets (scope_kind, scope_id, window_kind, limit_nano_usd, warning_percent,
                                  updated_at_unix_ms, revision, schedule)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (scope_kind, scope_id) DO UPDATE SET
                 window_kind = excluded.window_kind,
                 limit_nano_usd = excluded.limit_nano_usd,
                 warning_percent = excluded.warning_percent,
                 updated_at_unix_ms = excluded.updated_at_unix_ms,
                 revision = excluded.revision,
                 schedule = excluded.schedule",
        )
        .bind(kind)
        .bind(id)
        .bind(CALENDAR_MONTH)
        .bind(budget.limit)
        .bind(i64::from(budget.warning_percent))
        .bind(now_ms)
        .bind(revision)
        .bind(budget.schedule.to_string())
        .execute(conn)
    })?;
    Ok(())
}

pub(super) async fn remove_budget(tx: &mut Tx, (kind, id): Place<'_>) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM budgets WHERE scope_kind = $1 AND scope_id = $2")
            .bind(kind)
            .bind(id)
            .execute(conn)
    })?;
    Ok(())
}
