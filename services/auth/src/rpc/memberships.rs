//! `MembershipService`.

use headgate_access::{Caller, Gate};
use headgate_kit::Failure;
use headgate_kit::page::Page;
use headgate_proto::auth::v1::membership_service_server::MembershipService;
use headgate_proto::auth::v1::{
    CreateMembershipRequest, CreateMembershipResponse, DeleteMembershipRequest, DeleteMembershipResponse,
    ListMembershipsRequest, ListMembershipsResponse, UpdateMembershipRequest, UpdateMembershipResponse,
};
use headgate_proto::common::v1::Role;
use prost::Name;
use tonic::{Request, Response, Status};

use super::http::{created, no_content};
use crate::people::{NewMember, People};

/// Serves who belongs to a tenant.
#[derive(Clone)]
pub struct MembershipApi {
    people: People,
    gate: Gate,
}

impl MembershipApi {
    pub(crate) fn new(people: People, gate: Gate) -> Self {
        Self { people, gate }
    }

    fn check<M: Name>(&self, request: &Request<M>, tenant_id: &str) -> Result<Caller, Status> {
        let exists = self.people.registry.read().tenant(tenant_id).is_some();
        self.gate.check_in(request, exists.then_some(tenant_id), "tenant")
    }
}

#[tonic::async_trait]
impl MembershipService for MembershipApi {
    async fn create_membership(
        &self,
        request: Request<CreateMembershipRequest>,
    ) -> Result<Response<CreateMembershipResponse>, Status> {
        let caller = self.check(&request, &request.get_ref().tenant_id)?;
        let CreateMembershipRequest { tenant_id, user_id, email, role, name, password } =
            request.into_inner();
        let (role, password) = (known(role)?, password.into());
        let new = NewMember { tenant_id, user_id, email, name, password, role };
        let (membership, user) = self.people.create_membership(&caller, new).await?;
        Ok(created(CreateMembershipResponse { membership: Some(membership.to_proto(&user)) }))
    }

    async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        self.check(&request, &request.get_ref().tenant_id)?;
        let ListMembershipsRequest { tenant_id, page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let (members, next_page_token) = self.people.list_memberships(&tenant_id, &page).await?;
        let memberships = members.iter().map(|(membership, user)| membership.to_proto(user)).collect();
        Ok(Response::new(ListMembershipsResponse { memberships, next_page_token }))
    }

    async fn update_membership(
        &self,
        request: Request<UpdateMembershipRequest>,
    ) -> Result<Response<UpdateMembershipResponse>, Status> {
        let caller = self.check(&request, &request.get_ref().tenant_id)?;
        let UpdateMembershipRequest { tenant_id, user_id, role, etag } = request.into_inner();
        let role = known(role)?;
        let updated = self.people.update_membership(&caller, (tenant_id, user_id), role, etag).await?;
        let (membership, user) = updated;
        Ok(Response::new(UpdateMembershipResponse { membership: Some(membership.to_proto(&user)) }))
    }

    async fn delete_membership(
        &self,
        request: Request<DeleteMembershipRequest>,
    ) -> Result<Response<DeleteMembershipResponse>, Status> {
        let caller = self.check(&request, &request.get_ref().tenant_id)?;
        let DeleteMembershipRequest { tenant_id, user_id, etag } = request.into_inner();
        self.people.delete_membership(&caller, (tenant_id, user_id), etag).await?;
        Ok(no_content(DeleteMembershipResponse {}))
    }
}

fn known(role: i32) -> Result<Role, Failure> {
    let known = Role::try_from(role).ok().filter(|role| *role != Role::Unspecified);
    known.ok_or_else(|| Failure::invalid("role", "role must be viewer, member, admin or owner"))
}
