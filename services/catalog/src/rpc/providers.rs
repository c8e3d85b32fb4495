//! `ProviderService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::seal::MasterKey;
use headgate_kit::{Failure, ids};
use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::catalog::v1::provider_service_server::ProviderService;
use headgate_proto::catalog::v1::{
    CreateProviderRequest, CreateProviderResponse, DeleteProviderRequest, DeleteProviderResponse,
    GetProviderRequest, GetProviderResponse, ListProviderKindsRequest, ListProviderKindsResponse,
    ListProvidersRequest, ListProvidersResponse, Provider as ShownProvider, UpdateProviderRequest,
    UpdateProviderResponse,
};
use headgate_proto::timestamp;
use tonic::{Request, Response, Status};

use crate::change::{Change, Provider, Stamp};
use crate::health::Health;
use crate::plan::{self, no_such};
use crate::registry::Registry;
use crate::state::State;
use crate::{credential, kinds, validate};
use headgate_kit::page::Page;

/// Serves providers to super admins.
#[derive(Clone)]
pub struct ProviderApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl ProviderApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }

    fn draw_up(&self, request: CreateProviderRequest) -> Result<Provider, Failure> {
        let clock = &self.registry.clock;
        let id = if request.id.is_empty() { ids::prefixed("provider", clock) } else { request.id };
        validate::id("id", &id)?;
        validate::label("name", &request.name)?;
        let kind = match request.kind {
            0 => ProviderKind::Openai,
            kind => validate::kind("kind", kind)?,
        };
        let base_url = validate::base_url("base_url", kind, &request.base_url)?;
        credential::check("api_key", &request.api_key)?;
        let sealed = credential::seal(&self.registry.master_key, &id, &request.api_key, None)?;
        let mut shown = ShownProvider {
            id,
            name: request.name,
            kind: kind.into(),
            base_url,
            has_credential: sealed.is_some(),
            is_active: request.is_active.unwrap_or(true),
            deadlines: validate::deadlines(request.deadlines),
            created_at: Some(timestamp(clock.unix_millis())),
            models: validate::upstream_models("models", &request.models)?,
            ..Default::default()
        };
        Health::unknown().show(&mut shown);
        Ok(Provider::new(shown, sealed))
    }
}

#[tonic::async_trait]
impl ProviderService for ProviderApi {
    async fn create_provider(
        &self,
        request: Request<CreateProviderRequest>,
    ) -> Result<Response<CreateProviderResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let provider = self.draw_up(request.into_inner())?;
        let create = move |state: &State, stamp: &Stamp| plan::create_provider(state, provider, stamp);
        let shown = self.registry.change(&caller, create).await?;
        Ok(Response::new(CreateProviderResponse { provider: Some(shown) }))
    }

    async fn get_provider(
        &self,
        request: Request<GetProviderRequest>,
    ) -> Result<Response<GetProviderResponse>, Status> {
        self.gate.check(&request)?;
        let provider = self.registry.read().provider(&request.get_ref().id).map(|p| p.shown.clone());
        let provider = provider.ok_or_else(|| no_such("provider"))?;
        Ok(Response::new(GetProviderResponse { provider: Some(provider) }))
    }

    async fn list_providers(
        &self,
        request: Request<ListProvidersRequest>,
    ) -> Result<Response<ListProvidersResponse>, Status> {
        self.gate.check(&request)?;
        let ListProvidersRequest { page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let state = self.registry.read();
        let (rows, next_page_token) = page.cut(state.providers_after(&page.after), |p| &p.shown.id);
        let providers = rows.into_iter().map(|provider| provider.shown.clone()).collect();
        Ok(Response::new(ListProvidersResponse { providers, next_page_token }))
    }

    async fn list_provider_kinds(
        &self,
        request: Request<ListProviderKindsRequest>,
    ) -> Result<Response<ListProviderKindsResponse>, Status> {
        self.gate.check(&request)?;
        Ok(Response::new(ListProviderKindsResponse { kinds: kinds::all() }))
    }

    async fn update_provider(
        &self,
        request: Request<UpdateProviderRequest>,
    ) -> Result<Response<UpdateProviderResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let request = request.into_inner();
        let master_key = self.registry.master_key.clone();
        let provider = self
            .registry
            .change(&caller, move |state, stamp| update(state, request, &master_key, stamp))
            .await?;
        Ok(Response::new(UpdateProviderResponse { provider: Some(provider) }))
    }

    async fn delete_provider(
        &self,
        request: Request<DeleteProviderRequest>,
    ) -> Result<Response<DeleteProviderResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let DeleteProviderRequest { id, etag } = request.into_inner();
        self.registry
            .change(&caller, move |state, _| Ok((plan::delete_provider(state, &id, &etag)?, ())))
            .await?;
        Ok(Response::new(DeleteProviderResponse {}))
    }
}

fn update(
    state: &State,
    request: UpdateProviderRequest,
    master_key: &MasterKey,
    stamp: &Stamp,
) -> Result<(Change, ShownProvider), Failure> {
    let old = state.provider(&request.id).ok_or_else(|| no_such("provider"))?;
    plan::check_etag(&request.etag, &old.shown.etag)?;
    let mut shown = old.shown.clone();
    if let Some(name) = request.name {
        validate::label("name", &name)?;
        shown.name = name;
    }
    if let Some(url) = request.base_url {
        shown.base_url = validate::base_url("base_url", shown.kind(), &url)?;
    }
    if let Some(is_active) = request.is_active {
        shown.is_active = is_active;
    }
    if request.clear_models && !request.models.is_empty() {
        return Err(Failure::invalid("models", "models must be empty with clear_models"));
    }
    if request.clear_models || !request.models.is_empty() {
        shown.models = validate::upstream_models("models", &request.models)?;
    }
    if request.deadlines.is_some() {
        shown.deadlines = validate::deadlines(request.deadlines);
    }
    let sealed = match request.api_key {
        None => {
            credential::check_origin("api_key", old, &shown.base_url)?;
            old.credential.clone()
        }
        Some(secret) => {
            credential::check("api_key", &secret)?;
            credential::seal(master_key, &request.id, &secret, old.credential.as_ref())?
        }
    };
    plan::put_provider(state, Provider::new(shown, sealed), stamp)
}
