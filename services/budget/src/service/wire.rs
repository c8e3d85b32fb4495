//! Messages to values and back.

use headgate_kit::Failure;
use headgate_kit::money::Usd;
use headgate_proto::budget::v1 as pb;

use crate::alerts;
use crate::engine::scopes::Standing;
use crate::policy::{Budget, Scope};
use crate::schedule::{MAX_ROLLING_DAYS, Schedule};
use crate::store::set::etag;
use crate::terms::Terms;

pub(super) fn scope(field: &str, scope: Option<pb::Scope>) -> Result<Scope, Failure> {
    match scope.and_then(|s| s.scope) {
        Some(pb::scope::Scope::KeyId(id)) if !id.is_empty() => Ok(Scope::Key(id)),
        Some(pb::scope::Scope::TenantId(id)) if !id.is_empty() => Ok(Scope::Tenant(id)),
        _ => Err(Failure::invalid(field, format!("{field} must name a key or a tenant"))),
    }
}

/// A scope as the contract shows it.
pub(crate) fn shown_scope(scope: Scope) -> pb::Scope {
    let scope = match scope {
        Scope::Key(id) => pb::scope::Scope::KeyId(id),
        Scope::Tenant(id) => pb::scope::Scope::TenantId(id),
    };
    pb::Scope { scope: Some(scope) }
}

/// A budget with its scope.
pub(super) fn budget(mut budget: pb::Budget) -> Result<(Scope, Terms), Failure> {
    let scope = scope("budget.scope", budget.scope.take())?;
    Ok((scope, terms(budget)?))
}

/// A budget without a scope.
pub(super) fn default_budget(budget: Option<pb::Budget>) -> Result<Terms, Failure> {
    let budget = budget.ok_or_else(|| Failure::invalid("budget", "budget is required"))?;
    if budget.scope.is_some() {
        return Err(Failure::invalid("budget.scope", "the default budget is of no scope"));
    }
    terms(budget)
}

/// A budget that a key is made with.
pub(super) fn key_budget(budget: pb::Budget) -> Result<Terms, Failure> {
    if budget.scope.is_some() {
        return Err(Failure::invalid("budget.scope", "the budget that a key is made with covers the key"));
    }
    terms(budget)
}

fn terms(budget: pb::Budget) -> Result<Terms, Failure> {
    let (limit, schedule) = (limit(&budget)?, schedule(&budget)?);
    let alerts = alerts::checked("budget.alerts", budget.alerts.unwrap_or_default())?;
    let budget = Budget { limit, warning_percent: budget.warning_percent, schedule };
    Ok(Terms { budget, alerts: Some(alerts) })
}

/// When it starts anew: each calendar month, where nothing is said.
fn schedule(budget: &pb::Budget) -> Result<Schedule, Failure> {
    use pb::BudgetWindow::{CalendarMonth, RollingDays, Unspecified, Week};
    let days = budget.rolling_days;
    let wrong = |text: String| Failure::invalid("budget.rolling_days", format!("budget.rolling_days {text}"));
    let schedule = match pb::BudgetWindow::try_from(budget.window) {
        Ok(Unspecified | CalendarMonth) => Schedule::CalendarMonth,
        Ok(Week) => Schedule::Week,
        Ok(RollingDays) if (1..=MAX_ROLLING_DAYS).contains(&days) => return Ok(Schedule::RollingDays(days)),
        Ok(RollingDays) => {
            return Err(wrong(format!("must be 1 to {MAX_ROLLING_DAYS} with BUDGET_WINDOW_ROLLING_DAYS")));
        }
        Err(_unknown) => return Err(Failure::invalid("budget.window", "budget.window is no known window")),
    };
    let only_there = || wrong("belongs to BUDGET_WINDOW_ROLLING_DAYS only".to_owned());
    if days == 0 { Ok(schedule) } else { Err(only_there()) }
}

/// How much, as either field says.
fn limit(budget: &pb::Budget) -> Result<i64, Failure> {
    let wrong = |text: &str| Failure::invalid("budget.limit_usd", format!("budget.limit_usd {text}"));
    match (budget.limit_usd.as_str(), budget.limit_nano_usd) {
        // A limit that was forgotten would refuse everything.
        ("", 0) => return Err(wrong("is required, e.g. \"100.00\"; \"0\" refuses everything that costs")),
        ("", nano) => return Ok(nano),
        _ => {}
    }
    let usd = Usd::parse(&budget.limit_usd)
        .ok_or_else(|| wrong("must be an amount in USD with at most nine decimals, e.g. \"100.00\""))?;
    if budget.limit_nano_usd != 0 && budget.limit_nano_usd != usd.nano {
        return Err(wrong("and budget.limit_nano_usd say different amounts"));
    }
    Ok(usd.nano)
}

/// A budget as people are shown it.
pub(crate) fn shown_budget(
    scope: Option<Scope>,
    budget: Budget,
    alerts: Option<pb::BudgetAlerts>,
) -> pb::Budget {
    let limit_usd = Usd::from_nano(budget.limit).to_string();
    pb::Budget { limit_usd, alerts, ..bare_budget(scope, budget) }
}

fn bare_budget(scope: Option<Scope>, budget: Budget) -> pb::Budget {
    let (window, rolling_days) = budget.schedule.to_proto();
    pb::Budget {
        scope: scope.map(shown_scope),
        window: window.into(),
        limit_nano_usd: budget.limit,
        warning_percent: budget.warning_percent,
        limit_usd: String::new(),
        rolling_days,
        alerts: None,
    }
}

/// Where a budget stands, as services tell each other with every admission.
pub(super) fn status(standing: Standing) -> pb::BudgetStatus {
    pb::BudgetStatus {
        budget: Some(bare_budget(Some(standing.scope), standing.budget)),
        window_start_unix_ms: standing.window.start,
        window_end_unix_ms: standing.window.end,
        spent_nano_usd: standing.spent,
        held_nano_usd: standing.held,
        ..pb::BudgetStatus::default()
    }
}

/// The same as people are shown it.
pub(super) fn shown_status(
    standing: Standing,
    alerts: Option<pb::BudgetAlerts>,
    etag: String,
    is_default: bool,
) -> pb::BudgetStatus {
    let Standing { budget, spent, held, .. } = standing;
    let usd = |nano: i64| Usd::from_nano(nano).to_string();
    let remaining = budget.limit.saturating_sub(spent).saturating_sub(held).max(0);
    pb::BudgetStatus {
        budget: Some(shown_budget(Some(standing.scope.clone()), budget, alerts)),
        spent_usd: usd(spent),
        held_usd: usd(held),
        remaining_usd: usd(remaining),
        etag,
        is_default,
        ..status(standing)
    }
}

/// What a scope has spent that no budget covers.
pub(super) fn uncovered(standing: Standing) -> pb::BudgetStatus {
    let status = shown_status(standing, None, etag(0), false);
    pb::BudgetStatus { budget: None, remaining_usd: String::new(), ..status }
}
