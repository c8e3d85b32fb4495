//! Whose an API key is, and which tenants there are: auth knows, and is asked each time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::conn::Conn;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::auth::v1::{FindApiKeyRequest, FindTenantRequest};
use tonic::{Request, Response, Status};

/// How long auth may take: whoever changes something waits for it.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Where to ask. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners(Arc<OnceLock<AuthenticationServiceClient<Conn>>>);

impl Owners {
    /// Auth is there from now on. The first that is named stays.
    pub(crate) fn ask_at(&self, auth: Conn) {
        self.0.get_or_init(|| AuthenticationServiceClient::new(auth));
    }

    /// The tenant of a key; `None` when there is no such key.
    ///
    /// # Errors
    /// UNAVAILABLE when auth cannot tell.
    pub(crate) async fn of(&self, key_id: &str) -> Result<Option<String>, Failure> {
        let (mut auth, request) = self.question(FindApiKeyRequest { id: key_id.to_owned() })?;
        Ok(found(auth.find_api_key(request).await)?.map(|found| found.tenant_id))
    }

    /// Whether there is a tenant of this id.
    ///
    /// # Errors
    /// UNAVAILABLE when auth cannot tell.
    pub(crate) async fn has(&self, tenant_id: &str) -> Result<bool, Failure> {
        let (mut auth, request) = self.question(FindTenantRequest { id: tenant_id.to_owned() })?;
        Ok(found(auth.find_tenant(request).await)?.is_some())
    }

    fn question<M>(&self, message: M) -> Result<(AuthenticationServiceClient<Conn>, Request<M>), Failure> {
        let auth = self.0.get().ok_or_else(|| away("not started yet"))?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_DEADLINE);
        Ok((auth.clone(), request))
    }
}

fn found<M>(answer: Result<Response<M>, Status>) -> Result<Option<M>, Failure> {
    match answer.map(Response::into_inner) {
        Ok(found) => Ok(Some(found)),
        Err(status) if Failure::from_status(&status).reason == ErrorReason::NotFound => Ok(None),
        Err(status) => Err(away(status.message())),
    }
}

fn away(cause: &str) -> Failure {
    Failure::unavailable("auth", cause)
}
