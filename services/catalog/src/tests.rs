//! The service as its callers see it: generated clients over local connections, a real database.

mod allowlists;
mod audited;
mod backups;
mod bootstrap;
mod default_models;
mod etags;
mod health;
mod master_keys;
mod models;
mod peers;
mod prices;
mod providers;
mod registrations;
mod replicas;
mod rights;
mod seeds;
mod watch;

use headgate_kit::conn::{Conn, local};
use headgate_kit::db::testing::TestDb;
use headgate_kit::error::ErrorReason;
use headgate_kit::identity::testing::{Operator, as_operator};
use headgate_kit::on_both_engines;
use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::catalog::v1::catalog_watch_service_client::CatalogWatchServiceClient;
use headgate_proto::catalog::v1::default_model_service_client::DefaultModelServiceClient;
use headgate_proto::catalog::v1::model_price_service_client::ModelPriceServiceClient;
use headgate_proto::catalog::v1::model_service_client::ModelServiceClient;
use headgate_proto::catalog::v1::provider_health_service_client::ProviderHealthServiceClient;
use headgate_proto::catalog::v1::provider_service_client::ProviderServiceClient;
use headgate_proto::catalog::v1::{
    CreateModelRequest, CreateProviderRequest, Model, ModelTarget, Operation, Price, Provider,
    SetTenantModelsRequest, WatchCatalogResponse,
};
use rand::SeedableRng as _;
use tonic::Status;

use self::peers::Upstreams;
use super::*;

const NOW_MICROS: i64 = 1_700_000_000_000_000;
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Fixture {
    catalog: Catalog,
    upstreams: Upstreams,
    master_key: MasterKey,
    clock: Clock,
}

impl Fixture {
    async fn start(db: &TestDb) -> Self {
        Self::with(db, Config { probe_interval_ms: 0, ..Config::default() }).await
    }

    async fn with(db: &TestDb, config: Config) -> Self {
        Self::sealing(db, config, MasterKey::parse(MASTER_KEY).unwrap()).await
    }

    async fn sealing(db: &TestDb, config: Config, master_key: MasterKey) -> Self {
        let clock = Clock::manual(NOW_MICROS);
        let upstreams = Upstreams::default();
        let deps = Deps {
            clock: clock.clone(),
            database: db.source("catalog"),
            tasks: Tasks::new(),
            registry: prometheus::Registry::new(),
            gate: Gate::new("operator-token".into(), clock.clone()),
            master_key: master_key.clone(),
            adapter: upstreams.conn(),
            rng: StdRng::seed_from_u64(7),
            backup_folder: db.dir().join("backup"),
        };
        let catalog = Catalog::build(config, deps).await.unwrap();
        Self { catalog, upstreams, master_key, clock }
    }

    fn providers(&self) -> ProviderServiceClient<Operator> {
        ProviderServiceClient::new(as_operator(local(self.catalog.provider_service()), "operator-token"))
    }

    fn health(&self) -> ProviderHealthServiceClient<Operator> {
        ProviderHealthServiceClient::new(as_operator(local(self.catalog.health_service()), "operator-token"))
    }

    fn models(&self) -> ModelServiceClient<Operator> {
        ModelServiceClient::new(as_operator(local(self.catalog.model_service()), "operator-token"))
    }

    fn default_models(&self) -> DefaultModelServiceClient<Operator> {
        let conn = local(self.catalog.default_model_service());
        DefaultModelServiceClient::new(as_operator(conn, "operator-token"))
    }

    fn prices(&self) -> ModelPriceServiceClient<Operator> {
        ModelPriceServiceClient::new(as_operator(local(self.catalog.price_service()), "operator-token"))
    }

    fn peers(&self) -> CatalogWatchServiceClient<Conn> {
        CatalogWatchServiceClient::new(local(self.catalog.watch_service()))
    }

    /// Makes a provider whose id and name are `id`.
    async fn provider(&self, id: &str, api_key: &str) -> Provider {
        let request = openai(id, api_key);
        self.providers().create_provider(request).await.unwrap().into_inner().provider.unwrap()
    }

    async fn model(&self, model: Model) -> Result<Model, Status> {
        let request = CreateModelRequest { model: Some(model) };
        self.models().create_model(request).await.map(|made| made.into_inner().model.unwrap())
    }

    /// All of the catalog.
    fn everything(&self) -> WatchCatalogResponse {
        self.catalog.registry.read().snapshot()
    }
}

fn openai(id: &str, api_key: &str) -> CreateProviderRequest {
    CreateProviderRequest {
        name: id.into(),
        kind: ProviderKind::Openai.into(),
        base_url: "https://api.example.com/v1/".into(),
        api_key: api_key.into(),
        id: id.into(),
        ..Default::default()
    }
}

fn chat_model(name: &str, targets: &[(&str, &str)]) -> Model {
    let target = |&(provider, upstream): &(&str, &str)| ModelTarget {
        provider_id: provider.into(),
        upstream_model: upstream.into(),
        weight: 1,
        ..Default::default()
    };
    Model {
        name: name.into(),
        enabled: true,
        operations: vec![Operation::Chat.into()],
        price: Some(Price { input_nano_usd_per_1k_tokens: 150_000, ..Default::default() }),
        targets: targets.iter().map(target).collect(),
        max_output_tokens: 4096,
        ..Default::default()
    }
}

fn restrict(tenant_id: &str, models: &[&str]) -> SetTenantModelsRequest {
    let models = models.iter().map(|&name| name.to_owned()).collect();
    SetTenantModelsRequest {
        tenant_id: tenant_id.into(),
        restricted: Some(true),
        models,
        ..Default::default()
    }
}

fn failure(status: Status) -> Failure {
    Failure::from_status(&status)
}

fn field(status: Status) -> (ErrorReason, String) {
    let failure = failure(status);
    (failure.reason, failure.metadata.get("field").cloned().unwrap_or_default())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
