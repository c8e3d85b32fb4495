//! `BudgetService`: what people set.

use headgate_access::Caller;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::budget_service_server::BudgetService;
use prost::Name;
use tonic::{Request, Response, Status};

use super::{lists, wire};
use crate::Budget;
use crate::change::Change;
use crate::policy::{Limits, Scope};
use crate::store::set::etag;

/// The server of `BudgetService`.
#[derive(Clone, Debug)]
pub struct Budgets(pub(crate) Budget);

#[tonic::async_trait]
impl BudgetService for Budgets {
    async fn get_limits(
        &self,
        request: Request<pb::GetLimitsRequest>,
    ) -> Result<Response<pb::GetLimitsResponse>, Status> {
        let named = request.get_ref();
        self.check(&request, named.scope.as_ref(), &named.tenant_id).await?;
        let scope = wire::scope("scope", request.into_inner().scope)?;
        let policy = self.0.engine.policies().get(&scope);
        let etag = etag(policy.limits_revision);
        Ok(Response::new(pb::GetLimitsResponse { limits: Some(policy.limits.into()), etag }))
    }

    async fn set_limits(
        &self,
        request: Request<pb::SetLimitsRequest>,
    ) -> Result<Response<pb::SetLimitsResponse>, Status> {
        let named = request.get_ref();
        let (caller, owner) = self.check(&request, named.scope.as_ref(), &named.tenant_id).await?;
        let request = request.into_inner();
        let scope = wire::scope("scope", request.scope)?;
        let limits = request.limits.ok_or_else(|| Failure::invalid("limits", "limits is required"))?;
        let limits = Limits::from(limits);
        let change = Change::new(&caller, request.etag, owner);
        let etag = etag(self.0.set_limits(&scope, limits, &change).await?);
        Ok(Response::new(pb::SetLimitsResponse { limits: Some(limits.into()), etag }))
    }

    async fn get_budget(
        &self,
        request: Request<pb::GetBudgetRequest>,
    ) -> Result<Response<pb::GetBudgetResponse>, Status> {
        let named = request.get_ref();
        self.check(&request, named.scope.as_ref(), &named.tenant_id).await?;
        let scope = wire::scope("scope", request.into_inner().scope)?;
        Ok(Response::new(pb::GetBudgetResponse { status: Some(self.status(&scope).await?) }))
    }

    async fn set_budget(
        &self,
        request: Request<pb::SetBudgetRequest>,
    ) -> Result<Response<pb::SetBudgetResponse>, Status> {
        let named = request.get_ref();
        let scope = named.budget.as_ref().and_then(|budget| budget.scope.as_ref());
        let (caller, owner) = self.check(&request, scope, &named.tenant_id).await?;
        let pb::SetBudgetRequest { budget, etag, .. } = request.into_inner();
        let budget = budget.ok_or_else(|| Failure::invalid("budget", "budget is required"))?;
        let (scope, budget) = wire::budget(budget)?;
        self.0.set_budget(&scope, budget, &Change::new(&caller, etag, owner)).await?;
        Ok(Response::new(pb::SetBudgetResponse { status: Some(self.status(&scope).await?) }))
    }

    async fn delete_budget(
        &self,
        request: Request<pb::DeleteBudgetRequest>,
    ) -> Result<Response<pb::DeleteBudgetResponse>, Status> {
        let named = request.get_ref();
        let (caller, owner) = self.check(&request, named.scope.as_ref(), &named.tenant_id).await?;
        let pb::DeleteBudgetRequest { scope, etag, .. } = request.into_inner();
        let scope = wire::scope("scope", scope)?;
        if !self.0.delete_budget(&scope, &Change::new(&caller, etag, owner)).await? {
            return Err(no_budget().into());
        }
        Ok(Response::new(pb::DeleteBudgetResponse {}))
    }

    async fn get_default_budget(
        &self,
        request: Request<pb::GetDefaultBudgetRequest>,
    ) -> Result<Response<pb::GetDefaultBudgetResponse>, Status> {
        self.0.gate.check(&request)?;
        let (budget, etag) = self.default_budget()?;
        Ok(Response::new(pb::GetDefaultBudgetResponse { budget: Some(budget), etag }))
    }

    async fn set_default_budget(
        &self,
        request: Request<pb::SetDefaultBudgetRequest>,
    ) -> Result<Response<pb::SetDefaultBudgetResponse>, Status> {
        let caller = self.0.gate.check(&request)?;
        let pb::SetDefaultBudgetRequest { budget, etag } = request.into_inner();
        let change = Change::new(&caller, etag, String::new());
        self.0.set_default_budget(wire::default_budget(budget)?, &change).await?;
        let (budget, etag) = self.default_budget()?;
        Ok(Response::new(pb::SetDefaultBudgetResponse { budget: Some(budget), etag }))
    }

    async fn delete_default_budget(
        &self,
        request: Request<pb::DeleteDefaultBudgetRequest>,
    ) -> Result<Response<pb::DeleteDefaultBudgetResponse>, Status> {
        let caller = self.0.gate.check(&request)?;
        let change = Change::new(&caller, request.into_inner().etag, String::new());
        if !self.0.delete_default_budget(&change).await? {
            return Err(no_default().into());
        }
        Ok(Response::new(pb::DeleteDefaultBudgetResponse {}))
    }

    async fn list_budget_overrides(
        &self,
        request: Request<pb::ListBudgetOverridesRequest>,
    ) -> Result<Response<pb::ListBudgetOverridesResponse>, Status> {
        self.0.gate.check(&request)?;
        Ok(Response::new(lists::overrides(&self.0, &request.into_inner())?))
    }

    async fn list_tenant_budgets(
        &self,
        request: Request<pb::ListTenantBudgetsRequest>,
    ) -> Result<Response<pb::ListTenantBudgetsResponse>, Status> {
        let caller = self.0.gate.check_across(&request)?;
        let sees = |tenant_id: &str| caller.sees(tenant_id);
        Ok(Response::new(lists::tenants(&self.0, request.into_inner(), sees).await?))
    }
}

impl Budgets {
    /// Lets in who may do this with what is of a scope, below its tenant where the request names one. Who it is, and the
    /// tenant.
    async fn check<M: Name>(
        &self,
        request: &Request<M>,
        scope: Option<&pb::Scope>,
        tenant_id: &str,
    ) -> Result<(Caller, String), Status> {
        let gate = &self.0.gate;
        let (owner, kind) = match scope.and_then(|scope| scope.scope.as_ref()) {
            Some(pb::scope::Scope::TenantId(id)) => {
                let caller = gate.check_across(request)?;
                (self.tenant(&caller, id).await?, "tenant")
            }
            Some(pb::scope::Scope::KeyId(id)) => {
                // Who may do nothing has nobody asked.
                gate.check_across(request)?;
                (self.0.owners.of(id).await?, "API key")
            }
            None => return Ok((gate.check_across(request)?, String::new())),
        };
        let owner = owner.filter(|owner| tenant_id.is_empty() || owner == tenant_id);
        let caller = gate.check_in(request, owner.as_deref(), kind)?;
        Ok((caller, owner.unwrap_or_default()))
    }

    /// The tenant of an id, if there is one. Whose role in it is known proves that; only who sees all has auth asked.
    async fn tenant(&self, caller: &Caller, id: &str) -> Result<Option<String>, Failure> {
        let asks = caller.is_super_admin() && caller.role_in(id).is_none() && !id.is_empty();
        let exists = !asks || self.0.owners.has(id).await?;
        Ok(exists.then(|| id.to_owned()))
    }

    async fn status(&self, scope: &Scope) -> Result<pb::BudgetStatus, Failure> {
        status(&self.0, scope).await?.ok_or_else(no_budget)
    }

    fn default_budget(&self) -> Result<(pb::Budget, String), Failure> {
        let (budget, revision) = self.0.engine.policies().default_budget().ok_or_else(no_default)?;
        Ok((wire::shown_budget(None, budget, self.0.alerts.of(None)), etag(revision)))
    }
}

/// Where the budget stands that covers a scope, its own or the default.
pub(super) async fn status(service: &Budget, scope: &Scope) -> Result<Option<pb::BudgetStatus>, Failure> {
    let policies = service.engine.policies();
    let policy = policies.get(scope);
    let own = policy.budget.map(|budget| (budget, policy.budget_revision));
    let default = || matches!(scope, Scope::Tenant(_)).then(|| policies.default_budget()).flatten();
    let Some((budget, revision)) = own.or_else(default) else { return Ok(None) };
    let standing = service.engine.standing(scope, budget).await?;
    // Whom the default budget tells is not its tenants' to know.
    let alerts = own.and_then(|_| service.alerts.of(Some(scope)));
    Ok(Some(wire::shown_status(standing, alerts, etag(revision), own.is_none())))
}

fn no_budget() -> Failure {
    Failure::new(ErrorReason::NotFound, "the scope has no budget")
}

fn no_default() -> Failure {
    Failure::new(ErrorReason::NotFound, "there is no default budget")
}
