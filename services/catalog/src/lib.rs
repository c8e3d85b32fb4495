//! Providers, models and prices: what can be asked for.
//!
//! Owns providers with their sealed credentials, models with their prices and targets, the tenants' allowlists, and
//! their database. Promises:
//!
//! - A provider's credential is sealed before it is stored, opens for that provider only, and is returned by no call
//!   but the watch, where it stays sealed.
//! - The revision rises with every change, in the change's own transaction, so that it never repeats, not even over a
//!   restart, and a revision names one set of prices.
//! - What a change answered is durable and sent to everyone who watches, in the order of the changes.
//! - The audit log is told of every change: an entry stands if and only if its change does.
//! - Reading needs no database: it goes on while that is away, and only changes are refused.
//! - A provider is unhealthy when so many probes failed in a row as the configuration says. Health makes no revision.
//! - A backup of all of it is on disk soon after every change, with credentials sealed as they are in the database.
//! - What an earlier master key sealed is sealed anew at the start, or when asked for, where that key is still known.
//! - Of several replicas on one PostgreSQL each knows what another changed within 250 ms; one that cannot tell is silent
//!   to those who watch.

mod allowlist;
mod audit;
mod backup;
mod bootstrap;
mod change;
mod config;
mod credential;
mod default_model;
mod health;
mod kinds;
mod metrics;
mod plan;
mod price;
mod price_list;
mod prober;
mod probes;
mod registration;
mod registry;
mod rotate;
mod rpc;
mod state;
mod store;
mod validate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headgate_access::{Author, Gate};
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::db::{self, Source};
use headgate_kit::seal::MasterKey;
use headgate_kit::tasks::Tasks;
use headgate_proto::catalog::v1::backup_service_server::BackupServiceServer;
use headgate_proto::catalog::v1::catalog_watch_service_server::CatalogWatchServiceServer;
use headgate_proto::catalog::v1::default_model_service_server::DefaultModelServiceServer;
use headgate_proto::catalog::v1::master_key_service_server::MasterKeyServiceServer;
use headgate_proto::catalog::v1::model_price_service_server::ModelPriceServiceServer;
use headgate_proto::catalog::v1::model_registry_service_server::ModelRegistryServiceServer;
use headgate_proto::catalog::v1::model_service_server::ModelServiceServer;
use headgate_proto::catalog::v1::provider_health_service_server::ProviderHealthServiceServer;
use headgate_proto::catalog::v1::provider_service_server::ProviderServiceServer;

use rand::rngs::StdRng;

pub use backup::{BackupError, backup_json, parse_backup};
pub use bootstrap::{
    Bootstrap, BootstrapDeadlines, BootstrapKind, BootstrapModel, BootstrapOperation, BootstrapPrice,
    BootstrapProvider, BootstrapRequestDefaults, BootstrapTarget,
};
pub use config::Config;
pub use price::UsdPerMillionTokens;
pub use rpc::{
    BackupApi, DefaultModelApi, HealthApi, MasterKeyApi, ModelApi, PriceApi, ProviderApi, RegistrationApi,
    WatchApi,
};

use crate::backup::Backups;
use crate::metrics::Metrics;
use crate::prober::Prober;
use crate::probes::Probes;
use crate::registry::Registry;
use crate::store::Store;

/// Its schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/catalog");

/// The largest backup that a call carries, in bytes.
const MAX_BACKUP_BYTES: usize = 64 * 1024 * 1024;

/// What the service needs from its process.
#[derive(Debug)]
pub struct Deps {
    /// Tells the time of creation.
    pub clock: Clock,
    /// Where its tables are.
    pub database: Source,
    /// Runs changes to their end, and ends watches when it stops.
    pub tasks: Tasks,
    /// Where the service counts.
    pub registry: prometheus::Registry,
    /// Guards what people and operators may do.
    pub gate: Gate,
    /// Seals the providers' credentials.
    pub master_key: MasterKey,
    /// To inference-adapter, which probes.
    pub adapter: Conn,
    /// Spreads probes over time.
    pub rng: StdRng,
    /// Where it keeps a backup of itself.
    pub backup_folder: PathBuf,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database cannot be opened or brought up to date.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The database holds what this program never writes.
    #[error("catalog database: {0}")]
    Corrupt(String),
}

impl BuildError {
    fn database(&self) -> Option<&db::Error> {
        if let Self::Database(cause) = self { Some(cause) } else { None }
    }
}

/// The service. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Catalog {
    registry: Arc<Registry>,
    probes: Probes,
    backups: Backups,
    gate: Gate,
}

impl Catalog {
    /// Opens the database, waiting for a server that is away, and reads all of the catalog.
    ///
    /// # Errors
    /// When the database cannot be opened or understood.
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let store = Store(deps.database.open(&MIGRATIONS).await?);
        let state = deps.database.read(async || store.load().await, BuildError::database).await?;
        let metrics = Metrics::new(&deps.registry);
        let tasks = deps.tasks.clone();
        let registry = Registry::new(store, state, deps.master_key, deps.clock, deps.tasks, metrics);
        let registry = Arc::new(registry);
        registry.follow_others();
        let backups = Backups { registry: Arc::clone(&registry), folder: deps.backup_folder };
        backups.restore_into_nothing().await;
        if let Err(failure) = rotate::rotate(Author::own("upkeep"), &registry).await {
            tracing::warn!(%failure, "credentials cannot be sealed with the present master key");
        }
        match registry.note_prices().await {
            Ok(0) => {}
            Ok(models) => tracing::info!(models, "what models cost is noted in their history"),
            Err(cause) => tracing::warn!(%cause, "what models cost cannot be noted in their history"),
        }
        tasks.spawn(backup::keep(backups.clone(), tasks.stopping()));
        let probes = Probes {
            registry: Arc::clone(&registry),
            prober: Prober::new(deps.adapter, config.probe_timeout_ms),
            unhealthy_after: config.unhealthy_after,
        };
        if config.probe_interval_ms > 0 {
            let interval = Duration::from_millis(config.probe_interval_ms);
            tasks.spawn(probes.clone().keep(interval, deps.rng, tasks.stopping()));
        }
        Ok(Self { registry, probes, backups, gate: deps.gate })
    }

    /// Tells the audit log, which auth has, what this service wrote for it; once, until the tasks are stopped.
    pub fn tell_audit_log(&self, auth: Conn) {
        self.registry.tell_audit_log(auth);
    }

    /// Makes what is new in the bootstrap, or brings it to what the bootstrap says. All of it or nothing, as one
    /// revision. What it does not name stays, and so does what was changed by call since the bootstrap said the same.
    ///
    /// # Errors
    /// INVALID_REQUEST for bad values, ALREADY_EXISTS where a name belongs to another, UNAVAILABLE when the database
    /// is away.
    pub async fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<(), Failure> {
        bootstrap::apply(&self.registry, bootstrap).await
    }

    /// Serves providers to super admins.
    #[must_use]
    pub fn provider_service(&self) -> ProviderServiceServer<ProviderApi> {
        ProviderServiceServer::new(ProviderApi::new(Arc::clone(&self.registry), self.gate.clone()))
    }

    /// Serves probes to super admins.
    #[must_use]
    pub fn health_service(&self) -> ProviderHealthServiceServer<HealthApi> {
        ProviderHealthServiceServer::new(HealthApi::new(self.probes.clone(), self.gate.clone()))
    }

    /// Serves backups to super admins.
    #[must_use]
    pub fn backup_service(&self) -> BackupServiceServer<BackupApi> {
        let server = BackupServiceServer::new(BackupApi::new(self.backups.clone(), self.gate.clone()));
        server.max_decoding_message_size(MAX_BACKUP_BYTES).max_encoding_message_size(MAX_BACKUP_BYTES)
    }

    /// Serves models to super admins, and allowlists to the people of their tenants.
    #[must_use]
    pub fn model_service(&self) -> ModelServiceServer<ModelApi> {
        ModelServiceServer::new(ModelApi::new(Arc::clone(&self.registry), self.gate.clone()))
    }

    /// Serves models in short to super admins.
    #[must_use]
    pub fn registration_service(&self) -> ModelRegistryServiceServer<RegistrationApi> {
        let api = RegistrationApi::new(Arc::clone(&self.registry), self.gate.clone());
        ModelRegistryServiceServer::new(api)
    }

    /// Serves the rotation of the master key to super admins.
    #[must_use]
    pub fn master_key_service(&self) -> MasterKeyServiceServer<MasterKeyApi> {
        MasterKeyServiceServer::new(MasterKeyApi::new(Arc::clone(&self.registry), self.gate.clone()))
    }

    /// Serves the history of prices to super admins.
    #[must_use]
    pub fn price_service(&self) -> ModelPriceServiceServer<PriceApi> {
        ModelPriceServiceServer::new(PriceApi::new(Arc::clone(&self.registry), self.gate.clone()))
    }

    /// Serves the default model to super admins.
    #[must_use]
    pub fn default_model_service(&self) -> DefaultModelServiceServer<DefaultModelApi> {
        let api = DefaultModelApi::new(Arc::clone(&self.registry), self.gate.clone());
        DefaultModelServiceServer::new(api)
    }

    /// Serves the watch to peer services.
    #[must_use]
    pub fn watch_service(&self) -> CatalogWatchServiceServer<WatchApi> {
        CatalogWatchServiceServer::new(WatchApi::new(Arc::clone(&self.registry)))
    }
}

#[cfg(test)]
mod tests;
