//! Whose an API key is: auth knows, and is asked each time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::conn::Conn;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::FindApiKeyRequest;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use tonic::{Request, Response};

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
        let Some(auth) = self.0.get() else { return Err(away("not started yet")) };
        let mut request = Request::new(FindApiKeyRequest { id: key_id.to_owned() });
        request.set_timeout(CALL_DEADLINE);
        match auth.clone().find_api_key(request).await.map(Response::into_inner) {
            Ok(found) => Ok(Some(found.tenant_id)),
            Err(status) if Failure::from_status(&status).reason == ErrorReason::NotFound => Ok(None),
            Err(status) => Err(away(status.message())),
        }
    }
}

fn away(cause: &str) -> Failure {
    Failure::unavailable("auth", cause)
}
