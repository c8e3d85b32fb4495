//! Whether the process can serve, as `/readyz` and `grpc.health.v1.Health` tell it.

use std::time::Duration;

use headgate_kit::server::Readiness;
use headgate_proto::inference::v1::inference_service_server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::{HealthReporter, HealthService as Reported};

use crate::compose::{Context, Services};

const LOOK: Duration = Duration::from_millis(10);

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

/// Releases the process's readiness when every part can serve.
pub(crate) fn watch(
    ready: &Readiness,
    health: Health,
    context: &Context,
    router: headgate_router::Router,
    services: &Services,
) {
    ready.latch("router");
    ready.latch("budget");
    let (ready, stopping, budget) = (ready.clone(), context.front.stopping(), services.budget.clone());
    context.front.spawn(async move {
        loop {
            if router.is_ready() {
                ready.release("router");
            }
            if budget.ready() {
                ready.release("budget");
            }
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
