//! What windows have cost, one scope at a time, for counters that lie elsewhere.

use headgate_kit::{execute, fetch};

use super::Store;
use crate::policy::{KEY, Scope, TENANT};

/// What a window has cost one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) scope: Scope,
    /// In nano-USD.
    pub(crate) spent: i64,
    /// Grows with every change of `spent`.
    pub(crate) version: i64,
}

impl Store {
    /// Spend and version of a scope in a window; `None` where it has none.
    pub(crate) async fn total(
        &self,
        scope: &Scope,
        window_start: i64,
    ) -> Result<Option<(i64, i64)>, sqlx::Error> {
        let (kind, id) = scope.parts();
        fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT spent_nano_usd, version FROM spend
                 WHERE window_start_unix_ms = $1 AND scope_kind = $2 AND scope_id = $3",
            )
            .bind(window_start)
            .bind(kind)
            .bind(id)
            .fetch_optional(pool)
        })
    }

    /// The totals of a tenant and its keys in a window.
    pub(crate) async fn totals_of_tenant(
        &self,
        tenant_id: &str,
        window_start: i64,
    ) -> Result<Vec<Total>, sqlx::Error> {
        let rows: Vec<(String, String, i64, i64)> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT scope_kind, scope_id, spent_nano_usd, version FROM spend
                 WHERE window_start_unix_ms = $1 AND tenant_id = $2",
            )
            .bind(window_start)
            .bind(tenant_id)
            .fetch_all(pool)
        })?;
        let total = |(kind, id, spent, version): (String, String, i64, i64)| {
            Some(Total { scope: Scope::from_parts(&kind, id)?, spent, version })
        };
        Ok(rows.into_iter().filter_map(total).collect())
    }

    /// The tenants that spent something in a window.
    pub(crate) async fn spenders(&self, window_start: i64) -> Result<Vec<String>, sqlx::Error> {
        fetch!(self.db.read(), pool => {
            sqlx::query_scalar("SELECT scope_id FROM spend WHERE window_start_unix_ms = $1 AND scope_kind = $2")
                .bind(window_start)
                .bind(TENANT)
                .fetch_all(pool)
        })
    }

    /// Whose tenant a key was when it spent something in a window.
    pub(crate) async fn tenant_of_key(
        &self,
        key_id: &str,
        window_start: i64,
    ) -> Result<Option<String>, sqlx::Error> {
        fetch!(self.db.read(), pool => {
            sqlx::query_scalar(
                "SELECT tenant_id FROM spend
                 WHERE window_start_unix_ms = $1 AND scope_kind = $2 AND scope_id = $3",
            )
            .bind(window_start)
            .bind(KEY)
            .bind(key_id)
            .fetch_optional(pool)
        })
    }

    /// Notes that a tenant's counters lie elsewhere from now on. Since when they did before, in milliseconds; `None`
    /// where they did not, which one caller alone is told.
    pub(crate) async fn begin_counting(
        &self,
        tenant_id: &str,
        now_ms: i64,
    ) -> Result<Option<i64>, sqlx::Error> {
        let rows = execute!(self.db.write(), pool => {
            sqlx::query(
                "INSERT INTO counted_tenants (tenant_id, since_unix_ms) VALUES ($1, $2)
                 ON CONFLICT (tenant_id) DO NOTHING",
            )
            .bind(tenant_id)
            .bind(now_ms)
            .execute(pool)
        })?;
        if rows == 1 {
            return Ok(None);
        }
        fetch!(self.db.read(), pool => {
            sqlx::query_scalar("SELECT since_unix_ms FROM counted_tenants WHERE tenant_id = $1")
                .bind(tenant_id)
                .fetch_optional(pool)
        })
    }
}
