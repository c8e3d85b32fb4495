//! `ModelService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_proto::catalog::v1::model_service_server::ModelService;
use headgate_proto::catalog::v1::{
    CreateModelRequest, CreateModelResponse, DeleteModelRequest, DeleteModelResponse,
    DeleteTenantModelsRequest, DeleteTenantModelsResponse, GetModelRequest, GetModelResponse,
    GetTenantModelsRequest, GetTenantModelsResponse, ListModelsRequest, ListModelsResponse, Model,
    PatchModelRequest, PatchModelResponse, SetTenantModelsRequest, SetTenantModelsResponse, TenantModels,
    UpdateModelRequest, UpdateModelResponse,
};
use tonic::{Request, Response, Status};

use crate::allowlist;
use crate::change::{Change, Stamp};
use crate::plan::{self, no_such};
use crate::registry::Registry;
use crate::state::State;
use crate::validate;
use headgate_kit::page::Page;

/// The longest text that models are searched for, in characters.
const MAX_QUERY: usize = 128;

/// Serves models to super admins, and allowlists to the people of their tenants.
#[derive(Clone)]
pub struct ModelApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl ModelApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }
}

#[tonic::async_trait]
impl ModelService for ModelApi {
    async fn create_model(
        &self,
        request: Request<CreateModelRequest>,
    ) -> Result<Response<CreateModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let model = validate::model("model", given(request.into_inner().model)?)?;
        let model = plan::with_ids(model, None, &self.registry.clock);
        let model = self.registry.change(&caller, move |state, stamp| put(state, model, stamp)).await?;
        Ok(Response::new(CreateModelResponse { model: Some(model) }))
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        self.gate.check(&request)?;
        let model = self.registry.read().model_called(&request.get_ref().name).cloned();
        let model = model.ok_or_else(|| no_such("model"))?;
        Ok(Response::new(GetModelResponse { model: Some(model) }))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        self.gate.check(&request)?;
        let ListModelsRequest { page_size, page_token, query } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        if query.chars().count() > MAX_QUERY {
            return Err(
                Failure::invalid("query", format!("query must be at most {MAX_QUERY} characters")).into()
            );
        }
        let query = query.to_lowercase();
        let state = self.registry.read();
        let found = state.models_after(&page.after).filter(|model| is_found(model, &query));
        let (rows, next_page_token) = page.cut(found, |model| &model.name);
        let models = rows.into_iter().cloned().collect();
        Ok(Response::new(ListModelsResponse { models, next_page_token }))
    }

    async fn update_model(
        &self,
        request: Request<UpdateModelRequest>,
    ) -> Result<Response<UpdateModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let UpdateModelRequest { model, etag } = request.into_inner();
        let model = validate::model("model", given(model)?)?;
        let etag = plan::etag_of(etag, &model.etag)?;
        let clock = self.registry.clock.clone();
        let replace = move |state: &State, stamp: &Stamp| {
            let old = state.model(&model.id).ok_or_else(|| no_such("model"))?;
            plan::check_etag(&etag, &old.etag)?;
            let model = plan::with_ids(model, Some(old), &clock);
            put(state, model, stamp)
        };
        let model = self.registry.change(&caller, replace).await?;
        Ok(Response::new(UpdateModelResponse { model: Some(model) }))
    }

    async fn patch_model(
        &self,
        request: Request<PatchModelRequest>,
    ) -> Result<Response<PatchModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let request = request.into_inner();
        let patch = move |state: &State, stamp: &Stamp| {
            let old = state.model_named(&request.name).ok_or_else(|| no_such("model"))?;
            plan::check_etag(&request.etag, &old.etag)?;
            // Its fields are named as the request names them.
            let model = validate::model("", patched(old.clone(), request)).map_err(unprefixed)?;
            put(state, model, stamp)
        };
        let model = self.registry.change(&caller, patch).await?;
        Ok(Response::new(PatchModelResponse { model: Some(model) }))
    }

    async fn delete_model(
        &self,
        request: Request<DeleteModelRequest>,
    ) -> Result<Response<DeleteModelResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let DeleteModelRequest { name, etag } = request.into_inner();
        self.registry
            .change(&caller, move |state, _| Ok((plan::delete_model(state, &name, &etag)?, ())))
            .await?;
        Ok(Response::new(DeleteModelResponse {}))
    }

    async fn get_tenant_models(
        &self,
        request: Request<GetTenantModelsRequest>,
    ) -> Result<Response<GetTenantModelsResponse>, Status> {
        self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let tenant_id = &request.get_ref().tenant_id;
        validate::id("tenant_id", tenant_id)?;
        let TenantModels { restricted, models, etag, .. } = self.registry.read().tenant_models(tenant_id);
        Ok(Response::new(GetTenantModelsResponse { restricted, models, etag }))
    }

    async fn set_tenant_models(
        &self,
        request: Request<SetTenantModelsRequest>,
    ) -> Result<Response<SetTenantModelsResponse>, Status> {
        let caller = self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let SetTenantModelsRequest { tenant_id, restricted, models, etag } = request.into_inner();
        validate::id("tenant_id", &tenant_id)?;
        let required = || Failure::invalid("restricted", "restricted is required");
        let restricted = restricted.ok_or_else(required)?;
        let models = validate::allowlist("models", restricted, &models)?;
        let list = TenantModels { tenant_id, restricted, models, ..Default::default() };
        let set = move |state: &State, stamp: &Stamp| allowlist::set(state, list, &etag, stamp);
        let TenantModels { restricted, models, etag, .. } = self.registry.change(&caller, set).await?;
        Ok(Response::new(SetTenantModelsResponse { restricted, models, etag }))
    }

    async fn delete_tenant_models(
        &self,
        request: Request<DeleteTenantModelsRequest>,
    ) -> Result<Response<DeleteTenantModelsResponse>, Status> {
        let caller = self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let DeleteTenantModelsRequest { tenant_id, etag } = request.into_inner();
        validate::id("tenant_id", &tenant_id)?;
        let lift =
            move |state: &State, stamp: &Stamp| Ok((allowlist::delete(state, &tenant_id, &etag, stamp)?, ()));
        self.registry.change(&caller, lift).await?;
        Ok(Response::new(DeleteTenantModelsResponse {}))
    }
}

/// Whether a model's name, an alias or its description holds `query`, which is in small letters.
fn is_found(model: &Model, query: &str) -> bool {
    let mut texts = model.aliases.iter().chain([&model.name, &model.description]);
    query.is_empty() || texts.any(|text| text.to_lowercase().contains(query))
}

fn patched(mut model: Model, patch: PatchModelRequest) -> Model {
    model.enabled = patch.enabled.unwrap_or(model.enabled);
    model.price = patch.price.or(model.price);
    model.description = patch.description.unwrap_or(model.description);
    model.max_output_tokens = patch.max_output_tokens.unwrap_or(model.max_output_tokens);
    model.context_tokens = patch.context_tokens.unwrap_or(model.context_tokens);
    model.engine = patch.engine.unwrap_or(model.engine);
    model.request_defaults = patch.request_defaults.or(model.request_defaults);
    model.metadata.extend(patch.metadata);
    model.metadata.retain(|_, value| !value.is_empty());
    model
}

fn unprefixed(mut failure: Failure) -> Failure {
    if let Some(field) = failure.metadata.get_mut("field") {
        *field = field.trim_start_matches('.').to_owned();
    }
    failure.message = failure.message.trim_start_matches('.').to_owned();
    failure
}

fn given(model: Option<Model>) -> Result<Model, Failure> {
    model.ok_or_else(|| Failure::invalid("model", "model is required"))
}

fn put(state: &State, model: Model, stamp: &Stamp) -> Result<(Change, Model), Failure> {
    plan::check_providers("model", &model, |id| state.provider(id).is_some())?;
    plan::put_model(state, model, stamp)
}
