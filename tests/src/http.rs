//! A raw HTTP client: sends the bytes it is given, sees every byte that comes, and can hang up at any moment.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::sse::EventStream;
use crate::wait::eventually;

/// Speaks to one address, one connection per request. Dropping a request's future, or its answer, hangs up.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// The body as text, with replacement characters where it is none.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// `error.code` of an error body, or an empty string.
    #[must_use]
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// This answer, if its status is `status`.
    ///
    /// # Panics
    /// When the status is another.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Client {
    /// A client without any headers of its own.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new() }
    }

    /// The same client, presenting an API key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// The same client, sending one header more.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Reads `path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.reply(Method::GET, path, Bytes::new()).await
    }

    /// Sends a JSON document, or nothing for `null`.
    pub async fn send_json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.reply(method, path, body).await
    }

    /// Posts a JSON document.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_raw(path, body.to_string()).await
    }

    /// Posts bytes as `application/json`.
    pub async fn post_raw(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.reply(Method::POST, path, body.into()).await
    }

    /// The status of a chat request that somebody decided on. Where a busy machine had no time for it, it is sent again,
    /// as SDKs do.
    ///
    /// # Panics
    /// When nobody decides within a minute.
    pub async fn verdict(&self, body: &Value) -> u16 {
        eventually(Duration::from_secs(60), "a verdict", || async {
            Some(self.chat(body).await.status).filter(|status| *status != 503)
        })
        .await
    }

    /// Posts a chat request.
    pub async fn chat(&self, body: &Value) -> Reply {
        self.post("/v1/chat/completions", body).await
    }

    /// Posts an embeddings request.
    pub async fn embed(&self, body: &Value) -> Reply {
        self.post("/v1/embeddings", body).await
    }

    /// Posts a chat request and reads the answer as server-sent events, whatever it is.
    pub async fn stream(&self, body: &Value) -> EventStream {
        self.stream_raw(body.to_string()).await
    }

    /// Posts bytes as a chat request and reads the answer as server-sent events, whatever it is.
    pub async fn stream_raw(&self, body: impl Into<Bytes>) -> EventStream {
        self.stream_from("/v1/chat/completions", body).await
    }

    /// Posts bytes and reads the answer as server-sent events, whatever it is.
    pub async fn stream_from(&self, path: &str, body: impl Into<Bytes>) -> EventStream {
        let (response, connection) = self.send(Method::POST, path, body.into()).await;
        EventStream::new(response, connection)
    }

    /// Sends bytes as what a header of this client says that they are; as `application/json` without one.
    pub async fn send_raw(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        self.reply(method, path, body.into()).await
    }

    async fn reply(&self, method: Method, path: &str, body: Bytes) -> Reply {
        let (response, _connection) = self.send(method, path, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the answer's body comes whole").to_bytes();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> (Response<Incoming>, Connection) {
        let says = |name: &str| self.headers.iter().any(|(own, _)| own == name);
        let mut request = Request::builder().method(method).uri(path);
        if !says("host") {
            request = request.header("host", self.address.to_string());
        }
        if !body.is_empty() && !says("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let stream = TcpStream::connect(self.address).await.expect("the listener accepts");
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
        let request = request.body(Full::new(body)).expect("a well-formed request");
        let response = sender.send_request(request).await.expect("a response head");
        (response, connection)
    }
}

/// Closes the socket when dropped.
pub(crate) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
