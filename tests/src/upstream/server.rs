//! The mock upstream's connections and routes.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::State;
use super::answers::{Asked, Documents};
use super::behaviour::{Answer, Behaviour};
use super::journal::Page;
use super::{embeddings, streaming};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves connections until dropped, and they end with it.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, state.clone()));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Resettable { stream, reset: reset.clone() });
    let service = service_fn(move |request| {
        let (state, reset) = (state.clone(), reset.clone());
        async move { answer(request, state, reset).await }
    });
    // Scripted faults and clients that hang up end connections with an error: that is their purpose.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    reset: Arc<AtomicBool>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let page = state.journal.open(path.clone(), head.headers, body);
    match state.behaviour(json["model"].as_str().unwrap_or_default()) {
        Behaviour::Answer(answer) => Ok(documented(&path, &json, answer, page, reset).await),
        Behaviour::Reply { status, headers, body } => {
            page.complete();
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(full(body)).unwrap())
        }
        Behaviour::HangBeforeHead => std::future::pending().await,
        Behaviour::ResetBeforeHead => {
            page.complete();
            reset.store(true, Ordering::Release);
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

async fn documented(
    path: &str,
    json: &Value,
    answer: Answer,
    page: Page,
    reset: Arc<AtomicBool>,
) -> Response<Body> {
    tokio::time::sleep(answer.first_delay).await;
    match path {
        "/v1/chat/completions" | "/v1/completions" => {
            chat(Asked::read(path, json), answer, page, reset).await
        }
        "/v1/embeddings" => {
            let (text, tokens) = embeddings::embeddings(json);
            page.produced(tokens);
            page.complete();
            json_response(text)
        }
        _ => {
            page.complete();
            Response::builder().status(404).body(full("not found")).unwrap()
        }
    }
}

async fn chat(asked: Asked, answer: Answer, page: Page, reset: Arc<AtomicBool>) -> Response<Body> {
    if asked.stream {
        let body = StreamBody::new(streaming::events(answer, asked, page, reset));
        return Response::builder()
            .header("content-type", "text/event-stream; charset=utf-8")
            .body(body.boxed_unsync())
            .unwrap();
    }
    let documents = Documents { answer: &answer, asked: &asked };
    tokio::time::sleep(answer.delay * documents.chunks()).await;
    page.produced(documents.tokens());
    page.complete();
    json_response(documents.completion())
}

fn json_response(text: String) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(full(text)).unwrap()
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A socket that closes with RST when told to.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            self.stream.set_zero_linger().unwrap();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
