//! What a configuration seeds.

use headgate_kit::Failure;
use headgate_kit::config::{Faults, Problem};
use serde::{Deserialize, Serialize};

use crate::Budget as Service;
use crate::config::Config;
use crate::policy::{Budget, Limits, Scope, SlidingWindow};
use headgate_kit::money::Usd;

/// Limits and budgets to set at start. Setting them again changes nothing.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Limits, one entry a scope.
    pub limits: Vec<LimitsEntry>,
    /// Budgets, one entry a scope.
    pub budgets: Vec<BudgetEntry>,
}

/// The limits of one scope: exactly one of `key_id` and `tenant_id` is given.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsEntry {
    /// The key they cover.
    pub key_id: Option<String>,
    /// The tenant they cover.
    pub tenant_id: Option<String>,
    /// Requests per second. Unset means the configured default.
    pub requests_per_second: Option<u32>,
    /// Requests per minute. Unset means the configured default.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute. Unset means the configured default.
    pub tokens_per_minute: Option<u32>,
    /// Requests running at the same time. Unset means the configured default.
    pub parallel_requests: Option<u32>,
    /// Requests that `requests_per_second` lets through at once. Unset: as many as it says itself.
    pub request_burst: Option<u32>,
    /// Streamed responses running at the same time. Unset means the configured default.
    pub parallel_streams: Option<u32>,
    /// Requests in any span of time. Unset means the configured default.
    pub sliding_window: Option<SlidingWindow>,
}

/// The budget of one scope: exactly one of `key_id` and `tenant_id` is given.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct BudgetEntry {
    /// The key it covers.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The tenant it covers.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// How much may be spent in a window, in USD: a decimal string or number, e.g. `"100.00"`.
    pub limit_usd: Usd,
    /// From which share of the limit on responses carry a warning, in percent. Unset means the configured one.
    #[serde(default)]
    pub warning_percent: Option<u32>,
    /// When it starts anew.
    #[serde(default)]
    pub window: Window,
}

/// When a budget starts anew.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// At the start of each calendar month in the configured time zone.
    #[default]
    CalendarMonth,
}

impl Bootstrap {
    /// Everything that is wrong with it, with its path in the configuration.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut faults = Faults::default();
        for (i, entry) in self.limits.iter().enumerate() {
            faults.keep(entry.scope(i));
            entry.check_limits(i, &mut faults);
        }
        for (i, entry) in self.budgets.iter().enumerate() {
            faults.keep(entry.scope(i));
            faults.keep(entry.check_warning(i));
        }
        faults.into_problems()
    }
}

impl LimitsEntry {
    fn scope(&self, i: usize) -> Result<Scope, Failure> {
        scope(self.key_id.as_deref(), self.tenant_id.as_deref(), &format!("bootstrap.limits[{i}]"))
    }

    fn limits(&self) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second,
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            parallel_requests: self.parallel_requests,
            request_burst: self.request_burst,
            parallel_streams: self.parallel_streams,
            sliding_window: self.sliding_window,
        }
    }

    fn check_limits(&self, i: usize, faults: &mut Faults) {
        for (name, wrong) in self.limits().problems() {
            let field = format!("bootstrap.limits[{i}].{name}");
            faults.keep::<()>(Err(Failure::invalid(&field, format!("{field} {wrong}"))));
        }
    }
}

impl BudgetEntry {
    fn scope(&self, i: usize) -> Result<Scope, Failure> {
        scope(self.key_id.as_deref(), self.tenant_id.as_deref(), &format!("bootstrap.budgets[{i}]"))
    }

    /// 0, as when unset, means the configured share; any other must be one that could be configured.
    fn check_warning(&self, i: usize) -> Result<(), Failure> {
        let Some(warning_percent) = self.warning_percent.filter(|percent| *percent > 0) else {
            return Ok(());
        };
        let problems = Config { warning_percent, ..Config::default() }.problems();
        problems.into_iter().next().map_or(Ok(()), |(name, problem)| {
            let field = format!("bootstrap.budgets[{i}].{name}");
            Err(Failure::invalid(&field, format!("{field} {problem}")))
        })
    }
}

/// Sets everything.
pub(crate) async fn apply(service: &Service, bootstrap: &Bootstrap) -> Result<(), Failure> {
    for (i, entry) in bootstrap.limits.iter().enumerate() {
        service.set_limits(&entry.scope(i)?, entry.limits(), "").await?;
    }
    for (i, entry) in bootstrap.budgets.iter().enumerate() {
        let warning_percent = entry.warning_percent.unwrap_or(0);
        let budget = Budget { limit: entry.limit_usd.nano, warning_percent };
        service.set_budget(&entry.scope(i)?, budget, "").await?;
    }
    Ok(())
}

fn scope(key_id: Option<&str>, tenant_id: Option<&str>, field: &str) -> Result<Scope, Failure> {
    match (key_id, tenant_id) {
        (Some(id), None) if !id.is_empty() => Ok(Scope::Key(id.to_owned())),
        (None, Some(id)) if !id.is_empty() => Ok(Scope::Tenant(id.to_owned())),
        _ => Err(Failure::invalid(field, format!("{field}: give exactly one of key_id and tenant_id"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_at_once() {
        let json = r#"{
            "limits": [{"requests_per_second": 0, "parallel_requests": 0}, {"key_id": "k", "tokens_per_minute": 1, "sliding_window": {"requests": 10001, "seconds": 1}}],
            "budgets": [
                {"tenant_id": "t", "key_id": "k", "limit_usd": 1, "warning_percent": 101},
                {"tenant_id": "t", "limit_usd": 1, "warning_percent": 0}
            ]
        }"#;
        let bootstrap: Bootstrap = serde_json::from_str(json).unwrap();
        let paths: Vec<_> = bootstrap.problems().into_iter().map(|problem| problem.path).collect();
        let wanted = [
            "bootstrap.limits[0]",
            "bootstrap.limits[0].requests_per_second",
            "bootstrap.limits[0].parallel_requests",
            "bootstrap.limits[1].sliding_window",
            "bootstrap.budgets[0]",
            "bootstrap.budgets[0].warning_percent",
        ];
        assert_eq!(paths, wanted);
    }
}
