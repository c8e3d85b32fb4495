//! Connections: accepting, bounding, speaking HTTP/1.1 or HTTP/2, draining.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headgate_kit::quiet::Quiet;
use headgate_kit::tasks::Tasks;
use headgate_kit::workers::Place;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::edge::{Edge, Shared};

/// What a client sends first that wants HTTP/2 without TLS (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a socket that holds a part of the preface.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// After a failed accept: most often there are no file descriptors left, and none appear by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take to say so.
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_STREAMS: u32 = 100;

impl Edge {
    /// Answers requests on `listener` until `stop` is cancelled.
    ///
    /// Then no connection is accepted any more, idle ones are closed, and running responses have `grace` to finish;
    /// what is left is cut off. Returns when no connection is open. A caller that wants to go on accepting for a
    /// moment while load balancers look elsewhere cancels `stop` that much later.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken, grace: Duration) {
        let bound = self.0.config.max_connections;
        let slots = Arc::new(Semaphore::new(bound));
        // Also cut when the process ends its tasks without having stopped us first.
        let cut = self.0.tasks.stopping().child_token();
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept(&self.0, &listener, &slots, &stop, &cut) => {}
        }
        drop(listener);
        let all = u32::try_from(bound).unwrap_or(u32::MAX);
        if tokio::time::timeout(grace, slots.acquire_many(all)).await.is_err() {
            tracing::warn!(open = bound - slots.available_permits(), "connections cut off after the grace");
        }
        cut.cancel();
        // Fails only on a closed semaphore, and this one is never closed.
        let _ = slots.acquire_many(all).await;
    }
}

/// Accepts for ever, each connection with a slot of its own.
async fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
    cut: &CancellationToken,
) {
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                let open = Open::new(slot, shared.metrics.open_connections.clone(), shared.workers.place());
                let runtime = open.place.runtime().clone();
                let (of, stop, cut) = (Arc::clone(shared), stop.clone(), cut.clone());
                let served = async move {
                    if let Err(cause) = connection(&of, stream, from.ip(), &stop, &cut).await {
                        tracing::debug!(%cause, "connection ended");
                    }
                    drop(open);
                };
                shared.tasks.spawn_on(served, &runtime);
            }
            Err(cause) => {
                tracing::warn!(%cause, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection's slot, its worker, and its place in the gauge.
struct Open {
    _slot: OwnedSemaphorePermit,
    gauge: IntGauge,
    place: Place,
}

impl Open {
    fn new(slot: OwnedSemaphorePermit, gauge: IntGauge, place: Place) -> Self {
        gauge.inc();
        Self { _slot: slot, gauge, place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn connection(
    shared: &Arc<Shared>,
    stream: TcpStream,
    from: IpAddr,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> Ended {
    // Its events are to wake the worker, not the one who accepted it.
    let stream = TcpStream::from_std(stream.into_std()?)?;
    stream.set_nodelay(true)?;
    let patience = shared.config.header_read_timeout();
    let wants_http2 = tokio::select! {
        answer = tokio::time::timeout(patience, wants_http2(&stream)) => answer??,
        () = stop.cancelled() => return Ok(()),
        () = cut.cancelled() => return Ok(()),
    };
    if wants_http2 {
        speak_http2(shared, stream, from, stop, cut).await
    } else {
        speak_http1(shared, stream, from, stop, cut).await
    }
}

/// Looks at a connection's first bytes and leaves them where they are.
async fn wants_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut seen).await?;
        if length == 0 || seen[..length] != HTTP2_PREFACE[..length] {
            return Ok(false);
        }
        if length == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        // What is there stays readable, so waiting for more would not wait.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

/// Drives `$connection` to its end, asks it to finish on `$stop`, and drops it on `$cut`. A macro, as hyper's
/// connections have no trait in common for this.
macro_rules! drive {
    ($connection:expr, $stop:expr, $cut:expr) => {{
        let mut connection = pin!($connection);
        let mut cut = Quiet::new($cut.cancelled());
        tokio::select! {
            biased;
            ended = connection.as_mut() => return Ok(ended?),
            () = Quiet::new($stop.cancelled()) => connection.as_mut().graceful_shutdown(),
            () = &mut cut => return Ok(()),
        }
        tokio::select! {
            biased;
            ended = connection.as_mut() => Ok(ended?),
            () = &mut cut => Ok(()),
        }
    }};
}

async fn speak_http1(
    shared: &Arc<Shared>,
    stream: TcpStream,
    from: IpAddr,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> Ended {
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, Infallible>(shared.answer(request, from).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.header_read_timeout())
        // Events are short: gathering their parts into one buffer costs less than telling the kernel of each.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    drive!(connection, stop, cut)
}

async fn speak_http2(
    shared: &Arc<Shared>,
    stream: TcpStream,
    from: IpAddr,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> Ended {
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, Infallible>(shared.answer(request, from).await) }
    });
    let connection = http2::Builder::new(OwnedTasks(shared.tasks.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING)
        .serve_connection(TokioIo::new(stream), service);
    drive!(connection, stop, cut)
}

/// Runs HTTP/2's streams as tasks of the process.
#[derive(Clone)]
struct OwnedTasks(Tasks);

impl<F> Executor<F> for OwnedTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
