//! Where tenants stand: budget knows, and is asked for each page of the list. A list is worth more than its budgets.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headgate_kit::conn::Conn;
use headgate_proto::budget::v1::tenant_standing_service_client::TenantStandingServiceClient;
use headgate_proto::budget::v1::{BudgetStatus, FindTenantStandingsRequest};
use tonic::{Request, Response};

/// How long budget may take: whoever reads a list waits for it.
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Where budget is. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standings(Arc<OnceLock<TenantStandingServiceClient<Conn>>>);

impl Standings {
    /// Budget is there from now on. The first that is named stays.
    pub(crate) fn ask_at(&self, budget: Conn) {
        self.0.get_or_init(|| TenantStandingServiceClient::new(budget));
    }

    /// Where these tenants stand, by id; without those that no budget covers and that spent nothing. `None` when budget
    /// cannot tell.
    pub(crate) async fn of(&self, tenant_ids: Vec<String>) -> Option<HashMap<String, BudgetStatus>> {
        if tenant_ids.is_empty() {
            return Some(HashMap::new());
        }
        let mut budget = self.0.get()?.clone();
        let mut request = Request::new(FindTenantStandingsRequest { tenant_ids });
        request.set_timeout(CALL_DEADLINE);
        let answer = budget.find_tenant_standings(request).await.map(Response::into_inner);
        let answer =
            answer.inspect_err(|cause| tracing::warn!(%cause, "tenants are listed without their budgets"));
        answer.ok().map(|found| found.standings)
    }
}
