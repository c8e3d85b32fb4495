//! `TenantStandingService`: where tenants stand, for whoever lists them.

use std::collections::HashMap;

use headgate_kit::identity::require_peer;
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::tenant_standing_service_server::TenantStandingService;
use tonic::{Request, Response, Status};

use super::lists;
use crate::Budget;

/// Who may call.
const CALLERS: &[&str] = &["auth"];

/// The server of `TenantStandingService`.
#[derive(Clone, Debug)]
pub struct TenantStandings(pub(crate) Budget);

#[tonic::async_trait]
impl TenantStandingService for TenantStandings {
    async fn find_tenant_standings(
        &self,
        request: Request<pb::FindTenantStandingsRequest>,
    ) -> Result<Response<pb::FindTenantStandingsResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let tenant_ids = request.into_inner().tenant_ids;
        lists::check_named(&tenant_ids)?;
        let mut standings = HashMap::with_capacity(tenant_ids.len());
        for tenant_id in tenant_ids {
            let status = lists::standing(&self.0, &tenant_id).await?;
            if status.budget.is_some() || status.spent_nano_usd != 0 || status.held_nano_usd != 0 {
                standings.insert(tenant_id, status);
            }
        }
        Ok(Response::new(pb::FindTenantStandingsResponse { standings }))
    }
}
