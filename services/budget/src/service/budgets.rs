//! `BudgetService`: what people set.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::budget_service_server::BudgetService;
use prost::Name;
use tonic::{Request, Response, Status};

use super::wire;
use crate::Budget;
use crate::policy::{Limits, Scope};

/// The server of `BudgetService`.
#[derive(Clone, Debug)]
pub struct Budgets(pub(crate) Budget);

#[tonic::async_trait]
impl BudgetService for Budgets {
    async fn get_limits(
        &self,
        request: Request<pb::GetLimitsRequest>,
    ) -> Result<Response<pb::GetLimitsResponse>, Status> {
        self.check(&request, request.get_ref().scope.as_ref())?;
        let scope = wire::scope("scope", request.into_inner().scope)?;
        let limits = self.0.engine.policies().get(&scope).limits;
        Ok(Response::new(pb::GetLimitsResponse { limits: Some(limits.into()) }))
    }

    async fn set_limits(
        &self,
        request: Request<pb::SetLimitsRequest>,
    ) -> Result<Response<pb::SetLimitsResponse>, Status> {
        self.check(&request, request.get_ref().scope.as_ref())?;
        let request = request.into_inner();
        let scope = wire::scope("scope", request.scope)?;
        let limits = request.limits.ok_or_else(|| Failure::invalid("limits", "limits is required"))?;
        let limits = Limits::from(limits);
        self.0.set_limits(&scope, limits).await?;
        Ok(Response::new(pb::SetLimitsResponse { limits: Some(limits.into()) }))
    }

    async fn get_budget(
        &self,
        request: Request<pb::GetBudgetRequest>,
    ) -> Result<Response<pb::GetBudgetResponse>, Status> {
        self.check(&request, request.get_ref().scope.as_ref())?;
        let scope = wire::scope("scope", request.into_inner().scope)?;
        Ok(Response::new(pb::GetBudgetResponse { status: Some(self.status(&scope).await?) }))
    }

    async fn set_budget(
        &self,
        request: Request<pb::SetBudgetRequest>,
    ) -> Result<Response<pb::SetBudgetResponse>, Status> {
        let scope = request.get_ref().budget.as_ref().and_then(|budget| budget.scope.as_ref());
        self.check(&request, scope)?;
        let budget = request.into_inner().budget;
        let budget = budget.ok_or_else(|| Failure::invalid("budget", "budget is required"))?;
        let (scope, budget) = wire::budget(budget)?;
        self.0.set_budget(&scope, budget).await?;
        Ok(Response::new(pb::SetBudgetResponse { status: Some(self.status(&scope).await?) }))
    }

    async fn delete_budget(
        &self,
        request: Request<pb::DeleteBudgetRequest>,
    ) -> Result<Response<pb::DeleteBudgetResponse>, Status> {
        self.check(&request, request.get_ref().scope.as_ref())?;
        let scope = wire::scope("scope", request.into_inner().scope)?;
        if !self.0.delete_budget(&scope).await? {
            return Err(no_budget().into());
        }
        Ok(Response::new(pb::DeleteBudgetResponse {}))
    }
}

impl Budgets {
    /// Which tenant a key is of is not known here for certain, so what is of keys is for super admins.
    fn check<M: Name>(&self, request: &Request<M>, scope: Option<&pb::Scope>) -> Result<(), Status> {
        let gate = &self.0.gate;
        let key = match scope.and_then(|scope| scope.scope.as_ref()) {
            Some(pb::scope::Scope::TenantId(id)) => {
                return gate.check_in(request, Some(id), "tenant").map(drop);
            }
            Some(pb::scope::Scope::KeyId(_)) => true,
            None => false,
        };
        if gate.check_across(request)?.is_super_admin() || !key {
            return Ok(());
        }
        let message = "limits and budgets of API keys take a super admin";
        Err(Failure::new(ErrorReason::PermissionDenied, message).into())
    }

    async fn status(&self, scope: &Scope) -> Result<pb::BudgetStatus, Failure> {
        let budget = self.0.engine.policies().get(scope).budget.ok_or_else(no_budget)?;
        Ok(wire::status(self.0.engine.standing(scope, budget).await?))
    }
}

fn no_budget() -> Failure {
    Failure::new(ErrorReason::NotFound, "the scope has no budget")
}
