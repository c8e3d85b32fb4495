//! What consumers ask in tests.

use bytes::Bytes;
use headgate_proto::inference::v1::{ChatRequest, Dialect, DialectBody, chat_request};
use tonic::Request;

use super::peers::KEY;

const BODY: &str = r#"{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A chat request for the model `m`, read by nobody yet.
pub(super) fn question() -> ChatRequest {
    let body = DialectBody { dialect: Dialect::OpenaiChat.into(), body: Bytes::from_static(BODY.as_bytes()) };
    ChatRequest { model: "m".into(), facts: None, encoding: Some(chat_request::Encoding::Dialect(body)) }
}

/// A call with the key and the id `request_1`.
pub(super) fn request<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    request.metadata_mut().insert("x-request-id", "request_1".parse().unwrap());
    request
}
