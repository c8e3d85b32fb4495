//! The HTTP client: a connection for a request, the request's answer, and the connection's way back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::tasks::Tasks;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;

use super::answer::AnswerBody;
use super::connect::{Connector, Io};
use super::http1::Link;
use super::pool::{Origin, Pool, Shared};
use crate::adapter::BuildError;
use crate::config::Config;
use crate::failure;

/// How often a silent HTTP/2 upstream is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// The longest between two looks at connections that wait.
const SWEEP: Duration = Duration::from_secs(10);

/// Connections to every upstream.
#[derive(Debug)]
pub(super) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    tasks: Tasks,
}

/// A connection that a request can be sent over.
pub(super) enum Ready {
    /// HTTP/1.1.
    Own(Link),
    /// HTTP/2.
    Shared(Shared),
}

/// A request, and where it goes.
pub(super) struct Outgoing {
    origin: Origin,
    request: Request<Bytes>,
}

impl Client {
    /// # Errors
    /// When TLS cannot be set up, or `ca_file` cannot be used.
    pub(super) fn new(config: &Config, tasks: Tasks) -> Result<Self, BuildError> {
        let keep = Duration::from_millis(config.pool_idle_ms);
        let pool = Arc::new(Pool::new(keep, config.pool_idle_per_upstream));
        tasks.spawn(sweep(
            Arc::downgrade(&pool),
            keep.clamp(Duration::from_millis(1), SWEEP),
            tasks.stopping(),
        ));
        Ok(Self { connector: Connector::new(config.ca_file.as_deref())?, pool, tasks })
    }

    /// A connection for a request: one that waits, or a new one, which may take as long as `limit`.
    pub(super) async fn connection(&self, outgoing: &Outgoing, limit: Duration) -> Result<Ready, Failure> {
        let origin = &outgoing.origin;
        if let Some(link) = self.pool.take(origin) {
            return Ok(Ready::Own(link));
        }
        if let Some(shared) = self.pool.shared(origin) {
            return Ok(Ready::Shared(shared));
        }
        // Boxed: seldom needed, and large.
        Box::pin(self.open(origin, limit)).await
    }

    async fn open(&self, origin: &Origin, limit: Duration) -> Result<Ready, Failure> {
        let uri = Uri::builder()
            .scheme(origin.scheme.clone())
            .authority(origin.authority.clone())
            .path_and_query("/")
            .build()
            .map_err(Failure::internal)?;
        let (io, agreed_http2) =
            self.connector.connect(uri, limit).await.map_err(|cause| failure::unreachable(&*cause))?;
        if agreed_http2 {
            return Ok(Ready::Shared(self.share(origin, io).await?));
        }
        Ok(Ready::Own(Link::new(io)))
    }

    async fn share(&self, origin: &Origin, io: Io) -> Result<Shared, Failure> {
        let (sender, connection) = http2::Builder::new(OwnedTasks(self.tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .adaptive_window(true)
            .handshake(io)
            .await
            .map_err(|cause| failure::no_answer(&cause.into()))?;
        let stopping = self.tasks.stopping();
        // It ends by itself when nobody can send over it any more.
        self.tasks.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(cause) = ended {
                    tracing::debug!(%cause, "a connection to an upstream ended");
                },
                () = stopping.cancelled() => {}
            }
        });
        self.pool.share(origin, &sender);
        Ok(sender)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        ready: Ready,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, Failure> {
        let Outgoing { origin, request } = outgoing;
        match ready {
            Ready::Shared(mut sender) => {
                let request = over_http2(&origin, request)?;
                let answer =
                    sender.send_request(request).await.map_err(|cause| failure::no_answer(&cause.into()))?;
                Ok(answer.map(AnswerBody::shared))
            }
            Ready::Own(mut link) => {
                let answer = link.send(request).await.map_err(|cause| failure::no_answer(&cause))?;
                Ok(answer.map(|()| AnswerBody::own(link, Arc::clone(&self.pool), origin)))
            }
        }
    }
}

impl Outgoing {
    /// Takes a request with an absolute URI apart, as HTTP/1.1 sends it (RFC 9112, section 3.2.1).
    pub(super) fn new(mut request: Request<Bytes>) -> Result<Self, Failure> {
        let parts = std::mem::take(request.uri_mut()).into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(Failure::internal("a request without an origin"));
        };
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != default_port => {
                HeaderValue::try_from(format!("{}:{port}", authority.host()))
            }
            _ => HeaderValue::try_from(authority.host()),
        };
        request.headers_mut().insert(HOST, host.map_err(Failure::internal)?);
        Ok(Self { origin: Origin { scheme, authority }, request })
    }
}

/// HTTP/2 has no `host`: the whole URI goes along (RFC 9113, section 8.3.1).
fn over_http2(origin: &Origin, mut request: Request<Bytes>) -> Result<Request<Full<Bytes>>, Failure> {
    request.headers_mut().remove(HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(origin.scheme.clone()), Some(origin.authority.clone()));
    *request.uri_mut() = Uri::from_parts(parts).map_err(Failure::internal)?;
    Ok(request.map(Full::new))
}

/// Runs what belongs to an HTTP/2 connection as tasks of the process.
#[derive(Clone)]
struct OwnedTasks(Tasks);

impl<F> Executor<F> for OwnedTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

async fn sweep(pool: std::sync::Weak<Pool>, every: Duration, stopping: tokio_util::sync::CancellationToken) {
    while stopping.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers with the version, scheme, authority and path it saw.
    async fn http2_upstream() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let echo = service_fn(|request: Request<Incoming>| async move {
                let seen = format!(
                    "{:?} {} host={}",
                    request.version(),
                    request.uri(),
                    request.headers().contains_key(HOST)
                );
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(socket), echo).await
        });
        address
    }

    #[tokio::test]
    async fn requests_over_http2_share_a_connection() {
        let address = http2_upstream().await;
        let client = Client::new(&Config::default(), Tasks::new()).unwrap();
        let outgoing = || {
            let uri: Uri = format!("http://{address}/v1/x").parse().unwrap();
            Outgoing::new(Request::post(uri).body(Bytes::new()).unwrap()).unwrap()
        };
        let io = Io::Http(TokioIo::new(TcpStream::connect(address).await.unwrap()));
        client.share(&outgoing().origin, io).await.unwrap();
        for _ in 0..2 {
            // The upstream takes one connection only.
            let ready = client.connection(&outgoing(), Duration::from_secs(1)).await.unwrap();
            assert!(matches!(ready, Ready::Shared(_)));
            let mut body = client.send(ready, outgoing()).await.unwrap().into_body();
            let seen = poll_fn(|cx| body.poll_data(cx)).await.unwrap().unwrap();
            assert_eq!(seen, format!("HTTP/2.0 http://{address}/v1/x host=false"));
        }
    }

    #[test]
    fn the_host_is_named_without_its_default_port_or_a_password() {
        for (uri, host) in [
            ("http://a.example/v1", "a.example"),
            ("http://a.example:80/v1", "a.example"),
            ("https://a.example:443", "a.example"),
            ("https://a.example:80/", "a.example:80"),
            ("http://u:p@[::1]:8000/v1", "[::1]:8000"),
        ] {
            let outgoing = Outgoing::new(Request::post(uri).body(Bytes::new()).unwrap()).unwrap();
            assert_eq!(outgoing.request.headers()[HOST], host);
        }
    }
}
