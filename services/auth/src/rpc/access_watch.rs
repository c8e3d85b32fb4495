//! `AccessWatchService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::access_watch_service_server::AccessWatchService;
use headgate_proto::auth::v1::{WatchAccessRequest, WatchAccessResponse};
use tonic::{Request, Response, Status};

use crate::registry::Registry;

/// Who may call: every service that people call. Auth tells its own process without a call.
const CALLERS: &[&str] = &["budget", "catalog", "runtime", "usage"];

/// Tells peer services how to judge access tokens.
#[derive(Clone)]
pub struct AccessWatchApi {
    registry: Arc<Registry>,
}

impl AccessWatchApi {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}

#[tonic::async_trait]
impl AccessWatchService for AccessWatchApi {
    type WatchAccessStream = Pin<Box<dyn Stream<Item = Result<WatchAccessResponse, Status>> + Send>>;

    async fn watch_access(
        &self,
        request: Request<WatchAccessRequest>,
    ) -> Result<Response<Self::WatchAccessStream>, Status> {
        require_peer(&request, CALLERS)?;
        self.registry.catch_up().await?;
        Ok(Response::new(Box::pin(self.registry.follow_access())))
    }
}
