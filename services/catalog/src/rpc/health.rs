//! `ProviderHealthService`.

use headgate_access::Gate;
use headgate_kit::{Failure, ids};
use headgate_proto::adapter::v1::{ProbeResponse, ProviderKind};
use headgate_proto::catalog::v1::provider_health_service_server::ProviderHealthService;
use headgate_proto::catalog::v1::{
    Provider as ShownProvider, SetProviderHealthRequest, SetProviderHealthResponse,
    TestProviderDirectRequest, TestProviderDirectResponse, TestProviderRequest, TestProviderResponse,
};
use tonic::{Request, Response, Status};

use crate::change::{Change, Provider, Stamp};
use crate::health::{Health, word};
use crate::plan::no_such;
use crate::probes::Probes;
use crate::state::State;
use crate::{credential, validate};

/// Serves probes to super admins.
#[derive(Clone)]
pub struct HealthApi {
    probes: Probes,
    gate: Gate,
}

impl HealthApi {
    pub(crate) fn new(probes: Probes, gate: Gate) -> Self {
        Self { probes, gate }
    }

    /// A provider as it would be, which nobody keeps.
    fn draw_up(&self, request: &TestProviderDirectRequest) -> Result<Provider, Failure> {
        let registry = &self.probes.registry;
        let kind = match request.kind {
            0 => ProviderKind::Openai,
            kind => validate::kind("kind", kind)?,
        };
        let base_url = validate::base_url("base_url", kind, &request.base_url)?;
        validate::upstream_models("models", &request.models)?;
        credential::check("api_key", &request.api_key)?;
        let id = ids::prefixed("provider", &registry.clock);
        let sealed = credential::seal(&registry.master_key, &id, &request.api_key, None)?;
        Ok(Provider::new(ShownProvider { id, kind: kind.into(), base_url, ..Default::default() }, sealed))
    }
}

#[tonic::async_trait]
impl ProviderHealthService for HealthApi {
    async fn test_provider(
        &self,
        request: Request<TestProviderRequest>,
    ) -> Result<Response<TestProviderResponse>, Status> {
        self.gate.check(&request)?;
        let found = self.probes.test(&request.get_ref().id).await?;
        let status = word(found.status()).to_owned();
        let ProbeResponse { status_code, latency_ms, detail, .. } = found;
        Ok(Response::new(TestProviderResponse { status, status_code, latency_ms, detail }))
    }

    async fn test_provider_direct(
        &self,
        request: Request<TestProviderDirectRequest>,
    ) -> Result<Response<TestProviderDirectResponse>, Status> {
        self.gate.check(&request)?;
        let provider = self.draw_up(request.get_ref())?;
        let found = self.probes.prober.ask(&provider).await?;
        let status = word(found.status()).to_owned();
        let ProbeResponse { status_code, latency_ms, detail, .. } = found;
        Ok(Response::new(TestProviderDirectResponse { status, status_code, latency_ms, detail }))
    }

    async fn set_provider_health(
        &self,
        request: Request<SetProviderHealthRequest>,
    ) -> Result<Response<SetProviderHealthResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let SetProviderHealthRequest { id, is_healthy } = request.into_inner();
        let required = || Failure::invalid("is_healthy", "is_healthy is required");
        let is_healthy = is_healthy.ok_or_else(required)?;
        let say = move |state: &State, _: &Stamp| {
            let mut shown = state.provider(&id).ok_or_else(|| no_such("provider"))?.shown.clone();
            let health = Health::of(&shown).overridden(is_healthy);
            health.clone().show(&mut shown);
            Ok((Change { health: vec![(id, health)], ..Change::default() }, shown))
        };
        let provider = self.probes.registry.change(&caller, say).await?;
        Ok(Response::new(SetProviderHealthResponse { provider: Some(provider) }))
    }
}
