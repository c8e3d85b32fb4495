//! `CatalogWatchService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::identity::require_peer;
use headgate_proto::catalog::v1::catalog_watch_service_server::CatalogWatchService;
use headgate_proto::catalog::v1::{WatchCatalogRequest, WatchCatalogResponse};
use tonic::{Request, Response, Status};

use crate::registry::Registry;

/// Who may call.
const CALLERS: &[&str] = &["router"];

/// Serves the watch to peer services.
#[derive(Clone)]
pub struct WatchApi(Arc<Registry>);

impl WatchApi {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

#[tonic::async_trait]
impl CatalogWatchService for WatchApi {
    type WatchCatalogStream = Pin<Box<dyn Stream<Item = Result<WatchCatalogResponse, Status>> + Send>>;

    async fn watch_catalog(
        &self,
        request: Request<WatchCatalogRequest>,
    ) -> Result<Response<Self::WatchCatalogStream>, Status> {
        require_peer(&request, CALLERS)?;
        Ok(Response::new(Box::pin(self.0.follow())))
    }
}
