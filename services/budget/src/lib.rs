//! Limits and budgets: may a request run, what does it hold, and what has been spent?
//!
//! Owns budgets, limits, spend, idempotency records, and the live counters of every limit. Promises:
//!
//! - Every limit, every budget and the idempotency key of a request are decided and held at once, or not at all;
//!   what is spent and held never exceeds a budget by an admission.
//! - A decision reads no database and waits for nothing but its tenant's lock; where several replicas share their
//!   counters, for one call of Redis, and before the first request of a key for one of the database.
//! - Spend comes from records only, once per lease, in whatever order records and settlements arrive.
//! - Who counts in memory is the only one of its database: a second one waits, unready, until the first is gone.
//! - A hold outlives its holder by the lease's time to live at most, and then ends in a record, never silently. An
//!   admission that was not used is given back whole, and ends in none.
//! - A restart of this process alone forgets no hold of a process elsewhere.

pub mod bootstrap;
pub mod config;

mod account;
mod alerts;
mod change;
mod consumer;
mod engine;
mod follower;
mod limits;
mod live;
mod maps;
mod metrics;
mod owners;
mod policy;
mod record;
mod replays;
mod schedule;
mod service;
mod setting;
mod shared;
mod sliding;
mod store;
mod terms;
mod upkeep;
mod window;

#[cfg(test)]
mod servers;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{self, Conn};
use headgate_kit::db::{self, Sole, Source};
use headgate_kit::ids;
use headgate_kit::records::{CaughtUp, RecordSource};
use headgate_kit::spool::{OpenEntry, Spool};
use headgate_kit::tasks::Tasks;
use headgate_kit::vitals::Vitals;
use headgate_proto::budget::v1::DirectAdmissionService;
use headgate_proto::budget::v1::admission_service_server::AdmissionServiceServer;
use headgate_proto::budget::v1::budget_service_server::BudgetServiceServer;
use headgate_proto::budget::v1::key_quota_service_server::KeyQuotaServiceServer;
use headgate_proto::budget::v1::policy_watch_service_server::PolicyWatchServiceServer;
use headgate_proto::budget::v1::tenant_standing_service_server::TenantStandingServiceServer;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

pub use alerts::SealingKeyError;
pub use bootstrap::Bootstrap;
pub use config::Config;
pub use service::admission::Admissions;
pub use service::budgets::Budgets;
pub use service::policies::PolicyWatch;
pub use service::quotas::KeyQuotas;
pub use service::standings::TenantStandings;
pub use shared::config::RedisConfig;

use alerts::{Known, Vault, VaultError};
use consumer::Consumer;
use engine::Engine;
use engine::journal::Journal;
use follower::Follower;
use live::Live;
use metrics::Metrics;
use owners::Owners;
use policy::Policies;
use replays::Replays;
use shared::{Link, Parts, Shared};
use store::Store;
use window::Months;

/// What readiness says while another process counts in its memory. Replicas need `redis.url`.
const COUNTED_ELSEWHERE: &str = "budget: another process counts in memory";

/// Its schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/budget");

/// What the service needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Tells the time.
    pub clock: Clock,
    /// Where its tables are.
    pub database: Source,
    /// Where `budget.key` stands, unless a key is configured. Must exist.
    pub data_dir: PathBuf,
    /// Owns what runs beside the requests.
    pub tasks: Tasks,
    /// Takes the metrics.
    pub registry: Registry,
    /// Guards `BudgetService`.
    pub gate: Gate,
    /// Takes the records of expired leases. It must be among the sources that are handed to [`Budget::consume`] and to
    /// the ledger.
    pub outbox: Spool,
    /// What an earlier process left open in the outbox: leases of holders in other processes.
    pub unfinished: Vec<OpenEntry>,
    /// Where the live counters are kept.
    pub redis: RedisConfig,
    /// Cancelled when another process counts instead of this one, which must end then.
    pub superseded: CancellationToken,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is wrong; `Config::problems` says where.
    #[error("{field}: {problem}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The database cannot be opened or read.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The key that alerts are sealed under cannot be had.
    #[error(transparent)]
    SealingKey(#[from] SealingKeyError),
    /// Redis cannot be used at all.
    #[error("redis: the client cannot be made")]
    Redis,
    /// A metric is malformed.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl From<VaultError> for BuildError {
    fn from(fault: VaultError) -> Self {
        match fault {
            VaultError::Key(fault) => fault.into(),
            VaultError::Database(fault) => fault.into(),
        }
    }
}

/// The budget service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    engine: Arc<Live>,
    store: Store,
    /// Held while policies change, in the database and then in memory.
    policies: Arc<tokio::sync::Mutex<()>>,
    vault: Vault,
    alerts: Arc<Known>,
    /// `None` where nobody else sets anything.
    follower: Option<Arc<Follower>>,
    /// That nobody else counts in memory, until the last clone is gone.
    _sole: Option<Sole>,
    gate: Gate,
    owners: Owners,
    tasks: Tasks,
    behind: Arc<AtomicUsize>,
    /// Of every source, whether it was read up to where it stood at the start.
    backlogs: Arc<parking_lot::Mutex<Vec<CaughtUp>>>,
    warning_percent: u32,
}

impl Budget {
    /// Opens the database, waiting for a server that is away, restores what the present window has cost and what may be
    /// replayed, and starts what runs beside the requests.
    ///
    /// # Errors
    /// When the configuration is wrong, the database cannot be used, or it belongs to another sealing key or to one that is
    /// missing.
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        if let Some((field, problem)) = config.problems().into_iter().next() {
            return Err(BuildError::Config { field, problem });
        }
        let months = Months::of(&config.time_zone)
            .map_err(|e| BuildError::Config { field: "time_zone", problem: e.to_string() })?;
        let metrics = Metrics::new(&deps.registry)?;
        let store = Store::open(&deps.database).await?;
        let sealing_key = config.sealing_key.as_ref();
        let vault = Vault::open(sealing_key, &deps.data_dir, &store, &deps.database).await?;
        // Before anything else is read: the one that counts until then still writes.
        let sole = match &deps.redis.url {
            None => Some(deps.database.sole(COUNTED_ELSEWHERE, ids::uuid(&deps.clock)).await?),
            Some(_) => None,
        };

        let policies = Policies::new(config.default_key_limits, config.default_tenant_limits);
        let load = async || Ok((store.policy_revision().await?, store.load_policies(&vault).await?));
        let (revision, loaded) = deps.database.read(load, |e| Some(e)).await?;
        policies.replace(loaded.set);
        policies.set_default_budget(loaded.default_budget);
        let alerts = Arc::new(Known::default());
        alerts.replace(loaded.alerts);
        let behind = Arc::<AtomicUsize>::default();
        let parts = EngineParts { config: &config, policies, months, metrics, behind: behind.clone() };
        let (tasks, stop) = (&deps.tasks, deps.tasks.stopping());
        let is_shared = deps.redis.url.is_some();
        let engine = match &deps.redis.url {
            None => in_memory(parts, &store, &deps).await?,
            Some(url) => {
                forget_journal(&deps);
                let link = Link::open(&deps.redis, url).map_err(|_| BuildError::Redis)?;
                in_redis(parts, &store, &deps, link)
            }
        };
        tasks.spawn(upkeep::reap(engine.clone(), deps.outbox, stop.clone()));
        if let Some(sole) = sole.clone() {
            tasks.spawn(give_way(sole, behind.clone(), deps.superseded, stop.clone()));
        }
        tasks.spawn(upkeep::prune(store.clone(), deps.clock, stop.clone()));
        let service = Self {
            engine,
            store,
            policies: Arc::default(),
            vault,
            alerts,
            follower: None,
            _sole: sole,
            gate: deps.gate,
            owners: Owners::default(),
            tasks: deps.tasks,
            behind,
            backlogs: Arc::default(),
            warning_percent: config.warning_percent,
        };
        if !is_shared {
            return Ok(service);
        }
        let follower = Arc::new(Follower::new(&service, revision));
        service.tasks.spawn(Arc::clone(&follower).run(stop));
        Ok(Self { follower: Some(follower), ..service })
    }

    /// Asks auth from now on whose an API key is. Until then, calls about keys fail with UNAVAILABLE.
    pub fn ask_owners_at(&self, auth: Conn) {
        self.owners.ask_at(auth);
    }

    /// Tells the audit log, which auth has, what this service wrote for it; once, until the tasks are stopped.
    pub fn tell_audit_log(&self, auth: Conn) {
        headgate_audit::outbox::deliver(self.store.db.clone(), auth, &self.tasks);
    }

    /// The service that decides and holds. For peers only.
    #[must_use]
    pub fn admission_service(&self) -> AdmissionServiceServer<Admissions> {
        // A settlement carries a response to replay, which may be larger than the default limit.
        AdmissionServiceServer::new(Admissions(self.clone())).max_decoding_message_size(64 << 20)
    }

    /// A connection to `AdmissionService` within this process.
    #[must_use]
    pub fn admission_conn(&self) -> Conn {
        let direct: Arc<dyn DirectAdmissionService> = Arc::new(Admissions(self.clone()));
        conn::local(self.admission_service()).with_direct(direct)
    }

    /// The service that sets limits and budgets.
    #[must_use]
    pub fn budget_service(&self) -> BudgetServiceServer<Budgets> {
        BudgetServiceServer::new(Budgets(self.clone()))
    }

    /// The service that tells which keys and tenants have a budget. For peers only.
    #[must_use]
    pub fn policy_watch_service(&self) -> PolicyWatchServiceServer<PolicyWatch> {
        PolicyWatchServiceServer::new(PolicyWatch(self.clone()))
    }

    /// The service that takes what keys are made with. For auth only.
    #[must_use]
    pub fn key_quota_service(&self) -> KeyQuotaServiceServer<KeyQuotas> {
        KeyQuotaServiceServer::new(KeyQuotas(self.clone()))
    }

    /// The service that tells where tenants stand. For auth only.
    #[must_use]
    pub fn tenant_standing_service(&self) -> TenantStandingServiceServer<TenantStandings> {
        TenantStandingServiceServer::new(TenantStandings(self.clone()))
    }

    /// Books the records of a source from now on, until the process stops. Nothing that a budget covers is admitted
    /// before every source was read up to where it stood when it was handed in, so hand in all of them before serving.
    pub fn consume(&self, source: RecordSource) {
        self.behind.fetch_add(1, Ordering::AcqRel);
        self.backlogs.lock().push(source.caught_up());
        self.tasks.spawn(self.consumer().run(source, self.tasks.stopping()));
    }

    /// Whether admission is open to everybody: every source was read up to where it stood at the start.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.behind.load(Ordering::Acquire) == 0
    }

    /// Whether there is nothing to wait for before requests are let in: admission is open to everybody, or what keeps
    /// it from those with a budget is away, so that nobody can tell when it will be.
    #[must_use]
    pub fn can_serve(&self) -> bool {
        self.ready() || self.backlogs.lock().iter().any(CaughtUp::is_held_up)
    }

    /// Has `vitals` tell how Redis is, where the counters are there.
    pub fn watched(&self, vitals: &Vitals) {
        let Live::Shared(shared) = &*self.engine else { return };
        let link = shared.link().clone();
        vitals.engine("budget: redis", "redis", move || {
            let link = link.clone();
            Box::pin(async move { link.ping().await })
        });
    }

    /// Sets what is new in what a configuration seeds, all of it or nothing. What was set or removed by call since the
    /// configuration said the same stays.
    ///
    /// # Errors
    /// INVALID_REQUEST for a bad value, UNAVAILABLE when the database is away.
    pub async fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<(), Failure> {
        bootstrap::apply(self, bootstrap).await
    }

    fn consumer(&self) -> Consumer {
        let (engine, store, behind) = (self.engine.clone(), self.store.clone(), self.behind.clone());
        Consumer { engine, store, behind }
    }
}

fn unavailable(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the store of budgets", cause)
}

/// Closes admission to budgets when another process counts in its memory, and has this one end.
async fn give_way(
    sole: Sole,
    behind: Arc<AtomicUsize>,
    superseded: CancellationToken,
    stop: CancellationToken,
) {
    if sole.lost(stop).await {
        tracing::error!("another process took over limits and budgets while the database was out of reach");
        behind.fetch_add(1, Ordering::AcqRel);
        superseded.cancel();
    }
}

/// What either engine is made of.
struct EngineParts<'a> {
    config: &'a Config,
    policies: Policies,
    months: Months,
    metrics: Metrics,
    behind: Arc<AtomicUsize>,
}

impl EngineParts<'_> {
    fn ttl_ms(&self) -> i64 {
        i64::try_from(self.config.lease_ttl_ms).unwrap_or(i64::MAX)
    }
}

/// Restores what the present window has cost and what may be replayed.
async fn in_memory(parts: EngineParts<'_>, store: &Store, deps: &Deps) -> Result<Arc<Live>, BuildError> {
    let ttl_ms = parts.ttl_ms();
    let EngineParts { policies, months, metrics, .. } = parts;
    let given_up = metrics.unpersisted_responses.clone();
    let (replays, entries) = Replays::new(given_up.clone());
    let journal = Journal::new(deps.outbox.clone());
    let leases: Vec<_> = deps.unfinished.iter().map(|entry| entry.key).collect();
    let load = async || {
        let now_ms = deps.clock.unix_millis();
        store.load_replays(now_ms, |entry| replays.restore(entry)).await?;
        let spent = store.load_spend(months.at(now_ms).start).await?;
        Ok((spent, store.counted(&leases).await?))
    };
    let (spent, counted) = deps.database.read(load, |e| Some(e)).await?;
    let engine = Engine::new(policies, months, deps.clock.clone(), metrics, replays, journal, ttl_ms);
    for (tenant_id, scope, nano_usd) in spent {
        engine.restore(&tenant_id, &scope, nano_usd);
    }
    for entry in &deps.unfinished {
        engine.resume(entry, counted.contains(&entry.key));
    }
    let stop = deps.tasks.stopping();
    deps.tasks.spawn(upkeep::write_behind(store.clone(), entries, given_up, stop));
    Ok(Arc::new(Live::Memory(Box::new(engine))))
}

/// What was counted in memory is not known to Redis; requests that ran then end without it.
fn forget_journal(deps: &Deps) {
    let journal = Journal::new(deps.outbox.clone());
    for entry in &deps.unfinished {
        journal.end(entry.key);
    }
}

/// Waits for nothing: what is not there when it is needed is learnt then.
fn in_redis(parts: EngineParts<'_>, store: &Store, deps: &Deps, link: Link) -> Arc<Live> {
    let ttl_ms = parts.ttl_ms();
    let EngineParts { policies, months, metrics, behind, .. } = parts;
    let (clock, store) = (deps.clock.clone(), store.clone());
    let parts = Parts { policies, months, clock, metrics, store, link, ttl_ms, behind };
    let (shared, unused) = Shared::new(parts, shared::PREFIX);
    let engine = Arc::new(Live::Shared(Box::new(shared)));
    deps.tasks.spawn(shared::take_back(engine.clone(), unused, deps.tasks.stopping()));
    engine
}
