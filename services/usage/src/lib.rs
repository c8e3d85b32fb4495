//! The ledger of every admitted request.
//!
//! Owns the table of usage records and everything read from it. Promises that a record it was handed and acknowledged
//! is exactly one row (by lease id), however often it is delivered; that an abandoned row gives way to the settled
//! record that comes late, and to nothing else; and that a record is acknowledged only when it is stored.

mod config;
mod consume;
mod ledger;
mod metrics;
mod pending;
mod service;

use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::db::Source;
use headgate_kit::records::RecordSource;
use headgate_kit::tasks::Tasks;
use headgate_proto::usage::v1::usage_service_server::UsageServiceServer;

pub use crate::config::Config;
use crate::consume::Consumer;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pending::Pending;
pub use crate::service::UsageApi;

/// Its schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/usage");

/// What the service needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Tells the time.
    pub clock: Clock,
    /// Where its tables are.
    pub database: Source,
    /// Owns the consuming tasks.
    pub tasks: Tasks,
    /// Where its metrics are registered.
    pub registry: prometheus::Registry,
    /// Guards its RPCs.
    pub gate: Gate,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its database cannot be opened or brought up to date.
    #[error("usage: {0}")]
    Database(#[from] headgate_kit::db::Error),
}

/// The ledger. Clones share everything.
#[derive(Clone)]
pub struct Usage {
    config: Config,
    tasks: Tasks,
    gate: Gate,
    ledger: Ledger,
    metrics: Metrics,
    pending: Pending,
}

impl Usage {
    /// Opens the database, waiting for a server that is away.
    ///
    /// # Errors
    /// When the database cannot be opened or its schema is none of this program's.
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let db = deps.database.open(&MIGRATIONS).await?;
        let pending = Pending::default();
        Ok(Self {
            config,
            tasks: deps.tasks,
            gate: deps.gate,
            ledger: Ledger::new(db, deps.clock),
            metrics: Metrics::new(&deps.registry, pending.clone()),
            pending,
        })
    }

    /// Writes the records of a source to the ledger until the process stops; call it once for every source. What lies
    /// in the source when the process stops is still written.
    pub fn consume(&self, source: RecordSource) {
        self.pending.add(&source);
        let consumer = Consumer {
            config: self.config.clone(),
            ledger: self.ledger.clone(),
            metrics: self.metrics.clone(),
            stop: self.tasks.stopping(),
        };
        self.tasks.spawn(consumer.run(source));
    }

    /// The gRPC service that reads the ledger.
    #[must_use]
    pub fn usage_service(&self) -> UsageServiceServer<UsageApi> {
        UsageServiceServer::new(UsageApi::new(self.ledger.clone(), self.pending.clone(), self.gate.clone()))
    }
}
