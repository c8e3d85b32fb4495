//! `headgate serve`: from the command line to a clean exit.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::conn::local;
use headgate_kit::identity::OperatorGuard;
use headgate_kit::server::{Readiness, bind, serve_grpc, serve_ops};
use headgate_kit::tasks::Tasks;
use headgate_kit::telemetry;
use headgate_kit::workers::Workers;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;

use crate::cli::{EXIT_CONFIG, complain, say};
use crate::compose::{self, Context, Services};
use crate::data_dir::DataDir;
use crate::health::{self, Health};
use crate::settings::Settings;
use crate::{banner, bootstrap, config_command};

/// How long consumers of records and the last write to disk may take.
const BACK_GRACE: Duration = Duration::from_secs(10);

/// Where the process listens.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Listening {
    pub(crate) edge: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) ops: SocketAddr,
}

struct Listeners {
    edge: TcpListener,
    grpc: TcpListener,
    ops: TcpListener,
}

/// Serves until a signal comes.
pub(crate) fn run(config: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(config) {
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
    match runtime.block_on(serve(settings, config.is_some())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            complain(format!("headgate: {cause}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, configured: bool) -> Result<(), Box<dyn std::error::Error>> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "headgate starts");
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was installed already");
    }
    let data = DataDir::open(&settings.data_dir)?;
    // Ports first: a process that cannot listen does no work.
    let listeners = Listeners::bind(&settings).await?;
    let at = listeners.addresses()?;
    let context = Context {
        clock: Clock::system(),
        registry: prometheus::Registry::new(),
        front: Tasks::new(),
        back: Tasks::new(),
        storage: Tasks::new(),
        workers: Workers::start("headgate-edge", settings.edge.worker_threads())?,
        operator: OperatorGuard::new(data.operator_token(&settings)?),
        master_key: data.master_key(&settings)?,
    };
    let mut services = Services::build(&settings, data.path(), &context).await?;
    let demo = data.is_new() && !configured && settings.bootstrap.is_empty() && settings.is_loopback();
    let seed = if demo { bootstrap::demo()? } else { settings.bootstrap.clone() };
    bootstrap::apply(&services, &seed).await?;
    if demo {
        data.mark_demo()?;
    }
    let router = services.router(&settings, &context)?;
    let ready = Readiness::default();
    let health = Health::new().await;
    health::watch(&ready, health.clone(), &context, router.clone(), &services);
    let running = listeners.serve(&settings, &services, &router, &context, &ready, health)?;
    data.write_listeners(&serde_json::to_string(&at)?)?;
    tracing::info!(edge = %at.edge, grpc = %at.grpc, ops = %at.ops, "listening");
    if demo {
        tracing::warn!("demo data was made: tenant demo, key sk-demo.my-secret, model echo");
    }
    if data.has_demo() && !configured {
        say(banner::demo(&at));
    }
    running.until_signal(&settings, &ready, &context).await?;
    Ok(())
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            edge: bind("REST", settings.edge.listen).await?,
            grpc: bind("gRPC", settings.grpc.listen).await?,
            ops: bind("ops", settings.ops.listen).await?,
        })
    }

    fn addresses(&self) -> std::io::Result<Listening> {
        Ok(Listening {
            edge: self.edge.local_addr()?,
            grpc: self.grpc.local_addr()?,
            ops: self.ops.local_addr()?,
        })
    }

    fn serve(
        self,
        settings: &Settings,
        services: &Services,
        router: &headgate_router::Router,
        context: &Context,
        ready: &Readiness,
        health: Health,
    ) -> Result<Running, compose::ComposeError> {
        let stop = CancellationToken::new();
        let edge = headgate_edge::Edge::new(
            settings.edge.clone(),
            headgate_edge::Deps {
                inference: router.conn(),
                routing: local(router.routing_service()),
                ready: ready.clone(),
                registry: context.registry.clone(),
                clock: context.clock.clone(),
                tasks: context.front.clone(),
                workers: context.workers.clone(),
            },
        );
        let grace = Duration::from_millis(settings.shutdown.grace_ms);
        let rest = tokio::spawn(edge.serve(self.edge, stop.clone(), grace));
        let bounds = settings.grpc.bounds();
        let routes = services.routes(router, &health)?;
        let grpc = tokio::spawn(serve_grpc(self.grpc, routes, bounds, context.clock.clone(), stop.clone()));
        context.storage.spawn(serve_ops(
            self.ops,
            settings.ops.max_connections,
            context.registry.clone(),
            ready.clone(),
            context.storage.clone(),
            context.storage.stopping(),
        ));
        Ok(Running { stop, rest, grpc, health })
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
    /// Waits for SIGTERM or SIGINT, then: not ready, accept a while longer (SIGTERM only: load balancers lag), let
    /// running responses end, flush records, end.
    async fn until_signal(
        self,
        settings: &Settings,
        ready: &Readiness,
        context: &Context,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (mut rest, mut grpc) = (self.rest, self.grpc);
        let drain = tokio::select! {
            _ = term.recv() => Duration::from_millis(settings.shutdown.drain_ms),
            _ = int.recv() => Duration::ZERO,
            ended = &mut grpc => return Err(format!("the gRPC listener ended by itself: {ended:?}").into()),
            ended = &mut rest => return Err(format!("the REST listener ended by itself: {ended:?}").into()),
        };
        tracing::info!(drain_ms = drain.as_millis(), "stopping");
        ready.stop();
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
        context.workers.stop().await;
        tracing::info!("stopped");
        Ok(())
    }
}
