//! Asks providers over HTTP: a connection for each question, no redirects, answers of a bounded size.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use headgate_kit::trust::{self, TlsError};
use http::header::{ACCEPT, CONNECTION, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use tower::{Service as _, ServiceExt as _};

/// How long an answer may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// Discovery documents, key sets and tokens are a few KiB.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why there is no answer.
pub(super) type Unanswered = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections, checked as TLS of this deployment is. Cheap to clone.
#[derive(Clone)]
pub(super) struct Http(HttpsConnector<HttpConnector>);

/// What a provider says.
pub(super) struct Answer {
    pub status: StatusCode,
    /// `null` where it is not JSON.
    pub json: Value,
}

impl Http {
    /// # Errors
    /// When TLS cannot be set up, or `ca_file` cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        Ok(Self(HttpsConnector::from((tcp, trust::client(ca_file)?))))
    }

    /// Sends a request with an absolute URI.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Answer, Unanswered> {
        tokio::time::timeout(PATIENCE, self.exchange(request)).await?
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Answer, Unanswered> {
        let uri = request.uri().clone();
        let host = uri.authority().ok_or("a URL without a host")?.as_str();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::try_from(host)?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path)?;
        let mut connector = self.0.clone();
        let io = connector.ready().await?.call(uri).await?;
        let (mut sender, connection) = http1::handshake(io).await?;
        let answer = async {
            let response = sender.send_request(request.map(Full::new)).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, Unanswered>(Answer { status, json: serde_json::from_slice(&body).unwrap_or_default() })
        };
        // The connection moves as long as the answer is waited for, and no longer.
        match select(pin!(answer), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, answer)) => answer.await,
        }
    }
}
