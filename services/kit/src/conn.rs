//! The one connection type: generated clients speak over it to a server in this process or elsewhere, and see no
//! difference.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::identity::Peer;

/// A connection to one service. Cheap to clone.
pub type Conn = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// A connection to a server in this process. The server sees a peer; `grpc-timeout` is kept (up to the response
/// head) and a panic becomes INTERNAL, as they would over a socket.
pub fn local<S>(server: S) -> Conn
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(Local(server))
}

/// A connection to a server elsewhere, made when first used: `http://host:port` or `unix:/path`.
///
/// # Errors
/// When the address is malformed.
pub fn remote(address: &str) -> Result<Conn, tonic::transport::Error> {
    let channel = Endpoint::from_shared(address.to_owned())?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .connect_lazy();
    Ok(BoxCloneSyncService::new(channel.map_err(|e| Status::from_error(Box::new(e)))))
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
        request.extensions_mut().insert(Peer(()));
        let deadline = request.headers().get("grpc-timeout").and_then(|v| parse_timeout(v.to_str().ok()?));
        let call = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            let answer = match deadline {
                None => call.await,
                Some(after) => match tokio::time::timeout(after, call).await {
                    Ok(answer) => answer,
                    Err(_) => return Ok(Status::deadline_exceeded("the deadline passed").into_http()),
                },
            };
            match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(never)) => match never {},
                Err(_) => {
                    tracing::error!("a call panicked");
                    Ok(Status::new(Code::Internal, "internal error").into_http())
                }
            }
        })
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
}
