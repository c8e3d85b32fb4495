//! The list of tenants with their budgets, by a budget that says whatever a test wants.

use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::{ListTenantsRequest, ListTenantsResponse, Tenant};
use headgate_proto::budget::v1::tenant_standing_service_server::{
    TenantStandingService, TenantStandingServiceServer,
};
use headgate_proto::budget::v1::{BudgetStatus, FindTenantStandingsRequest, FindTenantStandingsResponse};
use tonic::Response;

use super::*;

on_both_engines!(tenants_are_listed_with_where_they_stand, a_list_is_worth_more_than_its_budgets,);

/// Knows of tenant "a" that it spent 7, and fails at whoever asks for "away".
struct FakeBudget;

#[tonic::async_trait]
impl TenantStandingService for FakeBudget {
    async fn find_tenant_standings(
        &self,
        request: Request<FindTenantStandingsRequest>,
    ) -> Result<Response<FindTenantStandingsResponse>, Status> {
        require_peer(&request, &["auth"])?;
        let tenant_ids = request.into_inner().tenant_ids;
        if tenant_ids.iter().any(|id| id == "away") {
            return Err(Failure::new(ErrorReason::Unavailable, "the counters are away").into());
        }
        let status = BudgetStatus { spent_nano_usd: 7, ..Default::default() };
        let standings =
            tenant_ids.into_iter().filter(|id| id == "a").map(|id| (id, status.clone())).collect();
        Ok(Response::new(FindTenantStandingsResponse { standings }))
    }
}

async fn list(fixture: &Fixture) -> ListTenantsResponse {
    fixture.tenants().list_tenants(ListTenantsRequest::default()).await.unwrap().into_inner()
}

/// The tenants of a list, and what each spent where that is told.
fn spent(list: &ListTenantsResponse) -> Vec<(&str, Option<i64>)> {
    let spent = |tenant: &Tenant| tenant.budget.as_ref().map(|status| status.spent_nano_usd);
    list.tenants.iter().map(|tenant| (tenant.id.as_str(), spent(tenant))).collect()
}

async fn tenants_are_listed_with_where_they_stand(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.ask_standings_at(local(TenantStandingServiceServer::new(FakeBudget)));
    assert!(!list(&fixture).await.budgets_unavailable, "there is nothing to tell");
    for tenant_id in ["a", "b"] {
        fixture.tenant(tenant_id).await;
    }
    let listed = list(&fixture).await;
    assert_eq!((spent(&listed), listed.budgets_unavailable), (vec![("a", Some(7)), ("b", None)], false));
}

async fn a_list_is_worth_more_than_its_budgets(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let listed = list(&fixture).await;
    assert_eq!((spent(&listed), listed.budgets_unavailable), (vec![("a", None)], true), "nobody to ask");
    fixture.auth.ask_standings_at(local(TenantStandingServiceServer::new(FakeBudget)));
    fixture.tenant("away").await;
    let listed = list(&fixture).await;
    assert_eq!((spent(&listed), listed.budgets_unavailable), (vec![("a", None), ("away", None)], true));
}
