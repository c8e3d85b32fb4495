//! `UserService`.

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::page::Page;
use headgate_proto::auth::v1::user_service_server::UserService;
use headgate_proto::auth::v1::{
    CreatePasswordResetRequest, CreatePasswordResetResponse, CreateUserRequest, CreateUserResponse,
    GetUserRequest, GetUserResponse, ListUsersRequest, ListUsersResponse, LookupUsersRequest,
    LookupUsersResponse, UpdateUserRequest, UpdateUserResponse, UserStatus,
};
use headgate_proto::timestamp;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::http::created;
use crate::people::{NewUser, People, User, UserChange};

/// Serves users to super admins.
#[derive(Clone)]
pub struct UserApi {
    people: People,
    gate: Gate,
}

impl UserApi {
    pub(crate) fn new(people: People, gate: Gate) -> Self {
        Self { people, gate }
    }
}

#[tonic::async_trait]
impl UserService for UserApi {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let CreateUserRequest { email, name, password, super_admin } = request.into_inner();
        let new = NewUser { email, name, password: password.into(), super_admin };
        let user = self.people.create_user(&caller, new).await?;
        Ok(created(CreateUserResponse { user: Some(user.to_proto()) }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        self.gate.check(&request)?;
        let user = self.people.user(&request.get_ref().id).await?;
        Ok(Response::new(GetUserResponse { user: Some(user.to_proto()) }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        self.gate.check(&request)?;
        let ListUsersRequest { page_size, page_token, email, status } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let status = if status == 0 { None } else { Some(known(status)?) };
        let (users, next_page_token) = self.people.list_users(&page, &email, status).await?;
        let users = users.iter().map(User::to_proto).collect();
        Ok(Response::new(ListUsersResponse { users, next_page_token }))
    }

    async fn lookup_users(
        &self,
        request: Request<LookupUsersRequest>,
    ) -> Result<Response<LookupUsersResponse>, Status> {
        self.gate.check(&request)?;
        let users = self.people.find_users(&request.get_ref().query).await?;
        Ok(Response::new(LookupUsersResponse { users: users.iter().map(User::to_proto).collect() }))
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let UpdateUserRequest { id, name, status, super_admin, etag } = request.into_inner();
        let status = status.map(known).transpose()?;
        let change = UserChange { id, name, status, super_admin, etag };
        let user = self.people.update_user(&caller, change).await?;
        Ok(Response::new(UpdateUserResponse { user: Some(user.to_proto()) }))
    }

    async fn create_password_reset(
        &self,
        request: Request<CreatePasswordResetRequest>,
    ) -> Result<Response<CreatePasswordResetResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let (token, expires_ms) = self.people.create_reset(&caller, request.into_inner().id).await?;
        let token = token.expose_secret().to_owned();
        Ok(created(CreatePasswordResetResponse { token, expire_time: Some(timestamp(expires_ms)) }))
    }
}

fn known(status: i32) -> Result<UserStatus, Failure> {
    let known = UserStatus::try_from(status).ok().filter(|status| *status != UserStatus::Unspecified);
    known.ok_or_else(|| Failure::invalid("status", "status must be active or suspended"))
}
