//! Listeners: gRPC and ops, each bounded and drained on stop.

mod hold_off;
mod identify;
mod named;
mod slots;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use self::hold_off::HoldOff;
use self::identify::Identify;
use self::named::Naming;
use self::slots::Slots;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::strangers::{self, Strangers};
use crate::tasks::Tasks;
use crate::vitals::{Report, Status, Vitals};

/// What a gRPC listener takes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections; more wait in the kernel's backlog.
    pub connections: usize,
    /// Calls on each; more wait at the client.
    pub streams: u32,
    /// Calls of one address that end UNAUTHENTICATED; more are told to wait.
    pub failures: strangers::Config,
}

/// TLS handshakes under way at a time.
const HANDSHAKES: usize = 256;

/// Serves gRPC until `stop` is cancelled, then lets running calls end. Callers over this listener are peers only by
/// what `identity` asks for, and every call has a request id: the caller's where it is sane, else a new one of the
/// clock's.
///
/// # Errors
/// When the listener fails.
pub async fn serve_grpc(
    listener: TcpListener,
    routes: Routes,
    bounds: Bounds,
    identity: Identity,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let slots = Slots::new(bounds.connections);
    let certificates = identity.certificates.clone();
    let strangers = Strangers::new(&bounds.failures, clock.clone());
    let accepted = futures_util::stream::unfold((listener, slots), |(listener, slots)| async {
        let accepted = slots.accept(&listener).await;
        Some((accepted, (listener, slots)))
    });
    let connections = accepted
        .map(move |accepted| wire::open(accepted, certificates.clone()))
        .buffer_unordered(HANDSHAKES)
        .filter_map(|opened| std::future::ready(opened.map(Ok::<_, std::io::Error>)));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(bounds.streams)
        .layer(Naming(clock))
        .layer(Identify(identity))
        .layer(HoldOff(strangers))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
}

/// Whether the process can serve: ready when every part that holds a latch has released it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    missing: Arc<Mutex<Vec<&'static str>>>,
    stopping: Arc<AtomicBool>,
}

impl Readiness {
    /// Makes the process not ready until the part calls [`Readiness::release`].
    pub fn latch(&self, part: &'static str) {
        self.missing.lock().push(part);
    }

    /// Says that a part can serve.
    pub fn release(&self, part: &'static str) {
        self.missing.lock().retain(|p| *p != part);
    }

    /// Makes the process not ready for good, since it is about to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// The parts that are missing; none means ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = self.missing.lock().clone();
        if self.stopping.load(Ordering::SeqCst) {
            missing.push("stopping");
        }
        missing
    }
}

/// Serves `/livez`, `/readyz`, `/healthz` and `/metrics` until `stop` is cancelled, on `most` connections at a time.
pub async fn serve_ops(
    listener: TcpListener,
    most: usize,
    registry: Registry,
    vitals: Vitals,
    tasks: Tasks,
    stop: CancellationToken,
) {
    let slots = Slots::new(most);
    while let Some((stream, slot)) = stop.run_until_cancelled(slots.accept(&listener)).await {
        let (registry, vitals, stop) = (registry.clone(), vitals.clone(), stop.clone());
        tasks.spawn(async move {
            let answer = service_fn(async |request| {
                Ok::<_, std::convert::Infallible>(ops(&request, &registry, &vitals).await)
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                end = connection => if let Err(cause) = end { tracing::debug!(%cause, "ops connection ended") },
                () = stop.cancelled() => {}
            }
            drop(slot);
        });
    }
}

async fn ops(request: &Request<Incoming>, registry: &Registry, vitals: &Vitals) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/healthz" => health(&vitals.report().await),
        "/readyz" => {
            let missing = vitals.ready().missing();
            if missing.is_empty() {
                text(StatusCode::OK, "ok\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
            }
        }
        "/metrics" => text(StatusCode::OK, crate::metrics::render(registry)),
        _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /healthz or /metrics\n"),
    }
}

/// 503 when the process cannot serve; a part that is away is no reason to send clients elsewhere.
fn health(report: &Report) -> Response<Full<Bytes>> {
    let status = match report.status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    match serde_json::to_vec(report) {
        Ok(body) => {
            let mut response = text(status, body);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(cause) => {
            tracing::error!(%cause, "the report cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// Binds a listener.
///
/// # Errors
/// The address and why it cannot be bound.
pub async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|e| format!("cannot listen for {what} on {address}: {e}"))
}
