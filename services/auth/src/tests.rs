//! The service as its callers see it: generated clients over local connections, a real database.

mod access;
mod accounts;
mod audit;
mod audited;
mod bootstrap;
mod key_rights;
mod keys;
mod memberships;
mod oidc;
mod personal_keys;
mod quotas;
mod replicas;
mod rights;
mod seeds;
mod sessions;
mod standings;
mod tenants;
mod users;
mod watch;

use std::time::Duration;

use headgate_kit::conn::{Conn, local};
use headgate_kit::db::testing::TestDb;
use headgate_kit::error::ErrorReason;
use headgate_kit::identity::testing::{Operator, as_operator};
use headgate_kit::on_both_engines;
use headgate_proto::auth::v1::account_service_client::AccountServiceClient;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::auth::v1::membership_service_client::MembershipServiceClient;
use headgate_proto::auth::v1::session_service_client::SessionServiceClient;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::auth::v1::user_service_client::UserServiceClient;
use headgate_proto::auth::v1::{
    CreateApiKeyRequest, CreateMembershipRequest, CreateTenantRequest, CreateUserRequest, FindApiKeyRequest,
    GetMeRequest, GetMeResponse, LoginRequest, RefreshRequest, SetTenantStatusRequest, TenantStatus,
    TokenPair, User, VerifyApiKeyRequest,
};
use headgate_proto::common::v1::Role;
use tonic::{Request, Status};

use super::*;

const PASSWORD: &str = "correct horse battery";
const NOW_MICROS: i64 = 1_700_000_000_000_000;

struct Fixture {
    auth: Auth,
    clock: Clock,
    tasks: Tasks,
}

impl Fixture {
    async fn start(db: &TestDb) -> Self {
        Self::try_start(db).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn try_start(db: &TestDb) -> Result<Self, BuildError> {
        Self::start_with(db, Config::default()).await
    }

    async fn start_with(db: &TestDb, config: Config) -> Result<Self, BuildError> {
        let deps = Self::deps(db);
        let (clock, tasks) = (deps.clock.clone(), deps.tasks.clone());
        Ok(Self { auth: Auth::build(config, deps).await?, clock, tasks })
    }

    fn deps(db: &TestDb) -> Deps {
        let clock = Clock::manual(NOW_MICROS);
        Deps {
            gate: Gate::new("operator-token".into(), clock.clone()),
            clock,
            data_dir: db.dir().to_owned(),
            database: db.source("auth"),
            tasks: Tasks::new(),
            registry: prometheus::Registry::new(),
        }
    }

    /// Lets time pass; nobody then goes by what they heard long ago.
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.auth.registry.beat();
    }

    fn tenants(&self) -> TenantServiceClient<Operator> {
        TenantServiceClient::new(as_operator(local(self.auth.tenant_service()), "operator-token"))
    }

    fn keys(&self) -> ApiKeyServiceClient<Operator> {
        ApiKeyServiceClient::new(as_operator(local(self.auth.api_key_service()), "operator-token"))
    }

    fn sessions(&self) -> SessionServiceClient<Conn> {
        SessionServiceClient::new(local(self.auth.session_service()))
    }

    fn accounts(&self) -> AccountServiceClient<Conn> {
        AccountServiceClient::new(local(self.auth.account_service()))
    }

    fn users(&self) -> UserServiceClient<Operator> {
        UserServiceClient::new(as_operator(local(self.auth.user_service()), "operator-token"))
    }

    fn members(&self, token: &str) -> MembershipServiceClient<Operator> {
        MembershipServiceClient::new(as_operator(local(self.auth.membership_service()), token))
    }

    /// Makes a user whose password is [`PASSWORD`].
    async fn user(&self, email: &str) -> User {
        let password = PASSWORD.into();
        let request = CreateUserRequest { email: email.into(), password, ..Default::default() };
        self.users().create_user(request).await.unwrap().into_inner().user.unwrap()
    }

    /// Makes an existing user a member.
    async fn join(&self, tenant_id: &str, user: &User, role: Role) {
        let request = CreateMembershipRequest {
            tenant_id: tenant_id.into(),
            user_id: user.id.clone(),
            role: role.into(),
            ..Default::default()
        };
        self.members("operator-token").create_membership(request).await.unwrap();
    }

    async fn login(&self, email: &str, password: &str) -> Result<TokenPair, Failure> {
        let request = LoginRequest { email: email.into(), password: password.into(), ..Default::default() };
        let response = self.sessions().login(request).await.map_err(failure)?;
        Ok(response.into_inner().tokens.unwrap())
    }

    async fn refresh(&self, refresh_token: &str) -> Result<TokenPair, ErrorReason> {
        let request = RefreshRequest { refresh_token: refresh_token.into() };
        let response = self.sessions().refresh(request).await.map_err(|status| failure(status).reason)?;
        Ok(response.into_inner().tokens.unwrap())
    }

    /// Who an access token says one is.
    async fn me(&self, access_token: &str) -> Result<GetMeResponse, ErrorReason> {
        let me = self.sessions().get_me(bearing(GetMeRequest {}, access_token)).await;
        me.map(tonic::Response::into_inner).map_err(|status| failure(status).reason)
    }

    fn peers(&self) -> AuthenticationServiceClient<Conn> {
        AuthenticationServiceClient::new(local(self.auth.authentication_service()))
    }

    /// Makes a tenant whose id and name are `id`.
    async fn tenant(&self, id: &str) {
        let request = CreateTenantRequest { name: id.into(), id: id.into() };
        self.tenants().create_tenant(request).await.unwrap();
    }

    async fn set_status(&self, id: &str, status: TenantStatus) -> Result<(), Failure> {
        let request = SetTenantStatusRequest { id: id.into(), status: status.into(), ..Default::default() };
        self.tenants().set_tenant_status(request).await.map(drop).map_err(failure)
    }

    /// Makes a key; its id and the whole key.
    async fn key(&self, tenant_id: &str) -> (String, String) {
        let request = CreateApiKeyRequest { tenant_id: tenant_id.into(), ..Default::default() };
        let made = self.keys().create_api_key(request).await.unwrap().into_inner();
        (made.api_key.unwrap().id, made.secret_key)
    }

    /// Whose a key is, by its id.
    async fn owner(&self, id: &str) -> Result<String, ErrorReason> {
        let answer = self.peers().find_api_key(FindApiKeyRequest { id: id.into() }).await;
        answer.map(|found| found.into_inner().tenant_id).map_err(|status| failure(status).reason)
    }

    /// The id of the key that is presented.
    async fn verify(&self, api_key: &str) -> Result<String, ErrorReason> {
        let request = VerifyApiKeyRequest { api_key: api_key.into() };
        let response = self.peers().verify_api_key(request).await;
        response.map(|r| r.into_inner().key.unwrap().key_id).map_err(|status| failure(status).reason)
    }
}

/// A call that presents a token.
fn bearing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn failure(status: Status) -> Failure {
    Failure::from_status(&status)
}

fn field(status: Status) -> (ErrorReason, String) {
    let failure = failure(status);
    (failure.reason, failure.metadata.get("field").cloned().unwrap_or_default())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Of two who changed the same thing who won, and what the other was told.
fn won_and_lost<T: std::fmt::Debug>(one: Result<T, Failure>, two: Result<T, Failure>) -> (T, Failure) {
    match (one, two) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("one wins: {both:?}"),
    }
}
