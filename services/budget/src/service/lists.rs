//! Lists of what was set, and of where tenants stand.

use std::collections::BTreeSet;

use headgate_kit::Failure;
use headgate_kit::page::Page;
use headgate_proto::budget::v1 as pb;

use super::budgets::status;
use super::wire;
use crate::policy::{Budget, Limits, Policy, Scope};
use crate::schedule::Schedule;
use crate::{Budget as Service, unavailable};

/// How many tenants may be asked for by id.
const NAMED_AT_MOST: usize = 1_000;

/// What was set in place of defaults.
pub(super) fn overrides(
    service: &Service,
    request: &pb::ListBudgetOverridesRequest,
) -> Result<pb::ListBudgetOverridesResponse, Failure> {
    let page = Page::parse(request.page_size, &request.page_token)?;
    let rows = service.engine.policies().overrides().into_iter();
    let rows = rows.map(|(scope, policy)| (place(&scope), scope, policy));
    let (rows, next_page_token) = page.cut(rows.filter(|(place, ..)| *place > page.after), |row| &row.0);
    let overrides = rows.into_iter().map(|(_, scope, policy)| shown(service, scope, policy)).collect();
    Ok(pb::ListBudgetOverridesResponse { overrides, next_page_token })
}

/// Where a scope stands in the list.
fn place(scope: &Scope) -> String {
    let (kind, id) = scope.parts();
    format!("{kind} {id}")
}

fn shown(service: &Service, scope: Scope, policy: Policy) -> pb::BudgetOverride {
    let limits = Some(policy.limits).filter(|limits| *limits != Limits::default());
    let alerts = service.alerts.of(Some(&scope));
    let budget = policy.budget.map(|budget| wire::shown_budget(Some(scope.clone()), budget, alerts));
    pb::BudgetOverride { scope: Some(wire::shown_scope(scope)), limits: limits.map(Into::into), budget }
}

/// Where tenants stand of which the caller may know.
pub(super) async fn tenants(
    service: &Service,
    request: pb::ListTenantBudgetsRequest,
    sees: impl Fn(&str) -> bool,
) -> Result<pb::ListTenantBudgetsResponse, Failure> {
    let page = Page::parse(request.page_size, &request.page_token)?;
    check_named(&request.tenant_ids)?;
    let ids: BTreeSet<String> = match request.tenant_ids {
        named if named.is_empty() => known(service).await?,
        named => named.into_iter().filter(|id| !id.is_empty()).collect(),
    };
    let visible = ids.into_iter().filter(|id| *id > page.after && sees(id));
    let (ids, next_page_token) = page.cut(visible, |id| id);
    let mut tenants = Vec::with_capacity(ids.len());
    for tenant_id in ids {
        let status = Some(standing(service, &tenant_id).await?);
        tenants.push(pb::TenantBudget { tenant_id, status });
    }
    Ok(pb::ListTenantBudgetsResponse { tenants, next_page_token })
}

/// Refuses to be asked for too many tenants by id.
pub(super) fn check_named(tenant_ids: &[String]) -> Result<(), Failure> {
    if tenant_ids.len() <= NAMED_AT_MOST {
        return Ok(());
    }
    Err(Failure::invalid("tenant_ids", format!("tenant_ids must be at most {NAMED_AT_MOST}")))
}

/// Tenants that have a budget of their own, or spent something.
async fn known(service: &Service) -> Result<BTreeSet<String>, Failure> {
    let window = service.engine.months().at(service.engine.clock().unix_millis());
    let spenders = service.store.spenders(window.start).await.map_err(unavailable)?;
    Ok(service.engine.policies().tenants_with_budget().into_iter().chain(spenders).collect())
}

/// Where a tenant stands, whether or not a budget covers it.
pub(super) async fn standing(service: &Service, tenant_id: &str) -> Result<pb::BudgetStatus, Failure> {
    let scope = Scope::Tenant(tenant_id.to_owned());
    if let Some(status) = status(service, &scope).await? {
        return Ok(status);
    }
    let nothing = Budget { limit: 0, warning_percent: 0, schedule: Schedule::default() };
    Ok(wire::uncovered(service.engine.standing(&scope, nothing).await?))
}
