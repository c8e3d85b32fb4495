//! Whom to ask, and what.

use std::error::Error;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::args::Args;

/// One HTTP/1.1 connection.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// Everything a task needs to send the request, made once.
pub(crate) struct Target {
    pub(crate) args: Args,
    address: String,
    request: Request<()>,
    pub(crate) body: Bytes,
}

impl Target {
    /// # Errors
    /// When the URL is not one of this machine, or a header is not `Name: value`.
    pub(crate) fn new(args: Args) -> Result<Self, Box<dyn Error>> {
        let host = args.url.host().unwrap_or_default();
        if !["127.0.0.1", "localhost"].contains(&host) {
            return Err("the URL must be on 127.0.0.1".into());
        }
        let address = format!("{host}:{}", args.url.port_u16().unwrap_or(80));
        let path = args.url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(Method::POST).uri(path).body(())?;
        *request.headers_mut() = headers(&args, &address)?;
        let body = body(&args);
        Ok(Self { args, address, request, body })
    }

    /// The request, to be sent once.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        self.request.clone().map(|()| Full::new(self.body.clone()))
    }

    /// A new connection, driven until either side closes it.
    pub(crate) async fn connect(&self) -> std::io::Result<Connection> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await.map_err(std::io::Error::other)?;
        // How a connection ends is seen by the request on it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn headers(args: &Args, address: &str) -> Result<HeaderMap, Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(address)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for header in &args.headers {
        let (name, value) = header.split_once(':').ok_or("a header is `Name: value`")?;
        headers.insert(name.trim().parse::<HeaderName>()?, HeaderValue::from_str(value.trim())?);
    }
    Ok(headers)
}

fn body(args: &Args) -> Bytes {
    let sentence = "The quick brown fox jumps over the lazy dog. ";
    let prompt: String = sentence.chars().cycle().take(args.prompt_bytes).collect();
    let mut body = serde_json::json!({
        "model": args.model,
        "messages": [{"role": "user", "content": prompt}],
    });
    if args.stream {
        body["stream"] = true.into();
        if args.include_usage {
            body["stream_options"] = serde_json::json!({"include_usage": true});
        }
    }
    body.to_string().into()
}
