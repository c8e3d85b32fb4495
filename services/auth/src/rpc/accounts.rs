//! `AccountService`.

use headgate_access::{Actor, Author, Gate};
use headgate_proto::auth::v1::account_service_server::AccountService;
use headgate_proto::auth::v1::{
    BootstrapOwnerRequest, BootstrapOwnerResponse, ChangePasswordRequest, ChangePasswordResponse,
    RegisterRequest, RegisterResponse, ResetPasswordRequest, ResetPasswordResponse,
};
use tonic::{Request, Response, Status};

use super::http::{created, no_content};
use crate::people::{Owner, People};

/// Serves people's own accounts.
#[derive(Clone)]
pub struct AccountApi {
    people: People,
    gate: Gate,
}

impl AccountApi {
    pub(crate) fn new(people: People, gate: Gate) -> Self {
        Self { people, gate }
    }
}

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn bootstrap_owner(
        &self,
        request: Request<BootstrapOwnerRequest>,
    ) -> Result<Response<BootstrapOwnerResponse>, Status> {
        let (mut by, by_operator) = (Author::anyone(&request), self.gate.is_operator(&request));
        if by_operator {
            by.actor = Actor::Operator;
        }
        let BootstrapOwnerRequest { username, password, org_name } = request.into_inner();
        let owner = Owner { username, password: password.into(), org_name };
        let (user, tenant) = self.people.bootstrap_owner(owner, by_operator, by).await?;
        let (user, tenant) = (Some(user.to_proto()), Some(tenant.to_proto()));
        Ok(created(BootstrapOwnerResponse { user, tenant }))
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let by = Author::anyone(&request);
        let RegisterRequest { email, password, name } = request.into_inner();
        let opened = self.people.register(&email, name, password.into(), by).await?;
        let (tokens, user) = (Some(opened.issued.to_proto()), Some(opened.user.to_proto()));
        let mut response = created(RegisterResponse { tokens, user });
        self.people.keep(&mut response, &opened.issued)?;
        Ok(response)
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let ChangePasswordRequest { current_password, new_password } = request.into_inner();
        let (current, new) = (current_password.into(), new_password.into());
        let issued = self.people.change_password(caller.subject(), current, new, (&caller).into()).await?;
        let mut response = Response::new(ChangePasswordResponse { tokens: Some(issued.to_proto()) });
        self.people.keep(&mut response, &issued)?;
        Ok(response)
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let by = Author::anyone(&request);
        let ResetPasswordRequest { token, new_password } = request.into_inner();
        self.people.reset(&token, new_password.into(), by).await?;
        Ok(no_content(ResetPasswordResponse {}))
    }
}
