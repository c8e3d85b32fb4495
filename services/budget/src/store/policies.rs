//! What operators set.

use std::collections::HashMap;

use headgate_kit::fetch;

use super::Store;
use crate::alerts::{Alerts, ByBudget, Vault};
use crate::policy::{Budget, Dated, Limits, Policy, Scope, SlidingWindow};

pub(super) const CALENDAR_MONTH: &str = "calendar_month";
/// Kind and id of the budget that covers tenants without one of their own.
pub(crate) const DEFAULT: (&str, &str) = ("default", "tenant");

/// Everything that is set.
pub(crate) struct Loaded {
    pub(crate) set: HashMap<Scope, Policy>,
    pub(crate) default_budget: Option<Dated>,
    pub(crate) alerts: ByBudget,
}

#[derive(sqlx::FromRow)]
pub(super) struct LimitsRow {
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
    pub(super) revision: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct BudgetRow {
    scope_kind: String,
    scope_id: String,
    limit_nano_usd: i64,
    warning_percent: i64,
    schedule: String,
    sealed_alerts: Option<Vec<u8>>,
    pub(super) revision: i64,
}

impl LimitsRow {
    pub(super) fn limits(&self) -> Limits {
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

impl BudgetRow {
    pub(super) fn budget(&self) -> Budget {
        Budget {
            limit: self.limit_nano_usd,
            warning_percent: u32::try_from(self.warning_percent).unwrap_or(100),
            // Of a newer version, perhaps: what is enforced.
            schedule: self.schedule.parse().unwrap_or_default(),
        }
    }

    pub(super) fn alerts(&self, vault: &Vault) -> Alerts {
        vault.unseal((&self.scope_kind, &self.scope_id), self.sealed_alerts.as_deref())
    }
}

impl Store {
    /// Everything that is set.
    pub(crate) async fn load_policies(&self, vault: &Vault) -> Result<Loaded, sqlx::Error> {
        let mut set: HashMap<Scope, Policy> = HashMap::new();
        let limits: Vec<LimitsRow> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT scope_kind, scope_id, requests_per_second, requests_per_minute, tokens_per_minute,
                        parallel_requests, request_burst, parallel_streams, window_requests, window_seconds, revision
                 FROM limits",
            )
            .fetch_all(pool)
        })?;
        for row in limits {
            let limits = row.limits();
            if let Some(scope) = Scope::from_parts(&row.scope_kind, row.scope_id) {
                let policy = set.entry(scope).or_default();
                (policy.limits, policy.limits_revision) = (limits, row.revision);
            }
        }
        let budgets: Vec<BudgetRow> = fetch!(self.db.read(), pool => {
            sqlx::query_as(
                "SELECT scope_kind, scope_id, limit_nano_usd, warning_percent, schedule, sealed_alerts, revision
                 FROM budgets WHERE window_kind = $1",
            )
            .bind(CALENDAR_MONTH)
            .fetch_all(pool)
        })?;
        let (mut default_budget, mut alerts) = (None, ByBudget::new());
        for row in budgets {
            let (budget, revision, shown) = (row.budget(), row.revision, row.alerts(vault).shown());
            let scope = if (row.scope_kind.as_str(), row.scope_id.as_str()) == DEFAULT {
                default_budget = Some((budget, revision));
                None
            } else if let Some(scope) = Scope::from_parts(&row.scope_kind, row.scope_id) {
                let policy = set.entry(scope.clone()).or_default();
                (policy.budget, policy.budget_revision) = (Some(budget), revision);
                Some(scope)
            } else {
                continue;
            };
            alerts.extend(shown.map(|shown| (scope, shown)));
        }
        Ok(Loaded { set, default_budget, alerts })
    }

    /// Grows with every change.
    pub(crate) async fn policy_revision(&self) -> Result<i64, sqlx::Error> {
        fetch!(self.db.read(), pool => {
            sqlx::query_scalar("SELECT revision FROM policy_revision").fetch_one(pool)
        })
    }
}
