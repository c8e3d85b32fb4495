//! Messages to values and back.

use headgate_kit::Failure;
use headgate_proto::budget::v1 as pb;

use crate::engine::scopes::Standing;
use crate::policy::{Budget, Scope};

pub(super) fn scope(field: &str, scope: Option<pb::Scope>) -> Result<Scope, Failure> {
    match scope.and_then(|s| s.scope) {
        Some(pb::scope::Scope::KeyId(id)) if !id.is_empty() => Ok(Scope::Key(id)),
        Some(pb::scope::Scope::TenantId(id)) if !id.is_empty() => Ok(Scope::Tenant(id)),
        _ => Err(Failure::invalid(field, format!("{field} must name a key or a tenant"))),
    }
}

pub(super) fn budget(budget: pb::Budget) -> Result<(Scope, Budget), Failure> {
    if budget.window() != pb::BudgetWindow::CalendarMonth {
        return Err(Failure::invalid("budget.window", "budget.window must be BUDGET_WINDOW_CALENDAR_MONTH"));
    }
    let scope = scope("budget.scope", budget.scope)?;
    Ok((scope, Budget { limit: budget.limit_nano_usd, warning_percent: budget.warning_percent }))
}

pub(super) fn status(standing: Standing) -> pb::BudgetStatus {
    let scope = match standing.scope {
        Scope::Key(id) => pb::scope::Scope::KeyId(id),
        Scope::Tenant(id) => pb::scope::Scope::TenantId(id),
    };
    pb::BudgetStatus {
        budget: Some(pb::Budget {
            scope: Some(pb::Scope { scope: Some(scope) }),
            window: pb::BudgetWindow::CalendarMonth.into(),
            limit_nano_usd: standing.budget.limit,
            warning_percent: standing.budget.warning_percent,
        }),
        window_start_unix_ms: standing.window.start,
        window_end_unix_ms: standing.window.end,
        spent_nano_usd: standing.spent,
        held_nano_usd: standing.held,
    }
}
