//! `AuthenticationService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationService;
use headgate_proto::auth::v1::{
    VerifyApiKeyRequest, VerifyApiKeyResponse, WatchKeysRequest, WatchKeysResponse,
};
use tonic::{Request, Response, Status};

use crate::metrics::Metrics;
use crate::registry::Registry;

/// Who may call.
const CALLERS: &[&str] = &["router", "edge"];

/// Serves verification and the watch of keys to peer services.
#[derive(Clone)]
pub struct AuthenticationApi {
    registry: Arc<Registry>,
    metrics: Metrics,
}

impl AuthenticationApi {
    pub(crate) fn new(registry: Arc<Registry>, metrics: Metrics) -> Self {
        Self { registry, metrics }
    }
}

#[tonic::async_trait]
impl AuthenticationService for AuthenticationApi {
    type WatchKeysStream = Pin<Box<dyn Stream<Item = Result<WatchKeysResponse, Status>> + Send>>;

    async fn verify_api_key(
        &self,
        request: Request<VerifyApiKeyRequest>,
    ) -> Result<Response<VerifyApiKeyResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let verified = self.registry.verify(&request.get_ref().api_key).await;
        self.metrics.verified(&verified);
        Ok(Response::new(VerifyApiKeyResponse { key: Some(verified?) }))
    }

    async fn watch_keys(
        &self,
        request: Request<WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        require_peer(&request, CALLERS)?;
        self.registry.catch_up().await?;
        Ok(Response::new(Box::pin(self.registry.follow())))
    }
}
