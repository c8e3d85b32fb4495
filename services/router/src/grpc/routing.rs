//! The state of keys and targets, for peers.

use std::sync::Arc;
use std::time::Instant;

use headgate_kit::identity::require_peer;
use headgate_proto::router::v1::routing_service_server::RoutingService;
use headgate_proto::router::v1::{CheckKeyRequest, CheckKeyResponse, GetStateRequest, GetStateResponse};
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::router::Parts;
use crate::state;

/// Who may call.
const CALLERS: &[&str] = &["edge"];

/// Implements `headgate.router.v1.RoutingService`.
pub struct Routing(pub(crate) Arc<Parts>);

#[tonic::async_trait]
impl RoutingService for Routing {
    async fn get_state(
        &self,
        request: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let providers = state::providers(&self.0.models.current(), &self.0.cooldowns, Instant::now());
        Ok(Response::new(GetStateResponse { ready: self.0.is_ready(), providers }))
    }

    async fn check_key(
        &self,
        request: Request<CheckKeyRequest>,
    ) -> Result<Response<CheckKeyResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let call = Call::begin(&self.0, request.metadata()).await?;
        Ok(call.answer(CheckKeyResponse {}))
    }
}
