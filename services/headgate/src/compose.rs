//! Puts the services of this process together: each is built once, and sees the others only as connections.

use std::path::Path;

use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{Conn, local};
use headgate_kit::db::{self, Source};
use headgate_kit::identity::Identity;
use headgate_kit::seal::MasterKey;
use headgate_kit::snapshot::{SnapshotError, Snapshots};
use headgate_kit::spool::SpoolError;
use headgate_kit::tasks::Tasks;
use headgate_kit::vitals::Vitals;
use headgate_kit::workers::Workers;
use prometheus::Registry;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::elsewhere::Elsewhere;
use crate::records::Records;
use crate::settings::Settings;
use crate::topology::{Here, PACKAGES, Peers, Service};

/// Who serves people, beside auth.
const GUARDED: [Service; 4] = [Service::Catalog, Service::Budget, Service::Usage, Service::Runtime];

/// Every service of this process.
pub(crate) struct Services {
    pub(crate) auth: Option<headgate_auth::Auth>,
    pub(crate) catalog: Option<headgate_catalog::Catalog>,
    pub(crate) budget: Option<headgate_budget::Budget>,
    pub(crate) usage: Option<headgate_usage::Usage>,
    pub(crate) runtime: Option<headgate_runtime_manager::RuntimeManager>,
    pub(crate) adapter: Option<headgate_inference_adapter::Adapter>,
    pub(crate) router: Option<headgate_router::Router>,
    records: Records,
}

/// What services are given.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) here: Here,
    pub(crate) vitals: Vitals,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    /// Ended first: what serves requests.
    pub(crate) front: Tasks,
    /// Ended second: what consumes records.
    pub(crate) back: Tasks,
    /// Ended last: what writes records to disk.
    pub(crate) storage: Tasks,
    /// Where REST connections are driven. `None` without an edge.
    pub(crate) workers: Option<Workers>,
    /// Guards what people and operators call.
    pub(crate) gate: Gate,
    pub(crate) elsewhere: Elsewhere,
    pub(crate) identity: Identity,
    /// `None` where no service has a use for it.
    pub(crate) master_key: Option<MasterKey>,
    /// Cancelled when another process has taken this one's place.
    pub(crate) superseded: CancellationToken,
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
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Nats(#[from] headgate_kit::nats::Error),
    #[error("database.url: {0}")]
    Database(#[from] db::UrlError),
    #[error(transparent)]
    Contract(#[from] headgate_edge::ContractError),
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The settings were checked for this before.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl Services {
    /// Builds every service that others depend on. The router comes after the bootstrap, with
    /// [`Services::add_router`].
    pub(crate) async fn build(
        settings: &Settings,
        data_dir: &Path,
        context: &Context,
    ) -> Result<Self, ComposeError> {
        let records = Records::open(settings, data_dir, context)?;
        let mut services = Self {
            auth: None,
            catalog: None,
            budget: None,
            usage: None,
            runtime: None,
            adapter: None,
            router: None,
            records,
        };
        // First, as catalog probes through it.
        if context.here.runs(Service::Adapter) {
            let deps = context.adapter()?;
            services.adapter =
                Some(headgate_inference_adapter::Adapter::build(settings.adapter.clone(), deps)?);
        }
        services.add_control(settings, data_dir, context).await?;
        context.open_gate(&settings.peers)?;
        if let Some(budget) = &services.budget {
            budget.ask_owners_at(services.conn(Service::Auth, &settings.peers, context)?);
        }
        if let Some(auth) = &services.auth {
            services.let_ask_budget(auth, &settings.peers, context)?;
        }
        services.tell_audit_log(&settings.peers, context)?;
        if context.here.runs(Service::Runtime) {
            let deps = context.runtime(data_dir);
            let config = settings.runtime.clone();
            services.runtime = Some(headgate_runtime_manager::RuntimeManager::build(config, deps).await?);
        }
        Ok(services)
    }

    /// Side by side, so that readiness names every database that is waited for.
    async fn add_control(
        &mut self,
        settings: &Settings,
        data_dir: &Path,
        context: &Context,
    ) -> Result<(), ComposeError> {
        let source = |service| context.database(settings, data_dir, service);
        let auth = async {
            Ok::<_, ComposeError>(match context.here.runs(Service::Auth) {
                true => {
                    let deps = context.auth(data_dir, source(Service::Auth)?);
                    Some(headgate_auth::Auth::build(settings.auth.clone(), deps).await?)
                }
                false => None,
            })
        };
        let this = &*self;
        let catalog = async {
            Ok::<_, ComposeError>(match context.here.runs(Service::Catalog) {
                true => {
                    let adapter = this.conn(Service::Adapter, &settings.peers, context)?;
                    let deps = context.catalog(data_dir, source(Service::Catalog)?, adapter)?;
                    Some(headgate_catalog::Catalog::build(settings.catalog.clone(), deps).await?)
                }
                false => None,
            })
        };
        let (outbox, unfinished) = (self.records.outbox.clone(), self.records.unfinished_leases.clone());
        let budget = async {
            Ok::<_, ComposeError>(match outbox {
                Some(outbox) => {
                    let database = source(Service::Budget)?;
                    let deps = context.budget(settings, data_dir, database, outbox, unfinished);
                    let budget = headgate_budget::Budget::build(settings.budget.clone(), deps).await?;
                    budget.watched(&context.vitals);
                    Some(budget)
                }
                None => None,
            })
        };
        let usage = async {
            Ok::<_, ComposeError>(match context.here.runs(Service::Usage) {
                true => {
                    let deps = context.usage(source(Service::Usage)?);
                    Some(headgate_usage::Usage::build(settings.usage.clone(), deps).await?)
                }
                false => None,
            })
        };
        (self.auth, self.catalog, self.budget, self.usage) =
            tokio::try_join!(Box::pin(auth), Box::pin(catalog), Box::pin(budget), Box::pin(usage))?;
        Ok(())
    }

    /// Lets the audit log hear what the services of this process have to tell.
    fn tell_audit_log(&self, peers: &Peers, context: &Context) -> Result<(), ComposeError> {
        if !context.here.runs(Service::Auth) && !context.here.runs_any(&GUARDED) {
            return Ok(());
        }
        let here = self.auth.as_ref().map(|auth| local(auth.audit_ingest_service()));
        let auth = here.or_else(|| context.elsewhere.conn(Service::Auth, peers, context));
        let auth = auth.ok_or(ComposeError::Missing(Service::Auth.name()))?;
        if let Some(catalog) = &self.catalog {
            catalog.tell_audit_log(auth.clone());
        }
        if let Some(budget) = &self.budget {
            budget.tell_audit_log(auth.clone());
        }
        let Context { gate, clock, front, registry, .. } = context;
        headgate_audit::tell_denials(gate, auth, clock.clone(), front, registry);
        Ok(())
    }

    /// Lets auth tell budget what keys are made with, and ask it where tenants stand.
    fn let_ask_budget(
        &self,
        auth: &headgate_auth::Auth,
        peers: &Peers,
        context: &Context,
    ) -> Result<(), ComposeError> {
        if let Some(budget) = &self.budget {
            auth.set_quotas_at(local(budget.key_quota_service()));
            auth.ask_standings_at(local(budget.tenant_standing_service()));
            return Ok(());
        }
        let budget = context.elsewhere.conn(Service::Budget, peers, context);
        let budget = budget.ok_or(ComposeError::Missing(Service::Budget.name()))?;
        auth.set_quotas_at(budget.clone());
        auth.ask_standings_at(budget);
        Ok(())
    }

    /// Builds the router, which ends what an earlier process left open, and then lets the consumers read.
    pub(crate) fn add_router(
        &mut self,
        settings: &Settings,
        data_dir: &Path,
        context: &Context,
    ) -> Result<(), ComposeError> {
        if let Some(spool) = self.records.router.clone() {
            let deps = headgate_router::Deps {
                auth: self.conn(Service::Auth, &settings.peers, context)?,
                catalog: self.conn(Service::Catalog, &settings.peers, context)?,
                budget: self.conn(Service::Budget, &settings.peers, context)?,
                adapter: self.conn(Service::Adapter, &settings.peers, context)?,
                spool,
                unfinished: std::mem::take(&mut self.records.unfinished),
                snapshots: context.snapshots(data_dir)?,
                clock: context.clock.clone(),
                rng: StdRng::from_os_rng(),
                tasks: context.front.clone(),
                registry: context.registry.clone(),
            };
            self.router = Some(headgate_router::Router::build(settings.router.clone(), deps)?);
        }
        Ok(self.records.consume(self.budget.as_ref(), self.usage.as_ref(), context)?)
    }

    /// To what a service offers its peers, in this process or elsewhere.
    pub(crate) fn conn(
        &self,
        service: Service,
        peers: &Peers,
        context: &Context,
    ) -> Result<Conn, ComposeError> {
        let here = match service {
            Service::Auth => self.auth.as_ref().map(|auth| local(auth.authentication_service())),
            Service::Catalog => self.catalog.as_ref().map(|catalog| local(catalog.watch_service())),
            Service::Budget => self.budget.as_ref().map(headgate_budget::Budget::admission_conn),
            Service::Adapter => self.adapter.as_ref().map(headgate_inference_adapter::Adapter::conn),
            Service::Router => self.router.as_ref().map(headgate_router::Router::conn),
            Service::Edge | Service::Usage | Service::Runtime => None,
        };
        if let Some(conn) = here {
            return Ok(conn);
        }
        let conn = context.elsewhere.conn(service, peers, context);
        conn.ok_or(ComposeError::Missing(service.name()))
    }

    /// Where the edge takes calls that are served as their protos say: to every service of this process, and to those
    /// elsewhere whose address it is told.
    pub(crate) fn transcoded(&self, peers: &Peers, context: &Context) -> headgate_edge::Services {
        let here = local(self.offered(Routes::default()).prepare());
        let of = |service: Service| match context.here.runs(service) {
            true => Some(here.clone()),
            false => context.elsewhere.conn(service, peers, context),
        };
        PACKAGES.into_iter().filter_map(|(package, service)| Some((package, of(service)?))).collect()
    }
}

impl Context {
    /// Lets the gate hear from auth who presents an access token. An auth of this process tells it by itself.
    fn open_gate(&self, peers: &Peers) -> Result<(), ComposeError> {
        if self.here.runs(Service::Auth) || !self.here.runs_any(&GUARDED) {
            return Ok(());
        }
        let auth = self.elsewhere.conn(Service::Auth, peers, self);
        self.gate.follow(auth.ok_or(ComposeError::Missing(Service::Auth.name()))?, &self.front);
        Ok(())
    }

    fn database(
        &self,
        settings: &Settings,
        data_dir: &Path,
        service: Service,
    ) -> Result<Source, db::UrlError> {
        let source = settings.source(data_dir, service, self.here.databases())?;
        let source = source.reported(self.vitals.ready(), service.database_parts());
        source.watched(&self.vitals);
        Ok(source)
    }

    fn auth(&self, data_dir: &Path, database: Source) -> headgate_auth::Deps {
        headgate_auth::Deps {
            clock: self.clock.clone(),
            data_dir: data_dir.to_owned(),
            database,
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            gate: self.gate.clone(),
        }
    }

    fn catalog(
        &self,
        data_dir: &Path,
        database: Source,
        adapter: Conn,
    ) -> Result<headgate_catalog::Deps, ComposeError> {
        Ok(headgate_catalog::Deps {
            clock: self.clock.clone(),
            database,
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            gate: self.gate.clone(),
            master_key: self.master_key()?,
            adapter,
            rng: StdRng::from_os_rng(),
            backup_folder: data_dir.join("backup"),
        })
    }

    fn budget(
        &self,
        settings: &Settings,
        data_dir: &Path,
        database: Source,
        outbox: headgate_kit::spool::Spool,
        unfinished: Vec<headgate_kit::spool::OpenEntry>,
    ) -> headgate_budget::Deps {
        headgate_budget::Deps {
            clock: self.clock.clone(),
            database,
            data_dir: data_dir.to_owned(),
            tasks: self.back.clone(),
            registry: self.registry.clone(),
            gate: self.gate.clone(),
            outbox,
            unfinished,
            redis: settings.redis.clone(),
            superseded: self.superseded.clone(),
        }
    }

    fn usage(&self, database: Source) -> headgate_usage::Deps {
        headgate_usage::Deps {
            clock: self.clock.clone(),
            database,
            tasks: self.back.clone(),
            registry: self.registry.clone(),
            gate: self.gate.clone(),
        }
    }

    fn runtime(&self, data_dir: &Path) -> headgate_runtime_manager::Deps {
        headgate_runtime_manager::Deps { data_dir: data_dir.to_owned(), gate: self.gate.clone() }
    }

    fn adapter(&self) -> Result<headgate_inference_adapter::Deps, ComposeError> {
        Ok(headgate_inference_adapter::Deps {
            clock: self.clock.clone(),
            tasks: self.front.clone(),
            registry: self.registry.clone(),
            master_key: self.master_key()?,
        })
    }

    /// `None` where nobody speaks from another process.
    fn snapshots(&self, data_dir: &Path) -> Result<Option<Snapshots>, SnapshotError> {
        let alone = self.here.runs_all(&[Service::Auth, Service::Catalog]);
        (!alone).then(|| Snapshots::open(&data_dir.join("snapshots"), self.clock.clone())).transpose()
    }

    fn master_key(&self) -> Result<MasterKey, ComposeError> {
        self.master_key.clone().ok_or(ComposeError::Missing("master_key"))
    }
}
