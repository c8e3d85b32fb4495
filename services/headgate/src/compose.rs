//! Puts the services together: each is built once, and sees the others only as connections.

use std::path::Path;

use headgate_kit::clock::Clock;
use headgate_kit::conn::local;
use headgate_kit::identity::OperatorGuard;
use headgate_kit::records::RecordSource;
use headgate_kit::seal::MasterKey;
use headgate_kit::spool::{OpenEntry, Options, Spool, SpoolError};
use headgate_kit::tasks::Tasks;
use headgate_kit::workers::Workers;
use headgate_proto::FILE_DESCRIPTOR_SET;
use prometheus::Registry;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tonic::service::Routes;

use crate::health::Health;
use crate::settings::Settings;

/// Who reads every record.
const CONSUMERS: [&str; 2] = ["budget", "usage"];

/// Every service of this process.
pub(crate) struct Services {
    pub(crate) auth: headgate_auth::Auth,
    pub(crate) catalog: headgate_catalog::Catalog,
    pub(crate) budget: headgate_budget::Budget,
    pub(crate) usage: headgate_usage::Usage,
    pub(crate) runtime: headgate_runtime_manager::RuntimeManager,
    adapter: headgate_inference_adapter::Adapter,
    records: Records,
}

/// What services are given.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    /// Ended first: what serves requests.
    pub(crate) front: Tasks,
    /// Ended second: what consumes records.
    pub(crate) back: Tasks,
    /// Ended last: what writes records to disk.
    pub(crate) storage: Tasks,
    /// Where REST connections are driven.
    pub(crate) workers: Workers,
    pub(crate) operator: OperatorGuard,
    pub(crate) master_key: MasterKey,
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error(transparent)]
    Auth(#[from] headgate_auth::BuildError),
    #[error(transparent)]
    Catalog(#[from] headgate_catalog::BuildError),
    #[error(transparent)]
    Budget(#[from] headgate_budget::BuildError),
    #[error(transparent)]
    Usage(#[from] headgate_usage::BuildError),
    #[error(transparent)]
    Runtime(#[from] headgate_runtime_manager::BuildError),
    #[error(transparent)]
    Adapter(#[from] headgate_inference_adapter::BuildError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The spools: the router's records, and budget's for leases whose holder never came back.
struct Records {
    router: Spool,
    unfinished: Vec<OpenEntry>,
    outbox: Spool,
}

impl Services {
    /// Builds every service that others depend on. The router comes after the bootstrap, with [`Services::router`].
    pub(crate) async fn build(
        settings: &Settings,
        data_dir: &Path,
        context: &Context,
    ) -> Result<Self, ComposeError> {
        let records = Records::open(settings, data_dir, context)?;
        let auth = headgate_auth::Auth::build(settings.auth.clone(), context.auth(data_dir)).await?;
        let catalog =
            headgate_catalog::Catalog::build(settings.catalog.clone(), context.catalog(data_dir)).await?;
        let outbox = records.outbox.clone();
        let budget =
            headgate_budget::Budget::build(settings.budget.clone(), context.budget(data_dir, outbox)).await?;
        let usage = headgate_usage::Usage::build(settings.usage.clone(), context.usage(data_dir)).await?;
        let runtime = headgate_runtime_manager::RuntimeManager::build(
            settings.runtime.clone(),
            context.runtime(data_dir),
        )
        .await?;
        let adapter =
            headgate_inference_adapter::Adapter::build(settings.adapter.clone(), context.adapter())?;
        Ok(Self { auth, catalog, budget, usage, runtime, adapter, records })
    }

    /// Builds the router, which ends what an earlier process left open, and then lets the consumers read.
    pub(crate) fn router(
        &mut self,
        settings: &Settings,
        context: &Context,
    ) -> Result<headgate_router::Router, ComposeError> {
        let deps = headgate_router::Deps {
            auth: local(self.auth.authentication_service()),
            catalog: local(self.catalog.watch_service()),
            budget: self.budget.admission_conn(),
            adapter: self.adapter.conn(),
            spool: self.records.router.clone(),
            unfinished: std::mem::take(&mut self.records.unfinished),
            clock: context.clock.clone(),
            rng: StdRng::from_os_rng(),
            tasks: context.front.clone(),
            registry: context.registry.clone(),
        };
        let router = headgate_router::Router::build(settings.router.clone(), deps)?;
        for spool in [&self.records.router, &self.records.outbox] {
            self.budget.consume(RecordSource::spool(spool.reader("budget")?));
            self.usage.consume(RecordSource::spool(spool.reader("usage")?));
        }
        Ok(router)
    }

    /// Everything the gRPC listener offers: consumers' and operators' services, health and reflection. Internal
    /// services are there too, and answer peers only.
    pub(crate) fn routes(
        &self,
        router: &headgate_router::Router,
        health: &Health,
    ) -> Result<Routes, ComposeError> {
        let v1 = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let v1alpha = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        Ok(Routes::new(router.inference_service())
            .add_service(router.routing_service())
            .add_service(self.auth.tenant_service())
            .add_service(self.auth.api_key_service())
            .add_service(self.auth.authentication_service())
            .add_service(self.catalog.provider_service())
            .add_service(self.catalog.model_service())
            .add_service(self.catalog.watch_service())
            .add_service(self.budget.budget_service())
            .add_service(self.budget.admission_service())
            .add_service(self.usage.usage_service())
            .add_service(self.runtime.local_model_service())
            .add_service(self.adapter.adapter_service())
            .add_service(health.service())
            .add_service(v1.build_v1()?)
            .add_service(v1alpha.build_v1alpha()?))
    }
}

impl Records {
    fn open(settings: &Settings, data_dir: &Path, context: &Context) -> Result<Self, SpoolError> {
        let open = |name: &str| {
            Spool::open(Options {
                dir: data_dir.join("spool").join(name),
                segment_bytes: settings.router.spool_segment_bytes,
                cap_bytes: settings.router.spool_cap_bytes,
                consumers: CONSUMERS.map(str::to_owned).to_vec(),
            })
        };
        let (router, unfinished) = open("router")?;
        // Budget writes ends only, so nothing there can be unfinished.
        let (outbox, _) = open("budget")?;
        for spool in [&router, &outbox] {
            context.storage.spawn(spool.clone().run(context.storage.stopping()));
        }
        Ok(Self { router, unfinished, outbox })
    }
}

impl Context {
    fn auth(&self, data_dir: &Path) -> headgate_auth::Deps {
        headgate_auth::Deps {
            clock: self.clock.clone(),
            data_dir: data_dir.to_owned(),
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            operator: self.operator.clone(),
        }
    }

    fn catalog(&self, data_dir: &Path) -> headgate_catalog::Deps {
        headgate_catalog::Deps {
            clock: self.clock.clone(),
            data_dir: data_dir.to_owned(),
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            operator: self.operator.clone(),
            master_key: self.master_key.clone(),
        }
    }

    fn budget(&self, data_dir: &Path, outbox: Spool) -> headgate_budget::Deps {
        headgate_budget::Deps {
            clock: self.clock.clone(),
            data_dir: data_dir.to_owned(),
            tasks: self.back.clone(),
            registry: self.registry.clone(),
            operator: self.operator.clone(),
            outbox,
        }
    }

    fn usage(&self, data_dir: &Path) -> headgate_usage::Deps {
        headgate_usage::Deps {
            clock: self.clock.clone(),
            data_dir: data_dir.to_owned(),
            tasks: self.back.clone(),
            registry: self.registry.clone(),
            operator: self.operator.clone(),
        }
    }

    fn runtime(&self, data_dir: &Path) -> headgate_runtime_manager::Deps {
        headgate_runtime_manager::Deps { data_dir: data_dir.to_owned(), operator: self.operator.clone() }
    }

    fn adapter(&self) -> headgate_inference_adapter::Deps {
        headgate_inference_adapter::Deps {
            clock: self.clock.clone(),
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            master_key: self.master_key.clone(),
        }
    }
}
