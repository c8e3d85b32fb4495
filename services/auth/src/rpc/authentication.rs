//! `AuthenticationService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationService;
use headgate_proto::auth::v1::{
    FindApiKeyRequest, FindApiKeyResponse, FindTenantRequest, FindTenantResponse, KeyUse,
    ReportKeyUsesRequest, ReportKeyUsesResponse, VerifyApiKeyRequest, VerifyApiKeyResponse, WatchKeysRequest,
    WatchKeysResponse,
};
use tonic::{Request, Response, Status};

use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::uses::Uses;

/// Who may call.
const CALLERS: &[&str] = &["router", "edge"];
/// Who may ask whose a key is, and whether there is a tenant.
const KEEPERS: &[&str] = &["budget"];

/// Serves verification and the watch of keys to peer services.
#[derive(Clone)]
pub struct AuthenticationApi {
    registry: Arc<Registry>,
    metrics: Metrics,
    uses: Arc<Uses>,
}

impl AuthenticationApi {
    pub(crate) fn new(registry: Arc<Registry>, metrics: Metrics, uses: Arc<Uses>) -> Self {
        Self { registry, metrics, uses }
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

    async fn find_api_key(
        &self,
        request: Request<FindApiKeyRequest>,
    ) -> Result<Response<FindApiKeyResponse>, Status> {
        require_peer(&request, KEEPERS)?;
        let tenant_id = self.registry.owner_of_key(&request.get_ref().id).await?;
        Ok(Response::new(FindApiKeyResponse { tenant_id }))
    }

    async fn find_tenant(
        &self,
        request: Request<FindTenantRequest>,
    ) -> Result<Response<FindTenantResponse>, Status> {
        require_peer(&request, KEEPERS)?;
        self.registry.expect_tenant(&request.get_ref().id).await?;
        Ok(Response::new(FindTenantResponse {}))
    }

    async fn report_key_uses(
        &self,
        request: Request<ReportKeyUsesRequest>,
    ) -> Result<Response<ReportKeyUsesResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let now_ms = self.registry.clock.unix_millis();
        let uses = request.into_inner().uses.into_iter();
        // A router whose clock is ahead must not keep later uses from being noted.
        let uses = uses.map(|KeyUse { key_id, last_used_at_unix_ms: at }| (key_id, at.min(now_ms)));
        let known: Vec<_> = {
            let directory = self.registry.read();
            uses.filter(|(id, _)| directory.key(id).is_some()).collect()
        };
        self.uses.note(known).await?;
        Ok(Response::new(ReportKeyUsesResponse {}))
    }
}
