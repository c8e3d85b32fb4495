//! `TenantService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::tenant_service_server::TenantService;
use headgate_proto::auth::v1::{
    CreateTenantRequest, CreateTenantResponse, GetTenantRequest, GetTenantResponse, ListTenantsRequest,
    ListTenantsResponse, SetTenantStatusRequest, SetTenantStatusResponse, TenantStatus,
};
use tonic::{Request, Response, Status};

use super::no_such;
use crate::directory::{Batch, Directory};
use crate::model::Tenant;
use crate::registry::Registry;
use crate::validate;
use headgate_kit::page::Page;

/// Serves tenants: to their people, and all of them to super admins.
#[derive(Clone)]
pub struct TenantApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl TenantApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }
}

#[tonic::async_trait]
impl TenantService for TenantApi {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        self.gate.check(&request)?;
        let CreateTenantRequest { name, id } = request.into_inner();
        validate::name("name", &name)?;
        let id = if id.is_empty() { ids::prefixed("tenant", &self.registry.clock) } else { id };
        validate::id("id", &id)?;
        let created_ms = self.registry.clock.unix_millis();
        let tenant = Tenant { id, name, status: TenantStatus::Active, created_ms, revision: 0 };
        let made = self.registry.change(move |directory| create(directory, tenant)).await?;
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
        let directory = self.registry.read();
        let own = directory.tenants_after(&page.after).filter(|tenant| caller.sees(&tenant.id));
        let (rows, next_page_token) = page.cut(own, |tenant| &tenant.id);
        let tenants = rows.into_iter().map(Tenant::to_proto).collect();
        Ok(Response::new(ListTenantsResponse { tenants, next_page_token }))
    }

    async fn set_tenant_status(
        &self,
        request: Request<SetTenantStatusRequest>,
    ) -> Result<Response<SetTenantStatusResponse>, Status> {
        self.gate.check(&request)?;
        let SetTenantStatusRequest { id, status } = request.into_inner();
        let status = TenantStatus::try_from(status)
            .ok()
            .filter(|status| *status != TenantStatus::Unspecified)
            .ok_or_else(|| Failure::invalid("status", "status must be active, suspended or archived"))?;
        let tenant = self.registry.change(move |directory| set_status(directory, &id, status)).await?;
        Ok(Response::new(SetTenantStatusResponse { tenant: Some(tenant.to_proto()) }))
    }
}

fn create(directory: &Directory, tenant: Tenant) -> Result<(Batch, Tenant), Failure> {
    if directory.tenant(&tenant.id).is_some() {
        return Err(
            Failure::new(ErrorReason::AlreadyExists, "a tenant with this id exists").with("field", "id")
        );
    }
    if directory.tenant_named(&tenant.name).is_some() {
        let message = "a tenant with this name exists";
        return Err(Failure::new(ErrorReason::AlreadyExists, message).with("field", "name"));
    }
    Ok(planned(directory, tenant))
}

fn set_status(directory: &Directory, id: &str, status: TenantStatus) -> Result<(Batch, Tenant), Failure> {
    let old = directory.tenant(id).ok_or_else(|| no_such("tenant"))?;
    if old.status == status {
        return Ok((Batch::default(), old.clone()));
    }
    if old.status == TenantStatus::Archived {
        return Err(Failure::new(ErrorReason::Conflict, "an archived tenant stays archived"));
    }
    Ok(planned(directory, Tenant { status, ..old.clone() }))
}

fn planned(directory: &Directory, tenant: Tenant) -> (Batch, Tenant) {
    let tenant = Tenant { revision: directory.next_revision(), ..tenant };
    (Batch::tenant(tenant.clone()), tenant)
}
