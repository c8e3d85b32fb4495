//! The rows of what people set, one at a time, within a change.

use headgate_kit::db::Tx;
use headgate_kit::{execute, fetch};

use super::policies::{BudgetRow, CALENDAR_MONTH, LimitsRow};
use crate::alerts::Vault;
use crate::policy::Limits;
use crate::terms::Kept;

/// Kind and id of a scope.
pub(super) type Place<'a> = (&'a str, &'a str);

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
    vault: &Vault,
    (kind, id): Place<'_>,
) -> Result<Option<(Kept, i64)>, sqlx::Error> {
    let row: Option<BudgetRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT scope_kind, scope_id, limit_nano_usd, warning_percent, schedule, sealed_alerts, revision
             FROM budgets WHERE scope_kind = $1 AND scope_id = $2",
        )
        .bind(kind)
        .bind(id)
        .fetch_optional(conn)
    })?;
    Ok(row.map(|row| (Kept { budget: row.budget(), alerts: row.alerts(vault) }, row.revision)))
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
    vault: &Vault,
    (kind, id): Place<'_>,
    Kept { budget, alerts }: &Kept,
    revision: i64,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let sealed_alerts = vault.seal((kind, id), alerts).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO budgets (scope_kind, scope_id, window_kind, limit_nano_usd, warning_percent,
                                  updated_at_unix_ms, revision, schedule, sealed_alerts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (scope_kind, scope_id) DO UPDATE SET
                 window_kind = excluded.window_kind,
                 limit_nano_usd = excluded.limit_nano_usd,
                 warning_percent = excluded.warning_percent,
                 updated_at_unix_ms = excluded.updated_at_unix_ms,
                 revision = excluded.revision,
                 schedule = excluded.schedule,
                 sealed_alerts = excluded.sealed_alerts",
        )
        .bind(kind)
        .bind(id)
        .bind(CALENDAR_MONTH)
        .bind(budget.limit)
        .bind(i64::from(budget.warning_percent))
        .bind(now_ms)
        .bind(revision)
        .bind(budget.schedule.to_string())
        .bind(sealed_alerts)
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
