//! What a configuration seeds.

mod form;

use std::collections::BTreeMap;

use headgate_kit::Failure;
use headgate_kit::money::Usd;
use serde::{Deserialize, Serialize};

use crate::Budget as Service;
use crate::change::Change;
use crate::policy::{Budget, Limits, SlidingWindow};
pub use crate::schedule::Schedule;

/// Limits and budgets to set at start. Setting them again changes nothing.
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
}

/// How much may be spent.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
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

impl From<BudgetTerms> for Budget {
    fn from(terms: BudgetTerms) -> Self {
        Self {
            limit: terms.limit_usd.nano,
            warning_percent: terms.warning_percent.unwrap_or(0),
            schedule: terms.window,
        }
    }
}

/// Sets everything.
pub(crate) async fn apply(service: &Service, bootstrap: &Bootstrap) -> Result<(), Failure> {
    let change = Change::of_bootstrap();
    for said in bootstrap.all_limits() {
        service.set_limits(&said.scope()?, said.what, &change).await?;
    }
    for said in bootstrap.all_budgets() {
        service.set_budget(&said.scope()?, said.what.into(), &change).await?;
    }
    if let Some(default) = bootstrap.default_budget {
        service.set_default_budget(default.into(), &change).await?;
    }
    Ok(())
}
