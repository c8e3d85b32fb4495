//! Makes connections, in clear or over TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headgate_kit::trust;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service as _;

use crate::adapter::BuildError;

/// What bytes go over.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why there is no connection.
pub(super) type Unreachable = Box<dyn std::error::Error + Send + Sync>;

const KEEPALIVE: Duration = Duration::from_secs(60);

/// HTTP/1.1 in clear; over TLS whatever the upstream prefers, checked against Mozilla's roots and an operator's own.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
}

impl Connector {
    /// # Errors
    /// When TLS cannot be set up, or `ca_file` cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let mut tls = trust::client(ca_file)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { tcp, tls: Arc::new(tls) })
    }

    /// A new connection, and whether HTTP/2 was agreed on. A host's addresses share `limit`, so that one which is silent
    /// leaves time for the others.
    pub(super) async fn connect(&self, uri: Uri, limit: Duration) -> Result<(Io, bool), Unreachable> {
        let mut tcp = self.tcp.clone();
        tcp.set_connect_timeout(Some(limit));
        let mut connector = HttpsConnector::from((tcp, Arc::clone(&self.tls)));
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await?;
        let io = connector.call(uri).await?;
        let http2 = io.connected().is_negotiated_h2();
        Ok((io, http2))
    }
}
