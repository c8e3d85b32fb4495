//! `TenantService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::tenant_service_server::TenantService;
use headgate_proto::auth::v1::{
    CreateTenantRequest, CreateTenantResponse, DeleteTenantRequest, DeleteTenantResponse, GetTenantRequest,
    GetTenantResponse, ListTenantsRequest, ListTenantsResponse, LookupTenantsRequest, LookupTenantsResponse,
    SetTenantStatusRequest, SetTenantStatusResponse, TenantStatus, UpdateTenantRequest, UpdateTenantResponse,
};
use tonic::{Request, Response, Status};

use super::no_such;
use crate::directory::Directory;
use crate::model::Tenant;
use crate::registry::Registry;
use crate::standings::Standings;
use crate::{tenant_change, tenant_lookup, validate};
use headgate_kit::page::Page;

/// Serves tenants: to their people, and all of them to super admins.
#[derive(Clone)]
pub struct TenantApi {
    registry: Arc<Registry>,
    gate: Gate,
    standings: Standings,
}

impl TenantApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate, standings: Standings) -> Self {
        Self { registry, gate, standings }
    }
}

#[tonic::async_trait]
impl TenantService for TenantApi {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let CreateTenantRequest { name, id } = request.into_inner();
        validate::tenant_name("name", &name)?;
        let id = if id.is_empty() { ids::prefixed("tenant", &self.registry.clock) } else { id };
        validate::id("id", &id)?;
        let created_ms = self.registry.clock.unix_millis();
        let tenant = Tenant { id, name, status: TenantStatus::Active, created_ms, revision: 0 };
        let plan = move |directory: &Directory| tenant_change::create(directory, tenant);
        let made = self.registry.change(&caller, plan).await?;
        Ok(Response::new(CreateTenantResponse { tenant: Some(made.to_proto()) }))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let id = &request.get_ref().id;
        let tenant = self.registry.read().tenant(id).map(Tenant::to_proto);
        self.gate.check_in(&request, tenant.as_ref().map(|tenant| tenant.id.as_str()), "tenant")?;
        let tenant = tenant.ok_or_else(|| no_such("tenant"))?;
        Ok(Response::new(GetTenantResponse { tenant: Some(tenant) }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let caller = self.gate.check_across(&request)?;
        let ListTenantsRequest { page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let (mut tenants, next_page_token) = {
            let directory = self.registry.read();
            let own = directory.tenants_after(&page.after).filter(|tenant| caller.sees(&tenant.id));
            let (rows, next_page_token) = page.cut(own, |tenant| &tenant.id);
            (rows.into_iter().map(Tenant::to_proto).collect::<Vec<_>>(), next_page_token)
        };
        let known = self.standings.of(tenants.iter().map(|tenant| tenant.id.clone()).collect()).await;
        let budgets_unavailable = known.is_none();
        let mut standings = known.unwrap_or_default();
        for tenant in &mut tenants {
            tenant.budget = standings.remove(&tenant.id);
        }
        Ok(Response::new(ListTenantsResponse { tenants, next_page_token, budgets_unavailable }))
    }

    async fn set_tenant_status(
        &self,
        request: Request<SetTenantStatusRequest>,
    ) -> Result<Response<SetTenantStatusResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let SetTenantStatusRequest { id, status, etag } = request.into_inner();
        let status = TenantStatus::try_from(status)
            .ok()
            .filter(|status| *status != TenantStatus::Unspecified)
            .ok_or_else(|| Failure::invalid("status", "status must be active, suspended or archived"))?;
        let plan = move |directory: &Directory| tenant_change::set_status(directory, &id, &etag, status);
        let tenant = self.registry.change(&caller, plan).await?;
        Ok(Response::new(SetTenantStatusResponse { tenant: Some(tenant.to_proto()) }))
    }

    async fn lookup_tenants(
        &self,
        request: Request<LookupTenantsRequest>,
    ) -> Result<Response<LookupTenantsResponse>, Status> {
        let caller = self.gate.check_across(&request)?;
        let LookupTenantsRequest { query, page_size } = request.into_inner();
        let most = tenant_lookup::rows(&query, page_size)?;
        let directory = self.registry.read();
        let own = directory.tenants_after("").filter(|tenant| caller.sees(&tenant.id));
        let found = tenant_lookup::find(own, &query, most);
        let tenants = found.into_iter().map(Tenant::to_proto).collect();
        Ok(Response::new(LookupTenantsResponse { tenants }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let UpdateTenantRequest { id, etag, name } = request.into_inner();
        if let Some(name) = &name {
            validate::tenant_name("name", name)?;
        }
        let plan = move |directory: &Directory| tenant_change::update(directory, &id, &etag, name);
        let tenant = self.registry.change(&caller, plan).await?;
        Ok(Response::new(UpdateTenantResponse { tenant: Some(tenant.to_proto()) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let DeleteTenantRequest { id, etag } = request.into_inner();
        let archived = TenantStatus::Archived;
        let plan = move |directory: &Directory| tenant_change::set_status(directory, &id, &etag, archived);
        let tenant = self.registry.change(&caller, plan).await?;
        Ok(Response::new(DeleteTenantResponse { tenant: Some(tenant.to_proto()) }))
    }
}
