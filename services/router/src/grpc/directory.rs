//! What there is for an API key, for whoever presents it.

use std::sync::Arc;
use std::time::Instant;

use headgate_kit::error::Failure;
use headgate_proto::inference::v1::directory_service_server::DirectoryService;
use headgate_proto::inference::v1::{
    GetCallerRequest, GetCallerResponse, GetFeaturesRequest, GetFeaturesResponse, ListProvidersRequest,
    ListProvidersResponse,
};
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::directory;
use crate::router::Parts;

/// Implements `headgate.inference.v1.DirectoryService`.
pub struct Directory(pub(crate) Arc<Parts>);

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn list_providers(
        &self,
        request: Request<ListProvidersRequest>,
    ) -> Result<Response<ListProvidersResponse>, Status> {
        let mut call = Call::begin(&self.0, request.metadata()).await?;
        let models = self.0.models.current();
        if !models.is_ready() {
            return Err(call.refuse(Failure::unavailable("the catalog", "no snapshot yet")));
        }
        let visible = models.list(&call.key).into_iter().map(AsRef::as_ref);
        let providers = directory::providers(visible, &self.0.cooldowns, Instant::now());
        Ok(call.answer(ListProvidersResponse { providers }))
    }

    async fn get_features(
        &self,
        request: Request<GetFeaturesRequest>,
    ) -> Result<Response<GetFeaturesResponse>, Status> {
        let mut call = Call::begin(&self.0, request.metadata()).await?;
        let models = self.0.models.current();
        if !models.is_ready() {
            return Err(call.refuse(Failure::unavailable("the catalog", "no snapshot yet")));
        }
        let visible = models.list(&call.key).into_iter().map(AsRef::as_ref);
        let features = directory::features(&call.key, visible);
        Ok(call.answer(features))
    }

    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let call = Call::begin(&self.0, request.metadata()).await?;
        let caller = directory::caller(&call.key);
        Ok(call.answer(caller))
    }
}
