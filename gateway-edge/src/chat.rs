//! `POST /v1/chat/completions`.

use bytes::Bytes;
use headgate_dialect::openai::request::{Peek, peek_chat};
use headgate_kit::request_id::RequestId;
use headgate_kit::scope::InRequest;
use headgate_proto::inference::v1::{
    ChatRequest, Dialect, DialectBody, StreamChatRequest, chat_request, chat_response,
};
use http::{HeaderMap, Response};

use crate::body::Body;
use crate::edge::Shared;
use crate::events::{self, EventStream};
use crate::metadata;
use crate::service::{Answer, dialect_answer};

/// Answers a chat request as a whole or as a stream, as its body asks.
pub(crate) async fn complete(shared: &Shared, headers: &HeaderMap, id: &RequestId, body: Bytes) -> Answer {
    let peek = peek_chat(&body).ok();
    answer(shared, headers, id, Dialect::OpenaiChat, body, peek).await
}

/// Answers a request of a chat dialect. What is wrong with a body is the router's to say, after it knows the caller:
/// without a peek it reads for itself.
pub(crate) async fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    id: &RequestId,
    dialect: Dialect,
    body: Bytes,
    peek: Option<Peek>,
) -> Answer {
    let streamed = peek.as_ref().is_some_and(|p| p.stream);
    let facts = peek.as_ref().map(Peek::facts);
    let model = peek.and_then(|p| p.model).unwrap_or_default();
    let dialect = DialectBody { dialect: dialect.into(), body };
    let request = ChatRequest { model, facts, encoding: Some(chat_request::Encoding::Dialect(dialect)) };
    if streamed {
        return stream(shared, headers, id, request).await;
    }
    let response = shared.inference.chat(metadata::request(headers, id, request)).await?;
    let (metadata, message, _) = response.into_parts();
    let answer = match message.encoding {
        Some(chat_response::Encoding::Dialect(answer)) => Some(answer),
        _ => None,
    };
    dialect_answer(&metadata, answer)
}

async fn stream(shared: &Shared, headers: &HeaderMap, id: &RequestId, request: ChatRequest) -> Answer {
    let request = metadata::request(headers, id, StreamChatRequest { request: Some(request) });
    let (metadata, messages, _) = shared.inference.stream_chat(request).await?.into_parts();
    let stream = EventStream::new(messages, shared.config.keep_alive(), id.clone());
    let mut response = Response::new(Body::Events(Box::new(InRequest::carried(stream))));
    events::say_so(response.headers_mut());
    metadata::copy_public(&metadata, response.headers_mut());
    Ok(response)
}
