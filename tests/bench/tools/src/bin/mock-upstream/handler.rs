//! Requests to responses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use crate::answer;
use crate::sse::SseBody;
use crate::stats::Stats;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// What all connections share.
pub(crate) struct App {
    pub(crate) stats: Arc<Stats>,
    completion: Bytes,
    chunks: u32,
    chunk_delay: Duration,
}

impl App {
    pub(crate) fn new(chunks: u32, chunk_delay_ms: u64) -> Self {
        Self {
            stats: Arc::default(),
            completion: answer::completion().into(),
            chunks,
            chunk_delay: Duration::from_millis(chunk_delay_ms),
        }
    }
}

/// The only request fields that matter here; everything else is skipped unread.
#[derive(Deserialize)]
struct ChatRequest {
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Answers one request.
pub(crate) async fn handle(app: Arc<App>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => chat(&app, request).await.unwrap_or_else(|reason| {
            app.stats.failed.add(1);
            error(StatusCode::BAD_REQUEST, &reason)
        }),
        (&Method::GET, "/stats") => json(StatusCode::OK, app.stats.to_json()),
        _ => error(StatusCode::NOT_FOUND, "no such route"),
    })
}

async fn chat(app: &App, request: Request<Incoming>) -> Result<Reply, String> {
    app.stats.requests.add(1);
    let body = request.into_body().collect().await.map_err(|_| "the body was cut short")?.to_bytes();
    let chat: ChatRequest = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    if !chat.stream {
        app.stats.tokens.add(answer::PROMPT_TOKENS + answer::COMPLETION_TOKENS);
        return Ok(json(StatusCode::OK, app.completion.clone()));
    }
    let usage = chat.stream_options.is_some_and(|options| options.include_usage);
    let body = SseBody::new(app.stats.clone(), app.chunks, app.chunk_delay, usage);
    let mut reply = Response::new(body.boxed());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn error(status: StatusCode, message: &str) -> Reply {
    let body = serde_json::json!({"error": {
        "message": message, "type": "invalid_request_error", "param": null, "code": null,
    }});
    json(status, body.to_string())
}
