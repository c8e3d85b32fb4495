//! What a configuration seeds.

mod alerts;
mod form;
mod wanted;

use std::collections::BTreeMap;

pub use alerts::{AlertsEntry, WebhookEntry};
use headgate_kit::Failure;
use headgate_kit::money::Usd;
use serde::{Deserialize, Serialize};

use crate::Budget as Service;
use crate::change::Change;
use crate::policy::{Budget, Limits, SlidingWindow};
pub use crate::schedule::Schedule;
use crate::terms::Terms;

/// Limits and budgets to set at start. What is said of the limits or the budget of a scope, or of the default budget, is set
/// when it is new here or says something else than it did; otherwise what was set or removed by call since stands. A database
/// of an earlier version, which does not know what was set, has everything set once more.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Limits, one entry a scope.
    pub limits: Vec<LimitsEntry>,
    /// Budgets, one entry a scope.
    pub budgets: Vec<BudgetEntry>,
    /// Limits of tenants, by id.
    pub tenant_limits: BTreeMap<String, Limits>,
    /// Budgets of tenants, by id.
    pub tenant_budgets: BTreeMap<String, BudgetTerms>,
    /// The budget of tenants that have none of their own. Unset leaves it as it is.
    pub default_budget: Option<BudgetTerms>,
    /// What is said of keys where they are made.
    #[serde(skip)]
    pub keys: Vec<KeyEntry>,
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
    /// As of its terms.
    pub limit_usd: Usd,
    /// As of its terms.
    #[serde(default)]
    pub warning_percent: Option<u32>,
    /// As of its terms.
    #[serde(default)]
    pub window: Schedule,
    /// As of its terms.
    #[serde(default)]
    pub alerts: Option<AlertsEntry>,
}

/// How much may be spent.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct BudgetTerms {
    /// How much may be spent in a window, in USD: a decimal string or number, e.g. `"100.00"`.
    pub limit_usd: Usd,
    /// From which share of the limit on responses carry a warning, in percent. Unset means the configured one.
    #[serde(default)]
    pub warning_percent: Option<u32>,
    /// When it starts anew: `calendar_month`, `weekly` or `rolling_Nd`. It is counted by calendar month all the same, for now.
    #[serde(default)]
    pub window: Schedule,
    /// Whom to tell when it runs low. Unset leaves those that are; an empty section, nobody.
    #[serde(default)]
    pub alerts: Option<AlertsEntry>,
}

/// What is said of a key where it is made.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// Where that is, e.g. "bootstrap.api_keys[0]".
    pub at: String,
    /// The key's id.
    pub id: String,
    /// Unset leaves them as they are.
    pub limits: Option<Limits>,
    /// Unset leaves it as it is.
    pub budget: Option<BudgetTerms>,
}

impl BudgetTerms {
    /// As they are set. `at` is where they stand.
    fn checked(&self, at: &str) -> Result<Terms, Failure> {
        let budget = Budget {
            limit: self.limit_usd.nano,
            warning_percent: self.warning_percent.unwrap_or(0),
            schedule: self.window,
        };
        let alerts = self.alerts.as_ref().map(|alerts| alerts.checked(&format!("{at}.alerts")));
        Ok(Terms { budget, alerts: alerts.transpose()? })
    }
}

/// Sets what is new.
pub(crate) async fn apply(service: &Service, bootstrap: &Bootstrap) -> Result<(), Failure> {
    service.seed(bootstrap.wanted()?, &Change::of_bootstrap()).await
}
