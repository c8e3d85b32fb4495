//! `ModelRegistryService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::page::Page;
use headgate_proto::catalog::v1::model_registry_service_server::ModelRegistryService;
use headgate_proto::catalog::v1::{
    ListRegisteredModelsRequest, ListRegisteredModelsResponse, RegisterModelRequest, RegisterModelResponse,
    UnregisterModelRequest, UnregisterModelResponse,
};
use tonic::{Request, Response, Status};

use crate::change::Stamp;
use crate::registration::{self, Wanted};
use crate::registry::Registry;
use crate::state::State;

/// Serves models in short to super admins.
#[derive(Clone)]
pub struct RegistrationApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl RegistrationApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }
}

#[tonic::async_trait]
impl ModelRegistryService for RegistrationApi {
    async fn register_model(
        &self,
        request: Request<RegisterModelRequest>,
    ) -> Result<Response<RegisterModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let wanted = Wanted::parse(request.into_inner())?;
        let clock = self.registry.clock.clone();
        let register =
            move |state: &State, stamp: &Stamp| registration::register(state, wanted, &clock, stamp);
        let model = self.registry.change(&caller, register).await?;
        Ok(Response::new(RegisterModelResponse { model: Some(model) }))
    }

    async fn list_registered_models(
        &self,
        request: Request<ListRegisteredModelsRequest>,
    ) -> Result<Response<ListRegisteredModelsResponse>, Status> {
        self.gate.check(&request)?;
        let ListRegisteredModelsRequest { page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let state = self.registry.read();
        let (rows, next_page_token) = page.cut(state.models_after(&page.after), |model| &model.name);
        let models = rows.into_iter().map(|model| registration::short(&state, model)).collect();
        Ok(Response::new(ListRegisteredModelsResponse { models, next_page_token }))
    }

    async fn unregister_model(
        &self,
        request: Request<UnregisterModelRequest>,
    ) -> Result<Response<UnregisterModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let UnregisterModelRequest { served_name, etag } = request.into_inner();
        let unregister =
            move |state: &State, _: &Stamp| Ok((registration::unregister(state, &served_name, &etag)?, ()));
        self.registry.change(&caller, unregister).await?;
        Ok(Response::new(UnregisterModelResponse {}))
    }
}
