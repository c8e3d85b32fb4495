//! The HTTP client and its connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::Config;

/// Connections to every upstream, kept for the next request.
pub(super) type Client = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const KEEPALIVE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
/// A connection that is being made when another becomes free is finished in the background: not for ever.
const BACKGROUND_CONNECT: Duration = Duration::from_secs(60);

/// HTTP/1.1 in clear; over TLS whatever the upstream prefers, checked against Mozilla's roots.
pub(super) fn build(config: &Config) -> Result<Client, rustls::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(BACKGROUND_CONNECT.max(Duration::from_millis(config.connect_ms))));
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(Arc::new(rustls::crypto::ring::default_provider()))?
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    Ok(hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_millis(config.pool_idle_ms))
        .pool_max_idle_per_host(config.pool_idle_per_upstream)
        .http2_keep_alive_interval(PING)
        .http2_adaptive_window(true)
        .build(connector))
}
