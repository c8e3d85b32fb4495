//! The service: its parts, and how they are put together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::clock::Clock;
use headgate_kit::conn::{self, Conn};
use headgate_kit::follow::follow;
use headgate_kit::snapshot::Snapshots;
use headgate_kit::spool::{OpenEntry, Spool, SpoolError};
use headgate_kit::tasks::Tasks;
use headgate_proto::adapter::v1::AdapterServiceStub;
use headgate_proto::auth::v1::WatchKeysRequest;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::budget::v1::policy_watch_service_client::PolicyWatchServiceClient;
use headgate_proto::budget::v1::{AdmissionServiceStub, WatchPoliciesRequest};
use headgate_proto::catalog::v1::WatchCatalogRequest;
use headgate_proto::catalog::v1::catalog_watch_service_client::CatalogWatchServiceClient;
use headgate_proto::inference::v1::DirectInferenceService;
use headgate_proto::inference::v1::directory_service_server::DirectoryServiceServer;
use headgate_proto::inference::v1::inference_service_server::InferenceServiceServer;
use headgate_proto::router::v1::routing_service_server::RoutingServiceServer;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;

use crate::authenticate::Authenticator;
use crate::breaker::Breakers;
use crate::config::Config;
use crate::cooldown::Cooldowns;
use crate::grpc::{Directory, Inference, Routing};
use crate::keeper::Keeper;
use crate::keys::{Keys, Now};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::policies::Policies;
use crate::{kept, recovery, release};

/// What the router needs of the process it runs in.
pub struct Deps {
    /// To auth.
    pub auth: Conn,
    /// To catalog.
    pub catalog: Conn,
    /// To budget.
    pub budget: Conn,
    /// To inference-adapter.
    pub adapter: Conn,
    /// Where its records go.
    pub spool: Spool,
    /// The spool's entries without an end, which are ended as abandoned.
    pub unfinished: Vec<OpenEntry>,
    /// Where what auth and catalog said last is kept. `None` where they run in this process.
    pub snapshots: Option<Snapshots>,
    /// Time.
    pub clock: Clock,
    /// Draws targets.
    pub rng: StdRng,
    /// Owns its tasks.
    pub tasks: Tasks,
    /// Takes its metrics.
    pub registry: prometheus::Registry,
}

/// The router. Cheap to clone.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) keys: Arc<Keys>,
    pub(crate) authenticator: Authenticator,
    pub(crate) models: Arc<Models>,
    pub(crate) admission: AdmissionServiceStub<Conn>,
    /// Leads to budget in another process, of which there may be several. `None` where it is in this one.
    pub(crate) remote_budget: Option<Conn>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) adapter: AdapterServiceStub<Conn>,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) breakers: Breakers,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) spool: Spool,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) rng: Mutex<StdRng>,
    pub(crate) tasks: Tasks,
    /// One for each admission on its way back.
    pub(crate) releases: Arc<Semaphore>,
}

impl Router {
    /// Ends what an earlier process left open, and begins to follow auth and catalog.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn build(config: Config, deps: Deps) -> Result<Self, SpoolError> {
        recovery::abandon(&deps.spool, deps.unfinished, &deps.clock)?;
        let keys = Arc::new(Keys::default());
        let models = Arc::new(Models::default());
        let max_age = Duration::from_millis(config.max_snapshot_age_ms);
        if let Some(snapshots) = deps.snapshots {
            kept::restore(&snapshots, &keys, &models, max_age);
            kept::keep(snapshots, keys.clone(), models.clone(), deps.clock.clone(), &deps.tasks);
        }
        let auth = AuthenticationServiceClient::new(deps.auth.clone());
        follow_keys(&deps.tasks, auth, keys.clone(), deps.clock.clone());
        follow_catalog(&deps.tasks, CatalogWatchServiceClient::new(deps.catalog), models.clone());
        let max = config.max_message_bytes;
        let remote_budget = Some(deps.budget.clone()).filter(Conn::is_remote);
        let policies = Arc::new(Policies::default());
        if let Some(budget) = remote_budget.clone() {
            follow_policies(&deps.tasks, budget, policies.clone(), deps.clock.clone());
        }
        let admission = AdmissionServiceStub::new(deps.budget).max_decoding_message_size(max);
        let keeper = Arc::new(Keeper::default());
        keeper.clone().run(&deps.tasks, admission.clone(), deps.clock.clone());
        let metrics = Metrics::new(&deps.registry);
        let stale = metrics.stale_authentications.clone();
        let authenticator =
            Authenticator::new(keys.clone(), deps.auth.clone(), max_age, stale, deps.clock.clone());
        authenticator.uses.clone().tell(&deps.tasks, deps.auth);
        Ok(Self(Arc::new(Parts {
            authenticator,
            keys,
            models,
            admission,
            remote_budget,
            policies,
            adapter: AdapterServiceStub::new(deps.adapter).max_decoding_message_size(max),
            cooldowns: Cooldowns::default(),
            breakers: Breakers::new(config.breaker_failures, Duration::from_millis(config.breaker_open_ms)),
            keeper,
            spool: deps.spool,
            metrics,
            clock: deps.clock,
            rng: Mutex::new(deps.rng),
            tasks: deps.tasks,
            releases: Arc::new(Semaphore::new(release::MOST)),
            config,
        })))
    }

    /// The inference API.
    #[must_use]
    pub fn inference_service(&self) -> InferenceServiceServer<Inference> {
        let max = self.0.config.max_message_bytes;
        InferenceServiceServer::new(Inference(self.0.clone())).max_decoding_message_size(max)
    }

    /// A connection to the inference API within this process.
    #[must_use]
    pub fn conn(&self) -> Conn {
        let direct: Arc<dyn DirectInferenceService> = Arc::new(Inference(self.0.clone()));
        conn::local(self.inference_service()).with_direct(direct)
    }

    /// What there is for a key, for consumers.
    #[must_use]
    pub fn directory_service(&self) -> DirectoryServiceServer<Directory> {
        DirectoryServiceServer::new(Directory(self.0.clone()))
    }

    /// The state of the targets, for peers.
    #[must_use]
    pub fn routing_service(&self) -> RoutingServiceServer<Routing> {
        RoutingServiceServer::new(Routing(self.0.clone()))
    }

    /// Whether keys and catalog are known, so that requests can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

impl Parts {
    pub(crate) fn is_ready(&self) -> bool {
        self.keys.is_ready() && self.models.current().is_ready()
    }
}

fn follow_keys(tasks: &Tasks, client: AuthenticationServiceClient<Conn>, keys: Arc<Keys>, clock: Clock) {
    let client = client.max_decoding_message_size(usize::MAX);
    let open = move || {
        let mut client = client.clone();
        async move { client.watch_keys(WatchKeysRequest {}).await }
    };
    follow(tasks, "keys", open, move |message| {
        keys.apply(message, Now { instant: Instant::now(), unix_ms: clock.unix_millis() });
    });
}

fn follow_catalog(tasks: &Tasks, client: CatalogWatchServiceClient<Conn>, models: Arc<Models>) {
    let client = client.max_decoding_message_size(usize::MAX);
    let open = move || {
        let mut client = client.clone();
        async move { client.watch_catalog(WatchCatalogRequest {}).await }
    };
    follow(tasks, "catalog", open, move |message| models.apply(message));
}

fn follow_policies(tasks: &Tasks, budget: Conn, policies: Arc<Policies>, clock: Clock) {
    let client = PolicyWatchServiceClient::new(budget).max_decoding_message_size(usize::MAX);
    let open = move || {
        let mut client = client.clone();
        async move { client.watch_policies(WatchPoliciesRequest {}).await }
    };
    follow(tasks, "policies", open, move |message| policies.apply(message, clock.unix_millis()));
}
