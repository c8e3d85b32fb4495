//! `OidcService`.

use headgate_access::Author;
use headgate_proto::auth::v1::oidc_service_server::OidcService;
use headgate_proto::auth::v1::{
    FinishOidcLoginRequest, FinishOidcLoginResponse, StartOidcLoginRequest, StartOidcLoginResponse,
};
use tonic::{Request, Response, Status};

use super::http::{forget_login, keep_login, login_cookie, redirect};
use crate::people::{Answer, LOGIN_PATIENCE_MS, People};

/// Logs people in with accounts elsewhere.
#[derive(Clone)]
pub struct OidcApi {
    people: People,
}

impl OidcApi {
    pub(crate) fn new(people: People) -> Self {
        Self { people }
    }
}

#[tonic::async_trait]
impl OidcService for OidcApi {
    async fn start_oidc_login(
        &self,
        request: Request<StartOidcLoginRequest>,
    ) -> Result<Response<StartOidcLoginResponse>, Status> {
        let by = Author::anyone(&request);
        let StartOidcLoginRequest { provider, return_to } = request.into_inner();
        let begun = self.people.begin_oidc(&provider, return_to, &by).await?;
        let message = StartOidcLoginResponse { authorization_url: begun.url.clone() };
        let mut response = redirect(message, &begun.url)?;
        keep_login(
            &mut response,
            &begun.cookie,
            LOGIN_PATIENCE_MS / 1000,
            self.people.config.secure_cookies,
        )?;
        Ok(response)
    }

    async fn finish_oidc_login(
        &self,
        request: Request<FinishOidcLoginRequest>,
    ) -> Result<Response<FinishOidcLoginResponse>, Status> {
        let (by, cookie) = (Author::anyone(&request), login_cookie(request.metadata()));
        let FinishOidcLoginRequest { state, code, iss: issuer, error } = request.into_inner();
        let answer = Answer { state, code, issuer, error, cookie };
        let finished = self.people.finish_oidc(answer, by).await?;
        let (issued, user) = (finished.opened.issued, Some(finished.opened.user.to_proto()));
        let mut response = if finished.return_to.is_empty() {
            Response::new(FinishOidcLoginResponse { tokens: Some(issued.to_proto()), user })
        } else {
            redirect(FinishOidcLoginResponse { tokens: None, user }, &finished.return_to)?
        };
        self.people.keep(&mut response, &issued)?;
        forget_login(&mut response, self.people.config.secure_cookies)?;
        Ok(response)
    }
}
