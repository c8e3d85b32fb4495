//! Everything that a configuration says of limits and budgets, by scope. Pure, and goes on after the first fault.

use std::collections::HashSet;

use headgate_kit::Failure;
use headgate_kit::config::{Faults, Problem};

use super::{Bootstrap, BudgetEntry, BudgetTerms, LimitsEntry};
use crate::config::Config;
use crate::policy::{Limits, Scope};

/// Where the default budget stands.
pub(super) const DEFAULT_BUDGET: &str = "bootstrap.default_budget";

/// Something that is said of a scope, and where.
pub(super) struct Said<T> {
    pub(super) at: String,
    /// The key's and the tenant's id, as far as they are given.
    of: (Option<String>, Option<String>),
    pub(super) what: T,
}

impl<T> Said<T> {
    fn of_key(at: String, id: &str, what: T) -> Self {
        Self { at, of: (Some(id.to_owned()), None), what }
    }

    fn of_tenant(at: String, id: &str, what: T) -> Self {
        Self { at, of: (None, Some(id.to_owned())), what }
    }

    pub(super) fn scope(&self) -> Result<Scope, Failure> {
        match &self.of {
            (Some(id), None) if !id.is_empty() => Ok(Scope::Key(id.clone())),
            (None, Some(id)) if !id.is_empty() => Ok(Scope::Tenant(id.clone())),
            _ => Err(self.wrong("give exactly one of key_id and tenant_id")),
        }
    }

    /// The same, but not a second time.
    fn scope_once(&self, seen: &mut HashSet<Scope>) -> Result<(), Failure> {
        let scope = self.scope()?;
        let text = format!("the {} {} has some elsewhere in the bootstrap", scope.parts().0, scope.parts().1);
        if seen.insert(scope) { Ok(()) } else { Err(self.wrong(&text)) }
    }

    fn wrong(&self, text: &str) -> Failure {
        Failure::invalid(&self.at, format!("{}: {text}", self.at))
    }
}

impl Bootstrap {
    /// Everything that is wrong with it, with its path in the configuration.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut faults = Faults::default();
        let mut seen = HashSet::new();
        for said in self.all_limits() {
            faults.keep(said.scope_once(&mut seen));
            check_limits(&said.at, said.what, &mut faults);
        }
        seen.clear();
        for said in self.all_budgets() {
            faults.keep(said.scope_once(&mut seen));
            faults.keep(check_warning(&said.at, &said.what));
            faults.keep(said.what.checked(&said.at));
        }
        if let Some(default) = &self.default_budget {
            faults.keep(check_warning(DEFAULT_BUDGET, default));
            faults.keep(default.checked(DEFAULT_BUDGET));
        }
        faults.into_problems()
    }

    pub(super) fn all_limits(&self) -> Vec<Said<Limits>> {
        let entries = self.limits.iter().enumerate().map(|(i, entry)| {
            let of = (entry.key_id.clone(), entry.tenant_id.clone());
            Said { at: format!("bootstrap.limits[{i}]"), of, what: entry.limits() }
        });
        let tenants = self.tenant_limits.iter();
        let tenants =
            tenants.map(|(id, limits)| Said::of_tenant(format!("bootstrap.tenant_limits.{id}"), id, *limits));
        let keys = self.keys.iter();
        let keys =
            keys.filter_map(|key| Some(Said::of_key(format!("{}.limits", key.at), &key.id, key.limits?)));
        entries.chain(tenants).chain(keys).collect()
    }

    pub(super) fn all_budgets(&self) -> Vec<Said<BudgetTerms>> {
        let entries = self.budgets.iter().enumerate().map(|(i, entry)| {
            let of = (entry.key_id.clone(), entry.tenant_id.clone());
            Said { at: format!("bootstrap.budgets[{i}]"), of, what: entry.terms() }
        });
        let tenants = self.tenant_budgets.iter();
        let tenants = tenants
            .map(|(id, terms)| Said::of_tenant(format!("bootstrap.tenant_budgets.{id}"), id, terms.clone()));
        let keys = self.keys.iter();
        let keys = keys
            .filter_map(|key| Some(Said::of_key(format!("{}.budget", key.at), &key.id, key.budget.clone()?)));
        entries.chain(tenants).chain(keys).collect()
    }
}

impl LimitsEntry {
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
}

impl BudgetEntry {
    fn terms(&self) -> BudgetTerms {
        let Self { limit_usd, warning_percent, window, alerts, .. } = self.clone();
        BudgetTerms { limit_usd, warning_percent, window, alerts }
    }
}

fn check_limits(at: &str, limits: Limits, faults: &mut Faults) {
    for (name, wrong) in limits.problems() {
        let field = format!("{at}.{name}");
        faults.keep::<()>(Err(Failure::invalid(&field, format!("{field} {wrong}"))));
    }
}

/// 0, as when unset, means the configured share; any other must be one that could be configured.
fn check_warning(at: &str, terms: &BudgetTerms) -> Result<(), Failure> {
    let Some(warning_percent) = terms.warning_percent.filter(|percent| *percent > 0) else {
        return Ok(());
    };
    let problems = Config { warning_percent, ..Config::default() }.problems();
    problems.into_iter().next().map_or(Ok(()), |(name, problem)| {
        let field = format!("{at}.{name}");
        Err(Failure::invalid(&field, format!("{field} {problem}")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::KeyEntry;
    use super::*;

    fn paths(bootstrap: &Bootstrap) -> Vec<String> {
        bootstrap.problems().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let json = r#"{
            "limits": [{"requests_per_second": 0, "parallel_requests": 0}, {"key_id": "k", "tokens_per_minute": 1, "sliding_window": {"requests": 10001, "seconds": 1}}],
            "budgets": [
                {"tenant_id": "t", "key_id": "k", "limit_usd": 1, "warning_percent": 101},
                {"tenant_id": "t", "limit_usd": 1, "warning_percent": 0}
            ],
            "tenant_limits": {"t": {"requests_per_minute": 0}, "": {}},
            "tenant_budgets": {"u": {"limit_usd": 1, "warning_percent": 101, "alerts": {"emails": ["ada"]}}},
            "default_budget": {"limit_usd": 1, "warning_percent": 101, "alerts": {"webhooks": [{"name": "a", "url": ""}]}}
        }"#;
        let wanted = [
            "bootstrap.limits[0]",
            "bootstrap.limits[0].requests_per_second",
            "bootstrap.limits[0].parallel_requests",
            "bootstrap.limits[1].sliding_window",
            "bootstrap.tenant_limits.",
            "bootstrap.tenant_limits.t.requests_per_minute",
            "bootstrap.budgets[0]",
            "bootstrap.budgets[0].warning_percent",
            "bootstrap.tenant_budgets.u.warning_percent",
            "bootstrap.tenant_budgets.u.alerts.emails[0]",
            "bootstrap.default_budget.warning_percent",
            "bootstrap.default_budget.alerts.webhooks[0].url",
        ];
        assert_eq!(paths(&serde_json::from_str(json).unwrap()), wanted);
    }

    #[test]
    fn a_scope_is_spoken_of_once() {
        let json = r#"{
            "limits": [{"key_id": "k"}, {"tenant_id": "k"}, {"tenant_id": "t"}],
            "budgets": [{"key_id": "k", "limit_usd": 1}],
            "tenant_limits": {"t": {}},
            "tenant_budgets": {"t": {"limit_usd": 1}}
        }"#;
        let mut bootstrap: Bootstrap = serde_json::from_str(json).unwrap();
        assert_eq!(paths(&bootstrap), ["bootstrap.tenant_limits.t"]);
        let budget = bootstrap.tenant_budgets.get("t").cloned();
        let at = "bootstrap.api_keys[0]".to_owned();
        bootstrap.keys = vec![KeyEntry { at, id: "k".into(), limits: Some(Limits::default()), budget }];
        let wanted =
            ["bootstrap.tenant_limits.t", "bootstrap.api_keys[0].limits", "bootstrap.api_keys[0].budget"];
        assert_eq!(paths(&bootstrap), wanted);
    }
}
