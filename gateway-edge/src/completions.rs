//! `POST /v1/completions`.

use bytes::Bytes;
use headgate_dialect::openai::request::peek_completions;
use headgate_kit::request_id::RequestId;
use headgate_proto::inference::v1::Dialect;
use http::HeaderMap;

use crate::chat;
use crate::edge::Shared;
use crate::service::Answer;

/// Answers a completions request as a whole or as a stream, as its body asks.
pub(crate) async fn complete(shared: &Shared, headers: &HeaderMap, id: &RequestId, body: Bytes) -> Answer {
    let peek = peek_completions(&body).ok();
    chat::answer(shared, headers, id, Dialect::OpenaiCompletions, body, peek).await
}
