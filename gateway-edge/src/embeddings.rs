//! `POST /v1/embeddings`.

use bytes::Bytes;
use headgate_dialect::openai::request::{Peek, peek_embeddings};
use headgate_kit::request_id::RequestId;
use headgate_proto::inference::v1::{Dialect, DialectBody, EmbedRequest, embed_request, embed_response};
use http::HeaderMap;

use crate::edge::Shared;
use crate::metadata;
use crate::service::{Answer, dialect_answer};

/// Answers an embeddings request.
pub(crate) async fn embed(shared: &Shared, headers: &HeaderMap, id: &RequestId, body: Bytes) -> Answer {
    // As with chat: a body that cannot be read is refused by the router, after it knows the caller.
    let peek = peek_embeddings(&body).ok();
    let facts = peek.as_ref().map(Peek::facts);
    let model = peek.and_then(|p| p.model).unwrap_or_default();
    let dialect = DialectBody { dialect: Dialect::OpenaiEmbeddings.into(), body };
    let request = EmbedRequest { model, facts, encoding: Some(embed_request::Encoding::Dialect(dialect)) };
    let response = shared.inference.embed(metadata::request(headers, id, request)).await?;
    let (metadata, message, _) = response.into_parts();
    let answer = match message.encoding {
        Some(embed_response::Encoding::Dialect(answer)) => Some(answer),
        _ => None,
    };
    dialect_answer(&metadata, answer)
}
