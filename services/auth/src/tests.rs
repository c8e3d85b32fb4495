//! The service as its callers see it: generated clients over local connections, a real database.

mod bootstrap;
mod key_rights;
mod keys;
mod replicas;
mod rights;
mod tenants;
mod watch;

use std::time::Duration;

use headgate_kit::conn::{Conn, local};
use headgate_kit::db::testing::TestDb;
use headgate_kit::error::ErrorReason;
use headgate_kit::identity::testing::{Operator, as_operator};
use headgate_kit::on_both_engines;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::auth::v1::{
    CreateApiKeyRequest, CreateTenantRequest, SetTenantStatusRequest, TenantStatus, VerifyApiKeyRequest,
};
use tonic::Status;

use super::*;

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
        let deps = Self::deps(db);
        let (clock, tasks) = (deps.clock.clone(), deps.tasks.clone());
        Ok(Self { auth: Auth::build(Config::default(), deps).await?, clock, tasks })
    }

    fn deps(db: &TestDb) -> Deps {
        Deps {
            clock: Clock::manual(NOW_MICROS),
            data_dir: db.dir().to_owned(),
            database: db.source("auth"),
            tasks: Tasks::new(),
            registry: prometheus::Registry::new(),
            gate: Gate::new("operator-token".into(), Clock::manual(NOW_MICROS)),
        }
    }

    fn tenants(&self) -> TenantServiceClient<Operator> {
        TenantServiceClient::new(as_operator(local(self.auth.tenant_service()), "operator-token"))
    }

    fn keys(&self) -> ApiKeyServiceClient<Operator> {
        ApiKeyServiceClient::new(as_operator(local(self.auth.api_key_service()), "operator-token"))
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

    /// The id of the key that is presented.
    async fn verify(&self, api_key: &str) -> Result<String, ErrorReason> {
        let request = VerifyApiKeyRequest { api_key: api_key.into() };
        let response = self.peers().verify_api_key(request).await;
        response.map(|r| r.into_inner().key.unwrap().key_id).map_err(|status| failure(status).reason)
    }
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
