//! Makes connections, in clear or over TLS.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service as _;

use crate::config::Config;

/// What bytes go over.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why there is no connection.
pub(super) type Unreachable = Box<dyn std::error::Error + Send + Sync>;

const KEEPALIVE: Duration = Duration::from_secs(60);

/// HTTP/1.1 in clear; over TLS whatever the upstream prefers, checked against Mozilla's roots.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpsConnector<HttpConnector>);

impl Connector {
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(config: &Config) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // The attempt's own deadline may be shorter; this one lets a host's other addresses have their turn.
        tcp.set_connect_timeout(Some(Duration::from_millis(config.connect_ms)));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(Arc::new(rustls::crypto::ring::default_provider()))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        Ok(Self(https))
    }

    /// A new connection, and whether HTTP/2 was agreed on.
    pub(super) async fn connect(&self, uri: Uri) -> Result<(Io, bool), Unreachable> {
        let mut connector = self.0.clone();
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await?;
        let io = connector.call(uri).await?;
        let http2 = io.connected().is_negotiated_h2();
        Ok((io, http2))
    }
}
