//! `SessionService`.

use headgate_access::{Author, Gate};
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::identity::bearer;
use headgate_proto::auth::v1::session_service_server::SessionService;
use headgate_proto::auth::v1::{
    GetMeRequest, GetMeResponse, JsonWebKey, ListLoginMethodsRequest, ListLoginMethodsResponse,
    ListSigningKeysRequest, ListSigningKeysResponse, LoginProvider, LoginRequest, LoginResponse,
    LogoutRequest, LogoutResponse, RefreshRequest, RefreshResponse,
};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use tonic::{Request, Response, Status};

use super::http::{clear_cookies, no_content, refresh_token, set_cookies};
use crate::people::{Issued, People};

/// Logs people in and out.
#[derive(Clone)]
pub struct SessionApi {
    people: People,
    gate: Gate,
}

impl SessionApi {
    pub(crate) fn new(people: People, gate: Gate) -> Self {
        Self { people, gate }
    }
}

impl People {
    /// Has a browser keep what a session is used with.
    pub(super) fn keep<T>(&self, response: &mut Response<T>, issued: &Issued) -> Result<(), Failure> {
        set_cookies(response, issued, self.config.secure_cookies, self.registry.clock.unix_millis())
    }
}

#[tonic::async_trait]
impl SessionService for SessionApi {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let by = Author::anyone(&request);
        let LoginRequest { email, username, password } = request.into_inner();
        let claimed = match (email.is_empty(), username.is_empty()) {
            (false, true) => email,
            (true, false) => username,
            _ => return Err(Failure::invalid("email", "either email or username is required").into()),
        };
        if password.is_empty() {
            return Err(Failure::invalid("password", "password must not be empty").into());
        }
        let opened = self.people.login(&claimed, password.into(), &by).await?;
        let message =
            LoginResponse { tokens: Some(opened.issued.to_proto()), user: Some(opened.user.to_proto()) };
        let mut response = Response::new(message);
        self.people.keep(&mut response, &opened.issued)?;
        Ok(response)
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let by = Author::anyone(&request);
        let (metadata, _, RefreshRequest { refresh_token: given }) = request.into_parts();
        let missing = || Failure::new(ErrorReason::MissingCredential, "a refresh token is required");
        let token = refresh_token(&metadata, given).ok_or_else(missing)?;
        let issued = self.people.refresh(&token, by).await?;
        let mut response = Response::new(RefreshResponse { tokens: Some(issued.to_proto()) });
        self.people.keep(&mut response, &issued)?;
        Ok(response)
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let by = Author::anyone(&request);
        let (metadata, _, LogoutRequest { refresh_token: given, everywhere }) = request.into_parts();
        let token = refresh_token(&metadata, given);
        self.people.logout(token.as_deref(), bearer(&metadata), everywhere, by).await?;
        let mut response = no_content(LogoutResponse {});
        clear_cookies(&mut response, self.people.config.secure_cookies)?;
        Ok(response)
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let (user, memberships) = self.people.me(caller.subject()).await?;
        let memberships = memberships.iter().map(|membership| membership.to_proto(&user)).collect();
        Ok(Response::new(GetMeResponse { user: Some(user.to_proto()), memberships }))
    }

    async fn list_login_methods(
        &self,
        _request: Request<ListLoginMethodsRequest>,
    ) -> Result<Response<ListLoginMethodsResponse>, Status> {
        let provider = |(name, display_name): (&str, &str)| LoginProvider {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            start_path: format!("/admin/auth/oidc/{name}/start"),
        };
        let providers: Vec<_> = self.people.providers.names().map(provider).collect();
        let (local, register) = (self.people.config.password_login, self.people.config.registration);
        let oidc = !providers.is_empty();
        Ok(Response::new(ListLoginMethodsResponse { local, oidc, register, providers }))
    }

    async fn list_signing_keys(
        &self,
        _request: Request<ListSigningKeysRequest>,
    ) -> Result<Response<ListSigningKeysResponse>, Status> {
        let keys = self.people.registry.access.public_keys();
        Ok(Response::new(ListSigningKeysResponse { keys: keys.into_iter().filter_map(shown).collect() }))
    }
}

/// All keys are of the one kind that is made here.
fn shown(key: Jwk) -> Option<JsonWebKey> {
    let AlgorithmParameters::EllipticCurve(point) = key.algorithm else { return None };
    Some(JsonWebKey {
        kty: "EC".to_owned(),
        r#use: "sig".to_owned(),
        alg: "ES256".to_owned(),
        kid: key.common.key_id?,
        crv: "P-256".to_owned(),
        x: point.x,
        y: point.y,
    })
}
