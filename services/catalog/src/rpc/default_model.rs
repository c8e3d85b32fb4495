//! `DefaultModelService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_proto::catalog::v1::default_model_service_server::DefaultModelService;
use headgate_proto::catalog::v1::{
    DeleteDefaultModelRequest, DeleteDefaultModelResponse, GetDefaultModelRequest, GetDefaultModelResponse,
    SetDefaultModelRequest, SetDefaultModelResponse,
};
use tonic::{Request, Response, Status};

use crate::default_model;
use crate::plan::no_such;
use crate::registry::Registry;

/// Serves the default model to super admins.
#[derive(Clone)]
pub struct DefaultModelApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl DefaultModelApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }
}

#[tonic::async_trait]
impl DefaultModelService for DefaultModelApi {
    async fn get_default_model(
        &self,
        request: Request<GetDefaultModelRequest>,
    ) -> Result<Response<GetDefaultModelResponse>, Status> {
        self.gate.check(&request)?;
        let default_model = self.registry.read().default_model().ok_or_else(|| no_such("default model"))?;
        Ok(Response::new(GetDefaultModelResponse { default_model: Some(default_model) }))
    }

    async fn set_default_model(
        &self,
        request: Request<SetDefaultModelRequest>,
    ) -> Result<Response<SetDefaultModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let SetDefaultModelRequest { model, etag } = request.into_inner();
        let set = self
            .registry
            .change(&caller, move |state, stamp| default_model::set(state, &model, &etag, stamp));
        Ok(Response::new(SetDefaultModelResponse { default_model: Some(set.await?) }))
    }

    async fn delete_default_model(
        &self,
        request: Request<DeleteDefaultModelRequest>,
    ) -> Result<Response<DeleteDefaultModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let DeleteDefaultModelRequest { etag } = request.into_inner();
        self.registry.change(&caller, move |state, _| Ok((default_model::delete(state, &etag)?, ()))).await?;
        Ok(Response::new(DeleteDefaultModelResponse {}))
    }
}
