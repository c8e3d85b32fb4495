//! Whether the process can serve, as `/readyz` and `grpc.health.v1.Health` tell it.

use std::time::Duration;

use headgate_kit::conn::Conn;
use headgate_kit::server::Readiness;
use headgate_proto::inference::v1::inference_service_server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::{HealthReporter, HealthService as Reported};

use crate::compose::{Context, Services};

const LOOK: Duration = Duration::from_millis(10);

/// Whether a part can serve.
type CanServe = Box<dyn Fn() -> bool + Send>;

/// The gRPC side: `""` and the inference service are SERVING when the process is ready.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Not serving yet.
    pub(crate) async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new() };
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// The service for the listener.
    pub(crate) fn service(&self) -> HealthServer<impl HealthService> {
        HealthServer::new(Reported::from_health_reporter(self.reporter.clone()))
    }

    /// Says what consumers are told.
    pub(crate) async fn set(&self, status: ServingStatus) {
        for service in ["", inference_service_server::SERVICE_NAME] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Releases the process's readiness when every part can serve. `inference` leads to the router, where there is an edge.
pub(crate) fn watch(
    ready: &Readiness,
    health: Health,
    context: &Context,
    services: &Services,
    inference: Option<Conn>,
) {
    let mut parts: Vec<(&'static str, CanServe)> = Vec::new();
    if let Some(router) = services.router.clone() {
        parts.push(("router", Box::new(move || router.is_ready())));
    } else if let Some(inference) = inference {
        parts.push(("router", Box::new(move || inference.is_up())));
    }
    if let Some(budget) = services.budget.clone() {
        parts.push(("budget", Box::new(move || can_serve(&budget))));
    }
    for (part, _) in &parts {
        ready.latch(part);
    }
    let (ready, stopping) = (ready.clone(), context.front.stopping());
    context.front.spawn(async move {
        loop {
            parts.retain(|(part, can_serve)| {
                let serves = can_serve();
                if serves {
                    ready.release(part);
                }
                !serves
            });
            if ready.missing().is_empty() {
                health.set(ServingStatus::Serving).await;
                return;
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
}

fn can_serve(budget: &headgate_budget::Budget) -> bool {
    let can_serve = budget.can_serve();
    if can_serve && !budget.ready() {
        tracing::warn!("what was spent is not known while nats is away: requests with a budget have to wait");
    }
    can_serve
}
