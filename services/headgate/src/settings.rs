//! The whole configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use headgate_budget::bootstrap::{BudgetTerms, KeyEntry};
use headgate_kit::config::{self, Problem};
use headgate_kit::seal::MasterKey;
use headgate_kit::server::Bounds;
use headgate_kit::strangers;
use headgate_kit::telemetry;
use headgate_kit::{db, identity};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::topology::{Here, Peers, Service};

/// An operator token may do everything, so it must not be guessed.
pub(crate) const MIN_OPERATOR_TOKEN: usize = 16;

/// Between processes, a watch has one call of a connection for itself, and what asks how the other side is another now
/// and then: the rest must do for calls.
const MIN_PEER_STREAMS: u32 = 16;

/// Everything an operator can set. `headgate config default` prints it with comments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    #[serde(skip_serializing)]
    pub(crate) operator_token: Option<SecretString>,
    #[serde(skip_serializing)]
    pub(crate) master_key: Option<SecretString>,
    #[serde(skip_serializing)]
    pub(crate) previous_master_keys: Vec<SecretString>,
    pub(crate) log: telemetry::Config,
    pub(crate) edge: headgate_edge::Config,
    pub(crate) grpc: Grpc,
    pub(crate) ops: Ops,
    pub(crate) shutdown: Shutdown,
    pub(crate) peers: Peers,
    pub(crate) identity: identity::Config,
    pub(crate) database: db::Config,
    pub(crate) nats: headgate_kit::nats::Config,
    pub(crate) auth: headgate_auth::Config,
    pub(crate) catalog: headgate_catalog::Config,
    pub(crate) router: headgate_router::Config,
    pub(crate) adapter: headgate_inference_adapter::Config,
    pub(crate) budget: headgate_budget::Config,
    pub(crate) redis: headgate_budget::RedisConfig,
    pub(crate) usage: headgate_usage::Config,
    pub(crate) runtime: headgate_runtime_manager::Config,
    pub(crate) bootstrap: Bootstrap,
}

/// The gRPC listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Grpc {
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) max_streams_per_connection: u32,
    pub(crate) failed_authentications: strangers::Config,
}

/// The ops listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ops {
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
}

/// How a process ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    pub(crate) drain_ms: u64,
    pub(crate) grace_ms: u64,
}

/// What a start makes or changes, as far as it is new.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bootstrap {
    pub(crate) tenants: Vec<headgate_auth::BootstrapTenant>,
    pub(crate) api_keys: Vec<BootstrapKey>,
    pub(crate) admin_users: Vec<headgate_auth::BootstrapAdmin>,
    pub(crate) memberships: Vec<headgate_auth::BootstrapMembership>,
    pub(crate) providers: Vec<headgate_catalog::BootstrapProvider>,
    pub(crate) models: Vec<headgate_catalog::BootstrapModel>,
    pub(crate) tenant_models: BTreeMap<String, Vec<String>>,
    pub(crate) default_model: Option<String>,
    pub(crate) limits: Vec<headgate_budget::bootstrap::LimitsEntry>,
    pub(crate) budgets: Vec<headgate_budget::bootstrap::BudgetEntry>,
    pub(crate) tenant_limits: BTreeMap<String, headgate_budget::config::Limits>,
    pub(crate) tenant_budgets: BTreeMap<String, BudgetTerms>,
    pub(crate) default_budget: Option<BudgetTerms>,
}

/// A key, with what budget makes of it.
type BootstrapKey = headgate_auth::BootstrapKey<headgate_budget::config::Limits, BudgetTerms>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            operator_token: None,
            master_key: None,
            previous_master_keys: Vec::new(),
            log: telemetry::Config::default(),
            edge: headgate_edge::Config::default(),
            grpc: Grpc::default(),
            ops: Ops::default(),
            shutdown: Shutdown::default(),
            peers: Peers::default(),
            identity: identity::Config::default(),
            database: db::Config::default(),
            nats: headgate_kit::nats::Config::default(),
            auth: headgate_auth::Config::default(),
            catalog: headgate_catalog::Config::default(),
            router: headgate_router::Config::default(),
            adapter: headgate_inference_adapter::Config::default(),
            budget: headgate_budget::Config::default(),
            redis: headgate_budget::RedisConfig::default(),
            usage: headgate_usage::Config::default(),
            runtime: headgate_runtime_manager::Config::default(),
            bootstrap: Bootstrap::default(),
        }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 50051));
        let failed_authentications = strangers::Config { per_second: None, ..strangers::Config::default() };
        Self { listen, max_connections: 10_000, max_streams_per_connection: 1024, failed_authentications }
    }
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), max_connections: 100 }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_ms: 3_000, grace_ms: 30_000 }
    }
}

impl Settings {
    /// Reads file and environment, `.env` included, for a process that runs `here`.
    ///
    /// # Errors
    /// Every fault there is: unknown keys, values of the wrong type, values that cannot be.
    pub(crate) fn load(file: Option<&Path>, here: &Here) -> Result<Self, Vec<Problem>> {
        Self::load_if(file, |settings, taken| settings.problems(taken, here))
    }

    /// The same for a process that only looks after databases: it calls and answers nobody.
    ///
    /// # Errors
    /// Every fault but those of peers and identity.
    pub(crate) fn load_for_databases(file: Option<&Path>) -> Result<Self, Vec<Problem>> {
        Self::load_if(file, |settings, taken| {
            let mut problems = settings.problems(taken, &Here::all());
            let concerns_others = |path: &str| path.starts_with("peers.") || path.starts_with("identity.");
            problems.retain(|problem| !concerns_others(&problem.path));
            problems
        })
    }

    fn load_if(
        file: Option<&Path>,
        problems: impl FnOnce(&Self, &[String]) -> Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let (variables, fault) = match environment::read_file() {
            Ok(variables) => (variables, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        match (config::load(file, &variables, problems), fault) {
            (Ok(settings), None) => Ok(settings),
            (Ok(_), Some(fault)) => Err(vec![fault]),
            (Err(mut problems), fault) => {
                problems.extend(fault);
                Err(problems)
            }
        }
    }

    /// Whether everything is served to this machine only.
    pub(crate) fn is_loopback(&self) -> bool {
        [self.edge.listen, self.grpc.listen, self.ops.listen].iter().all(|a| a.ip().is_loopback())
    }

    /// Where a service's tables are, for one of so many services with a database in a process.
    ///
    /// # Errors
    /// Never, as the values were checked.
    pub(crate) fn source(
        &self,
        data_dir: &Path,
        service: Service,
        services: u32,
    ) -> Result<db::Source, db::UrlError> {
        let file = data_dir.join(format!("{}.db", service.name()));
        db::Source::new(&self.database, service.name(), file, services)
    }

    /// What is wrong with the values. Those at the paths in `taken` could not be read and have their default here.
    fn problems(&self, taken: &[String], here: &Here) -> Vec<Problem> {
        let mut problems = self.secret_problems(here);
        problems.extend(self.bootstrap_problems(taken));
        let faults = self.database.problems(&Service::WITH_DATABASE.map(Service::name));
        problems.extend(faults.into_iter().map(|(f, m)| Problem::new(format!("database.{f}"), m)));
        problems.extend(self.auth.problems());
        let mut add = |section: &str, faults: Vec<(&'static str, String)>| {
            problems.extend(faults.into_iter().map(|(f, m)| Problem::new(format!("{section}.{f}"), m)));
        };
        add("log", self.log.problems());
        add("edge", self.edge.problems());
        add("grpc", self.grpc.problems(here));
        add("ops", connection_problems(self.ops.max_connections).into_iter().collect());
        add("peers", self.peers.problems(here, self.identity.has_certificates()));
        add("identity", self.identity_problems(here));
        add("nats", self.nats_problems(here));
        add("catalog", self.catalog.problems());
        add("router", self.router.problems());
        add("adapter", self.adapter.problems());
        add("budget", self.budget.problems());
        add("redis", self.redis.problems());
        add("usage", self.usage.problems());
        add("runtime", self.runtime.problems());
        problems
    }

    fn identity_problems(&self, here: &Here) -> Vec<(&'static str, String)> {
        let mut problems = self.identity.problems();
        if !here.is_all() && !self.identity.is_set() {
            let message = "must be set where services run in several processes, or identity.tls";
            problems.push(("token_key", message.to_owned()));
        }
        problems
    }

    fn nats_problems(&self, here: &Here) -> Vec<(&'static str, String)> {
        let mut problems = self.nats.problems();
        let recording = [Service::Router, Service::Budget, Service::Usage];
        if self.nats.url.is_none() && here.runs_any(&recording) && !here.runs_all(&recording) {
            let message = "must be set where router, budget and usage run in different processes";
            problems.push(("url", message.to_owned()));
        }
        problems
    }

    fn secret_problems(&self, here: &Here) -> Vec<Problem> {
        let mut problems = Vec::new();
        let sealing = [Service::Catalog, Service::Adapter];
        if self.master_key.is_none() && here.runs_any(&sealing) && !here.runs_all(&sealing) {
            let message = "must be set where catalog and adapter run in different processes";
            problems.push(Problem::new("master_key", message.to_owned()));
        }
        if let Some(Err(fault)) = self.master_key.as_ref().map(|key| MasterKey::parse(key.expose_secret())) {
            problems.push(Problem::new("master_key", fault.to_string()));
        }
        for (i, previous) in self.previous_master_keys.iter().enumerate() {
            if let Err(fault) = MasterKey::parse(previous.expose_secret()) {
                problems.push(Problem::new(format!("previous_master_keys[{i}]"), fault.to_string()));
            }
        }
        if self.operator_token.as_ref().is_some_and(|t| t.expose_secret().len() < MIN_OPERATOR_TOKEN) {
            let message = format!("must be at least {MIN_OPERATOR_TOKEN} characters");
            problems.push(Problem::new("operator_token", message));
        }
        problems
    }

    /// What the bootstrap refers to may have been made before; but not when there is no database yet.
    fn bootstrap_problems(&self, taken: &[String]) -> Vec<Problem> {
        let complete = |list: &str| !taken.iter().any(|path| path.starts_with(list));
        let first_start = |service: Service| {
            let name = service.name();
            self.database.url_of(name).is_none() && !self.data_dir.join(format!("{name}.db")).exists()
        };
        let auth = self.bootstrap.auth();
        let mut problems = auth.problems(complete("bootstrap.tenants") && first_start(Service::Auth));
        let catalog = self.bootstrap.catalog();
        problems.extend(catalog.problems(complete("bootstrap.providers") && first_start(Service::Catalog)));
        problems.extend(self.bootstrap.budget().problems());
        problems
    }
}

impl Grpc {
    /// What its listener takes at a time.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.max_connections,
            streams: self.max_streams_per_connection,
            failures: self.failed_authentications,
        }
    }

    fn problems(&self, here: &Here) -> Vec<(&'static str, String)> {
        let mut problems: Vec<_> = connection_problems(self.max_connections).into_iter().collect();
        let least = if here.is_all() { 1 } else { MIN_PEER_STREAMS };
        if self.max_streams_per_connection < least {
            problems.push(("max_streams_per_connection", format!("must be at least {least}")));
        }
        problems.extend(self.failed_authentications.problem().map(|wrong| ("failed_authentications", wrong)));
        problems
    }
}

/// As many as the edge may be told to take.
fn connection_problems(max_connections: usize) -> Option<(&'static str, String)> {
    (!(1..=1_000_000).contains(&max_connections))
        .then(|| ("max_connections", "must be 1 to 1000000".to_owned()))
}

impl Bootstrap {
    /// The part of tenants, keys and people.
    pub(crate) fn auth(&self) -> headgate_auth::Bootstrap {
        headgate_auth::Bootstrap {
            tenants: self.tenants.clone(),
            api_keys: self.api_keys.iter().map(BootstrapKey::bare).collect(),
            admin_users: self.admin_users.clone(),
            memberships: self.memberships.clone(),
        }
    }

    /// The part of providers and models.
    pub(crate) fn catalog(&self) -> headgate_catalog::Bootstrap {
        headgate_catalog::Bootstrap {
            providers: self.providers.clone(),
            models: self.models.clone(),
            tenant_models: self.tenant_models.clone(),
            default_model: self.default_model.clone(),
        }
    }

    /// The part of limits and budgets.
    pub(crate) fn budget(&self) -> headgate_budget::Bootstrap {
        headgate_budget::Bootstrap {
            limits: self.limits.clone(),
            budgets: self.budgets.clone(),
            tenant_limits: self.tenant_limits.clone(),
            tenant_budgets: self.tenant_budgets.clone(),
            default_budget: self.default_budget.clone(),
            keys: self.api_keys.iter().enumerate().filter_map(key_entry).collect(),
        }
    }

    /// Whether nothing is to be seeded.
    pub(crate) fn is_empty(&self) -> bool {
        self.tenants.is_empty()
            && self.api_keys.is_empty()
            && self.admin_users.is_empty()
            && self.memberships.is_empty()
            && self.providers.is_empty()
            && self.models.is_empty()
            && self.tenant_models.is_empty()
            && self.default_model.is_none()
            && self.limits.is_empty()
            && self.budgets.is_empty()
            && self.tenant_limits.is_empty()
            && self.tenant_budgets.is_empty()
            && self.default_budget.is_none()
    }
}

/// What budget makes of a key. `None` where nothing is said, or of a key that is none, which is said elsewhere.
fn key_entry((i, key): (usize, &BootstrapKey)) -> Option<KeyEntry> {
    let (limits, budget) = (key.limits, key.budget.clone());
    let says_something = limits.is_some() || budget.is_some();
    let id = key.id().filter(|_| says_something)?;
    Some(KeyEntry { at: format!("bootstrap.api_keys[{i}]"), id, limits, budget })
}
