//! The one connection type: generated clients speak over it to a server in this process or elsewhere, and see no
//! difference.

mod dial;
mod remote;

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use headgate_proto::direct::{Answering, Connection};
use http::HeaderMap;
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Extensions, Request, Status};
use tower::Service;
use tower::util::BoxCloneSyncService;

use remote::Replicas;
pub use remote::{Address, AddressError, Reach};

use crate::identity::{Identity, Peer};
use crate::tasks::Tasks;

/// A replica that is not well for a moment may be busy, and a process that just started has not looked yet.
const AWAY_AFTER: Duration = Duration::from_secs(4);

/// A connection to one service. Cheap to clone.
#[derive(Clone)]
pub struct Conn {
    wire: BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>,
    direct: Option<Arc<dyn Any + Send + Sync>>,
    /// Of a service elsewhere.
    replicas: Option<Arc<Replicas>>,
}

/// A connection to a server in this process. The server sees a peer; `grpc-timeout` is kept (up to the response
/// head) and a panic becomes INTERNAL, as they would over a socket.
pub fn local<S>(server: S) -> Conn
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    Conn { wire: BoxCloneSyncService::new(Local(server)), direct: None, replicas: None }
}

/// A connection to every replica of a service elsewhere, in turn. Nothing is dialled before the first look, which comes
/// at once; `tasks` own what looks.
///
/// Calls to a replica that is away end in UNAVAILABLE, at once where that is known. No call is sent twice.
pub fn remote(address: Address, identity: &Identity, tasks: &Tasks) -> Conn {
    let replicas = Replicas::new(address, identity.clone());
    tasks.spawn(replicas.clone().watch(tasks.stopping()));
    let called = replicas.clone();
    let wire = tower::service_fn(move |request| {
        let replicas = called.clone();
        async move { replicas.call(request).await }
    });
    Conn { wire: BoxCloneSyncService::new(wire), direct: None, replicas: Some(replicas) }
}

/// Whether a call came to nothing on its way, so that the service need not be at fault: another replica may answer.
#[must_use]
pub fn is_broken_off(status: &Status) -> bool {
    // What services say themselves has a reason.
    status.code() == tonic::Code::Unavailable && status.details().is_empty()
}

impl Conn {
    /// Lets stubs of `S` (one of the `Direct*` traits) pass their messages to `server` as they are: the same server
    /// that the connection leads to, without the cost of encoding.
    #[must_use]
    pub fn with_direct<S: ?Sized + Send + Sync + 'static>(mut self, server: Arc<S>) -> Self {
        self.direct = Some(Arc::new(server));
        self
    }

    /// Whether the service is in another process.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.replicas.is_some()
    }

    /// Whether no replica has been well for so long that calls need not be tried. Never of a server in this process.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.replicas.as_ref().is_some_and(|replicas| replicas.away_for() > AWAY_AFTER)
    }

    /// How a service elsewhere was at the last look. `None` of a server in this process.
    #[must_use]
    pub fn reach(&self) -> Option<Reach> {
        self.replicas.as_ref().map(|replicas| replicas.reach())
    }

    /// Whether calls can be answered, as far as is known: always by a server in this process.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.replicas.as_ref().is_none_or(|replicas| replicas.any_well())
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("direct", &self.direct.is_some()).finish_non_exhaustive()
    }
}

impl Service<http::Request<Body>> for Conn {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.wire.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.wire.call(request)
    }
}

impl Connection for Conn {
    fn direct<S: Clone + 'static>(&self) -> Option<S> {
        self.direct.as_ref()?.downcast_ref::<S>().cloned()
    }

    type Answer<'a, A: Send + 'a> = Guarded<Answering<'a, A>>;

    fn call_direct<'a, Q, A: Send + 'a>(
        mut request: Request<Q>,
        serve: impl FnOnce(Request<Q>) -> Answering<'a, A>,
    ) -> Self::Answer<'a, A> {
        // Extensions do not cross a socket, so they do not come along here either.
        *request.extensions_mut() = Extensions::new();
        request.extensions_mut().insert(Peer::same());
        let deadline = deadline(request.metadata().as_ref());
        Guarded { call: serve(request), deadline, timer: None }
    }
}

/// A call in this process. It ends as it does by itself, with DEADLINE_EXCEEDED, or with INTERNAL after a panic.
pub struct Guarded<F> {
    call: F,
    deadline: Option<Duration>,
    /// Made when the call first has to wait: most calls in this process never do.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<T, F: Future<Output = Result<T, Status>> + Unpin> Future for Guarded<F> {
    type Output = Result<T, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.call).poll(cx))) {
            Ok(Poll::Ready(ended)) => return Poll::Ready(ended),
            Ok(Poll::Pending) => {}
            Err(_) => {
                tracing::error!("a call panicked");
                return Poll::Ready(Err(Status::internal("internal error")));
            }
        }
        let Some(after) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(Status::deadline_exceeded("the deadline passed")))
    }
}

fn deadline(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?))
}

#[derive(Clone)]
struct Local<S>(S);

impl<S> Service<http::Request<Body>> for Local<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx).map_err(|never| match never {})
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.extensions_mut().insert(Peer::same());
        let deadline = deadline(request.headers());
        let answer = self.0.call(request);
        let call = Box::pin(async move { Ok(answer.await.unwrap_or_else(|never| match never {})) });
        let call = Guarded { call, deadline, timer: None };
        Box::pin(async move { Ok(call.await.unwrap_or_else(Status::into_http)) })
    }
}

/// Reads `grpc-timeout` (gRPC over HTTP/2, "Timeout"): digits and a unit.
fn parse_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n.checked_mul(3600)?),
        "M" => Duration::from_secs(n.checked_mul(60)?),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tonic::Response;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_timeout("m"), None);
        assert_eq!(parse_timeout("5x"), None);
    }

    #[tokio::test]
    async fn a_panic_in_a_local_server_is_an_internal_status() {
        let server = tower::service_fn(|_: http::Request<Body>| async {
            if true {
                panic!("on purpose");
            }
            Ok::<_, Infallible>(http::Response::new(Body::empty()))
        });
        let request = http::Request::new(Body::empty());
        let response = local(server).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "13");
    }

    async fn direct<F, A>(request: Request<()>, serve: F) -> Result<(), Status>
    where
        F: FnOnce(Request<()>) -> A,
        A: Future<Output = ()> + Send + 'static,
    {
        let answer = Conn::call_direct(request, |request| {
            let answer: Answering<'static, ()> = Box::pin(serve(request).map(|()| Ok(Response::new(()))));
            answer
        });
        answer.await.map(Response::into_inner)
    }

    #[tokio::test]
    async fn a_direct_call_sees_a_peer_and_nothing_else_that_a_socket_would_not_carry() {
        let mut request = Request::new(());
        request.extensions_mut().insert("ours");
        request.metadata_mut().insert("x-request-id", "r".parse().unwrap());
        let serve = |request: Request<()>| async move {
            assert!(crate::identity::is_peer(&request));
            assert!(request.extensions().get::<&str>().is_none());
            assert_eq!(request.metadata().get("x-request-id").unwrap(), "r");
        };
        direct(request, serve).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_a_direct_call_is_an_internal_status() {
        let panics = |_| async {
            if true {
                panic!("on purpose");
            }
        };
        assert_eq!(direct(Request::new(()), panics).await.unwrap_err().code(), tonic::Code::Internal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_direct_call_keeps_its_deadline() {
        let slow = |_| tokio::time::sleep(Duration::from_millis(30));
        for (ms, code) in [(40, tonic::Code::Ok), (20, tonic::Code::DeadlineExceeded)] {
            let mut request = Request::new(());
            request.set_timeout(Duration::from_millis(ms));
            let ended = direct(request, slow).await.map_or_else(|status| status.code(), |()| tonic::Code::Ok);
            assert_eq!(ended, code);
        }
    }
}
