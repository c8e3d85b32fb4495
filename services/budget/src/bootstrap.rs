//! What a configuration seeds.

use headgate_kit::Failure;
use serde::{Deserialize, Serialize};

use crate::Budget as Service;
use crate::policy::{Budget, Limits, Scope};
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

/// Sets everything.
pub(crate) async fn apply(service: &Service, bootstrap: &Bootstrap) -> Result<(), Failure> {
    for entry in &bootstrap.limits {
        let scope = scope(entry.key_id.as_deref(), entry.tenant_id.as_deref(), "limits")?;
        let limits = Limits {
            requests_per_second: entry.requests_per_second,
            requests_per_minute: entry.requests_per_minute,
            tokens_per_minute: entry.tokens_per_minute,
            parallel_requests: entry.parallel_requests,
        };
        service.set_limits(&scope, limits).await?;
    }
    for entry in &bootstrap.budgets {
        let scope = scope(entry.key_id.as_deref(), entry.tenant_id.as_deref(), "budgets")?;
        let warning_percent = entry.warning_percent.unwrap_or(0);
        service.set_budget(&scope, Budget { limit: entry.limit_usd.nano, warning_percent }).await?;
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
