//! `headgate serve`: from the command line to a clean exit.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::conn::local;
use headgate_kit::identity::Identity;
use headgate_kit::server::{Readiness, bind, serve_grpc, serve_ops};
use headgate_kit::tasks::Tasks;
use headgate_kit::telemetry;
use headgate_kit::vitals::Vitals;
use headgate_kit::workers::Workers;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;

use crate::cli::{EXIT_CONFIG, complain, say};
use crate::compose::{self, Context, Services};
use crate::data_dir::DataDir;
use crate::elsewhere::Elsewhere;
use crate::health::{self, Health};
use crate::settings::{Bootstrap, Settings};
use crate::topology::{Here, Service};
use crate::{banner, bootstrap, config_command};

/// How long consumers of records and the last write to disk may take.
const BACK_GRACE: Duration = Duration::from_secs(10);

/// What readiness says until every service is there.
const STARTING: &str = "starting";

/// Where the process listens.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Listening {
    /// `None` without an edge.
    pub(crate) edge: Option<SocketAddr>,
    pub(crate) grpc: SocketAddr,
    pub(crate) ops: SocketAddr,
}

struct Listeners {
    edge: Option<TcpListener>,
    grpc: TcpListener,
}

/// Serves until a signal comes.
pub(crate) fn run(config: Option<&Path>, here: &Here) -> ExitCode {
    let settings = match Settings::load(config, here) {
        Ok(settings) => settings,
        Err(problems) => {
            config_command::report(&problems);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    telemetry::init(&settings.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            complain(format!("no runtime: {cause}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(settings, here.clone(), config.is_some())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            complain(format!("headgate: {cause}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, here: Here, configured: bool) -> Result<(), Box<dyn std::error::Error>> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), services = here.names().join(","), "headgate starts");
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was installed already");
    }
    let data = DataDir::open(&settings.data_dir)?;
    // Ports first: a process that cannot listen does no work.
    let listeners = Listeners::bind(&settings, &here).await?;
    let ops = bind("ops", settings.ops.listen).await?;
    let at = listeners.addresses(&ops)?;
    let mut signals = Signals::new()?;
    let context = context(&settings, &data, here)?;
    // Whoever asks is told what a start waits for.
    context.vitals.ready().latch(STARTING);
    context.storage.spawn(serve_ops(
        ops,
        settings.ops.max_connections,
        context.registry.clone(),
        context.vitals.clone(),
        context.storage.clone(),
        context.storage.stopping(),
    ));
    data.write_listeners(&serde_json::to_string(&at)?)?;
    if let Some(certificates) = context.identity.certificates.clone() {
        context.front.spawn(certificates.keep_current(context.front.stopping()));
    }
    let bare = !configured && settings.bootstrap.is_empty() && settings.is_loopback();
    // Never in a database that others may use: everybody knows the demo's key.
    let demo = data.is_new() && bare && context.here.is_all() && !settings.database.is_set();
    let seed = if demo { bootstrap::demo()? } else { settings.bootstrap.clone() };
    let services = tokio::select! {
        // Boxed, as it is large and lives for the start only.
        built = Box::pin(build(&settings, &data, &context, &seed)) => built?,
        // A database may be waited for.
        _ = signals.next() => {
            tracing::info!("stopped before everything was there");
            return Ok(());
        }
    };
    if demo {
        data.mark_demo()?;
    }
    let running = listeners.serve(&settings, &services, &context).await?;
    tracing::info!(edge = ?at.edge, grpc = %at.grpc, ops = %at.ops, "listening");
    if demo {
        tracing::warn!("demo data was made: tenant demo, key sk-demo.my-secret, model echo");
    }
    if let Some(edge) = at.edge.filter(|_| data.has_demo() && !configured) {
        say(banner::demo(edge, &at));
    }
    running.until_signal(&settings, signals, &context).await?;
    Ok(())
}

/// Builds the services of this process and seeds them; the router comes last.
async fn build(
    settings: &Settings,
    data: &DataDir,
    context: &Context,
    seed: &Bootstrap,
) -> Result<Services, Box<dyn std::error::Error>> {
    let mut services = Services::build(settings, data.path(), context).await?;
    bootstrap::apply(&services, seed).await?;
    services.add_router(settings, data.path(), context)?;
    Ok(services)
}

fn context(settings: &Settings, data: &DataDir, here: Here) -> Result<Context, Box<dyn std::error::Error>> {
    let (clock, storage) = (Clock::system(), Tasks::new());
    let workers = here
        .runs(Service::Edge)
        .then(|| Workers::start("headgate-edge", settings.edge.worker_threads()))
        .transpose()?;
    let operator = data.operator_token(settings)?;
    let seals = here.runs_any(&[Service::Catalog, Service::Adapter]);
    Ok(Context {
        gate: Gate::new(operator, clock.clone()),
        identity: Identity::new(&settings.identity, &here.names(), &clock)?,
        master_key: seals.then(|| data.master_key(settings)).transpose()?,
        here,
        vitals: Vitals::new(Readiness::default(), storage.clone()),
        clock,
        registry: prometheus::Registry::new(),
        front: Tasks::new(),
        back: Tasks::new(),
        storage,
        workers,
        elsewhere: Elsewhere::default(),
        superseded: CancellationToken::new(),
    })
}

impl Listeners {
    async fn bind(settings: &Settings, here: &Here) -> Result<Self, String> {
        let edge = match here.runs(Service::Edge) {
            true => Some(bind("REST", settings.edge.listen).await?),
            false => None,
        };
        let grpc = bind("gRPC", settings.grpc.listen).await?;
        Ok(Self { edge, grpc })
    }

    fn addresses(&self, ops: &TcpListener) -> std::io::Result<Listening> {
        Ok(Listening {
            edge: self.edge.as_ref().map(TcpListener::local_addr).transpose()?,
            grpc: self.grpc.local_addr()?,
            ops: ops.local_addr()?,
        })
    }

    async fn serve(
        self,
        settings: &Settings,
        services: &Services,
        context: &Context,
    ) -> Result<Running, compose::ComposeError> {
        let (stop, health) = (CancellationToken::new(), Health::new().await);
        let inference = match self.edge {
            Some(_) => Some(services.conn(Service::Router, &settings.peers, context)?),
            None => None,
        };
        health::watch(context.vitals.ready(), health.clone(), context, services, inference.clone());
        let rest = match (self.edge, inference, &context.workers) {
            (Some(listener), Some(inference), Some(workers)) => {
                let edge = headgate_edge::Edge::new(
                    settings.edge.clone(),
                    headgate_edge::Deps {
                        routing: services
                            .router
                            .as_ref()
                            .map_or_else(|| inference.clone(), |router| local(router.routing_service())),
                        inference,
                        services: services.transcoded(&settings.peers, context),
                        vitals: context.vitals.clone(),
                        registry: context.registry.clone(),
                        clock: context.clock.clone(),
                        tasks: context.front.clone(),
                        workers: workers.clone(),
                    },
                )?;
                let grace = Duration::from_millis(settings.shutdown.grace_ms);
                tokio::spawn(edge.serve(listener, stop.clone(), grace))
            }
            _ => tokio::spawn(stop.clone().cancelled_owned()),
        };
        let bounds = settings.grpc.bounds();
        let routes = services.routes(&health)?;
        let (identity, clock) = (context.identity.clone(), context.clock.clone());
        let grpc = tokio::spawn(serve_grpc(self.grpc, routes, bounds, identity, clock, stop.clone()));
        context.vitals.ready().release(STARTING);
        Ok(Running { stop, rest, grpc, health })
    }
}

/// What tells the process to end.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

enum Signal {
    Terminate,
    Interrupt,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Terminate,
            _ = self.int.recv() => Signal::Interrupt,
        }
    }
}

/// The listeners at work.
struct Running {
    stop: CancellationToken,
    rest: tokio::task::JoinHandle<()>,
    grpc: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    health: Health,
}

impl Running {
    /// Waits for SIGTERM, SIGINT or the loss of its place, then: not ready, accept a while longer (SIGTERM only: load balancers lag), let
    /// running responses end, flush records, end.
    async fn until_signal(
        self,
        settings: &Settings,
        mut signals: Signals,
        context: &Context,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (mut rest, mut grpc) = (self.rest, self.grpc);
        let drain = tokio::select! {
            signal = signals.next() => match signal {
                Signal::Terminate => Duration::from_millis(settings.shutdown.drain_ms),
                Signal::Interrupt => Duration::ZERO,
            },
            () = context.superseded.cancelled() => Duration::ZERO,
            ended = &mut grpc => return Err(format!("the gRPC listener ended by itself: {ended:?}").into()),
            ended = &mut rest => return Err(format!("the REST listener ended by itself: {ended:?}").into()),
        };
        tracing::info!(drain_ms = drain.as_millis(), "stopping");
        context.vitals.ready().stop();
        self.health.set(ServingStatus::NotServing).await;
        tokio::time::sleep(drain).await;
        self.stop.cancel();
        let grace = Duration::from_millis(settings.shutdown.grace_ms);
        if tokio::time::timeout(grace, async { (rest.await, (&mut grpc).await) }).await.is_err() {
            tracing::warn!("the grace ended before every call did");
            grpc.abort();
        }
        for (what, tasks, grace) in [
            ("services", &context.front, grace),
            ("consumers", &context.back, BACK_GRACE),
            ("spool", &context.storage, BACK_GRACE),
        ] {
            if !tasks.shutdown(grace).await {
                tracing::warn!(what, "tasks were still running");
            }
        }
        // After every task: some of them run there.
        if let Some(workers) = &context.workers {
            workers.stop().await;
        }
        tracing::info!("stopped");
        if context.superseded.is_cancelled() {
            return Err("another process has taken this one's place".into());
        }
        Ok(())
    }
}
