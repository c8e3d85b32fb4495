//! Limits and budgets: may a request run, what does it hold, and what has been spent?
//!
//! Owns budgets, limits, spend, idempotency records, and the live counters of every limit. Promises:
//!
//! - Every limit, every budget and the idempotency key of a request are decided and held at once, or not at all;
//!   what is spent and held never exceeds a budget by an admission.
//! - A decision reads no database and waits for nothing but its tenant's lock.
//! - Spend comes from records only, once per lease, in whatever order records and settlements arrive.
//! - A hold outlives its holder by the lease's time to live at most, and then ends in a record, never silently.

pub mod bootstrap;
pub mod config;

mod account;
mod consumer;
mod engine;
mod gcra;
mod limits;
mod maps;
mod metrics;
mod policy;
mod record;
mod replays;
mod service;
mod store;
mod upkeep;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{self, Conn};
use headgate_kit::db::Source;
use headgate_kit::identity::OperatorGuard;
use headgate_kit::records::RecordSource;
use headgate_kit::spool::Spool;
use headgate_kit::tasks::Tasks;
use headgate_proto::budget::v1::DirectAdmissionService;
use headgate_proto::budget::v1::admission_service_server::AdmissionServiceServer;
use headgate_proto::budget::v1::budget_service_server::BudgetServiceServer;
use prometheus::Registry;

pub use bootstrap::Bootstrap;
pub use config::Config;
pub use service::admission::Admissions;
pub use service::budgets::Budgets;

use consumer::Consumer;
use engine::Engine;
use metrics::Metrics;
use policy::{Limits, Policies, Scope};
use replays::Replays;
use store::Store;
use window::Months;

/// Its schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/budget");

/// What the service needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Tells the time.
    pub clock: Clock,
    /// Where its tables are.
    pub database: Source,
    /// Owns what runs beside the requests.
    pub tasks: Tasks,
    /// Takes the metrics.
    pub registry: Registry,
    /// Guards `BudgetService`.
    pub operator: OperatorGuard,
    /// Takes the records of expired leases. It must be among the sources that are handed to [`Budget::consume`] and to
    /// the ledger.
    pub outbox: Spool,
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
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] headgate_kit::db::Error),
    /// The database cannot be read.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A metric is malformed.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The budget service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    engine: Arc<Engine>,
    store: Store,
    operator: OperatorGuard,
    tasks: Tasks,
    behind: Arc<AtomicUsize>,
    warning_percent: u32,
}

impl Budget {
    /// Opens the database, restores what the present window has cost and what may be replayed, and starts what runs
    /// beside the requests.
    ///
    /// # Errors
    /// When the configuration is wrong or the database cannot be used.
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        if let Some((field, problem)) = config.problems().into_iter().next() {
            return Err(BuildError::Config { field, problem });
        }
        let months = Months::of(&config.time_zone)
            .map_err(|e| BuildError::Config { field: "time_zone", problem: e.to_string() })?;
        let metrics = Metrics::new(&deps.registry)?;
        let store = Store::open(&deps.database).await?;
        let now_ms = deps.clock.unix_millis();

        let policies = Policies::new(config.default_key_limits, config.default_tenant_limits);
        store.load_policies(&policies).await?;
        let (replays, entries) = Replays::new(metrics.unpersisted_responses.clone());
        store.load_replays(now_ms, |entry| replays.restore(entry)).await?;
        let spent = store.load_spend(months.at(now_ms).start).await?;

        let ttl_ms = i64::try_from(config.lease_ttl_ms).unwrap_or(i64::MAX);
        let clock = deps.clock.clone();
        let engine = Engine::new(policies, months, clock.clone(), metrics.clone(), replays, ttl_ms);
        for (tenant_id, scope, nano_usd) in spent {
            engine.restore(&tenant_id, &scope, nano_usd);
        }
        let engine = Arc::new(engine);

        let (tasks, stop) = (&deps.tasks, deps.tasks.stopping());
        tasks.spawn(upkeep::reap(engine.clone(), deps.outbox, stop.clone()));
        let given_up = metrics.unpersisted_responses;
        tasks.spawn(upkeep::write_behind(store.clone(), entries, given_up, stop.clone()));
        tasks.spawn(upkeep::prune(store.clone(), clock, stop));
        Ok(Self {
            engine,
            store,
            operator: deps.operator,
            tasks: deps.tasks,
            behind: Arc::new(AtomicUsize::new(0)),
            warning_percent: config.warning_percent,
        })
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

    /// The service that sets limits and budgets. For operators.
    #[must_use]
    pub fn budget_service(&self) -> BudgetServiceServer<Budgets> {
        BudgetServiceServer::new(Budgets(self.clone()))
    }

    /// Books the records of a source from now on, until the process stops. Nothing is admitted before every source
    /// was read up to where it stood when it was handed in, so hand in all of them before serving.
    pub fn consume(&self, source: RecordSource) {
        self.behind.fetch_add(1, Ordering::AcqRel);
        self.tasks.spawn(self.consumer().run(source, self.tasks.stopping()));
    }

    /// Whether admission is open: every source was read up to where it stood at the start.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.behind.load(Ordering::Acquire) == 0
    }

    /// Sets what a configuration seeds. Idempotent.
    ///
    /// # Errors
    /// INVALID_REQUEST for a bad value, UNAVAILABLE when the database is away. What came before the bad value is set.
    pub async fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<(), Failure> {
        bootstrap::apply(self, bootstrap).await
    }

    fn consumer(&self) -> Consumer {
        let (engine, store, behind) = (self.engine.clone(), self.store.clone(), self.behind.clone());
        Consumer { engine, store, behind }
    }

    async fn set_limits(&self, scope: &Scope, limits: Limits) -> Result<(), Failure> {
        if let Some(name) = limits.zero() {
            return Err(Failure::invalid(&format!("limits.{name}"), format!("{name} must be at least 1")));
        }
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock.unix_millis();
        store::policies::set_limits(&writer, scope, limits, now_ms).await.map_err(unavailable)?;
        self.engine.policies.set_limits(scope, limits);
        Ok(())
    }

    async fn set_budget(&self, scope: &Scope, mut budget: policy::Budget) -> Result<(), Failure> {
        if budget.limit < 0 {
            return Err(Failure::invalid("budget.limit_nano_usd", "the limit must not be negative"));
        }
        if budget.warning_percent == 0 {
            budget.warning_percent = self.warning_percent;
        }
        if budget.warning_percent > 100 {
            return Err(Failure::invalid("budget.warning_percent", "warning_percent must be from 1 to 100"));
        }
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock.unix_millis();
        store::policies::set_budget(&writer, scope, budget, now_ms).await.map_err(unavailable)?;
        self.engine.policies.set_budget(scope, Some(budget));
        Ok(())
    }

    /// Whether there was one.
    async fn delete_budget(&self, scope: &Scope) -> Result<bool, Failure> {
        let writer = self.store.writer().await;
        let there = store::policies::delete_budget(&writer, scope).await.map_err(unavailable)?;
        self.engine.policies.set_budget(scope, None);
        Ok(there)
    }
}

fn unavailable(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the store of budgets", cause)
}
