//! What operators set.

use std::collections::HashMap;

use headgate_kit::db::Tx;
use headgate_kit::{execute, fetch};

use super::{Store, Writer};
use crate::policy::{Budget, Limits, Policy, Scope, SlidingWindow};

const CALENDAR_MONTH: &str = "calendar_month";

#[derive(sqlx::FromRow)]
struct LimitsRow {
    scope_kind: String,
    scope_id: String,
    requests_per_second: Option<i64>,
    requests_per_minute: Option<i64>,
    tokens_per_minute: Option<i64>,
    parallel_requests: Option<i64>,
    request_burst: Option<i64>,
    parallel_streams: Option<i64>,
    window_requests: Option<i64>,
    window_seconds: Option<i64>,
}

type BudgetRow = (String, String, i64, i64);

impl LimitsRow {
    fn limits(&self) -> Limits {
        let narrow = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let window = narrow(self.window_requests).zip(narrow(self.window_seconds));
        Limits {
            requests_per_second: narrow(self.requests_per_second),
            requests_per_minute: narrow(self.requests_per_minute),
            tokens_per_minute: narrow(self.tokens_per_minute),
            parallel_requests: narrow(self.parallel_requests),
            request_burst: narrow(self.request_burst),
            parallel_streams: narrow(self.parallel_streams),
            sliding_window: window.map(|(requests, seconds)| SlidingWindow { requests, seconds }),
        }
    }
}

impl Store {
    /// Everything that is set.
    pub(crate) async fn load_policies(&self) -> Result<HashMap<Scope, Policy>, sqlx::Error> {
        let mut set: HashMap<Scope, Policy> = HashMap::new();
        let limits: Vec<LimitsRow> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT scope_kind, scope_id, requests_per_second, requests_per_minute, tokens_per_minute,
                        parallel_requests, request_burst, parallel_streams, window_requests, window_seconds
                 FROM limits",
            )
            .fetch_all(pool)
        })?;
        for row in limits {
            let limits = row.limits();
            if let Some(scope) = Scope::from_parts(&row.scope_kind, row.scope_id) {
                set.entry(scope).or_default().limits = limits;
            }
        }
        let budgets: Vec<BudgetRow> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT scope_kind, scope_id, limit_nano_usd, warning_percent FROM budgets
                 WHERE window_kind = $1",
            )
            .bind(CALENDAR_MONTH)
            .fetch_all(pool)
        })?;
        for (kind, id, limit, warning) in budgets {
            let budget = Budget { limit, warning_percent: u32::try_from(warning).unwrap_or(100) };
            if let Some(scope) = Scope::from_parts(&kind, id) {
                set.entry(scope).or_default().budget = Some(budget);
            }
        }
        Ok(set)
    }

    /// Grows with every change.
    pub(crate) async fn policy_revision(&self) -> Result<i64, sqlx::Error> {
        fetch!(self.db.read(), pool => {
            sqlx::query_scalar("SELECT revision FROM policy_revision").fetch_one(pool)
        })
    }
}

/// Lets other replicas see that something changes.
async fn touch(tx: &mut Tx) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("UPDATE policy_revision SET revision = revision + 1").execute(conn)
    })?;
    Ok(())
}

pub(crate) async fn set_limits(
    writer: &Writer,
    scope: &Scope,
    limits: Limits,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let (kind, id) = scope.parts();
    let mut tx = writer.begin().await?;
    touch(&mut tx).await?;
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO limits (scope_kind, scope_id, requests_per_second, requests_per_minute, tokens_per_minute,
                                 parallel_requests, request_burst, parallel_streams, window_requests, window_seconds,
                                 updated_at_unix_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (scope_kind, scope_id) DO UPDATE SET
                 requests_per_second = excluded.requests_per_second,
                 requests_per_minute = excluded.requests_per_minute,
                 tokens_per_minute = excluded.tokens_per_minute,
                 parallel_requests = excluded.parallel_requests,
                 request_burst = excluded.request_burst,
                 parallel_streams = excluded.parallel_streams,
                 window_requests = excluded.window_requests,
                 window_seconds = excluded.window_seconds,
                 updated_at_unix_ms = excluded.updated_at_unix_ms",
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
        .execute(conn)
    })?;
    tx.commit().await
}

pub(crate) async fn set_budget(
    writer: &Writer,
    scope: &Scope,
    budget: Budget,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let (kind, id) = scope.parts();
    let mut tx = writer.begin().await?;
    touch(&mut tx).await?;
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO budgets (scope_kind, scope_id, window_kind, limit_nano_usd, warning_percent,
                                  updated_at_unix_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (scope_kind, scope_id) DO UPDATE SET
                 window_kind = excluded.window_kind,
                 limit_nano_usd = excluded.limit_nano_usd,
                 warning_percent = excluded.warning_percent,
                 updated_at_unix_ms = excluded.updated_at_unix_ms",
        )
        .bind(kind)
        .bind(id)
        .bind(CALENDAR_MONTH)
        .bind(budget.limit)
        .bind(i64::from(budget.warning_percent))
        .bind(now_ms)
        .execute(conn)
    })?;
    tx.commit().await
}

/// Whether there was one.
pub(crate) async fn delete_budget(writer: &Writer, scope: &Scope) -> Result<bool, sqlx::Error> {
    let (kind, id) = scope.parts();
    let mut tx = writer.begin().await?;
    touch(&mut tx).await?;
    let rows = execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM budgets WHERE scope_kind = $1 AND scope_id = $2")
        .bind(kind)
        .bind(id)
        .execute(conn)
    })?;
    tx.commit().await?;
    Ok(rows > 0)
}
