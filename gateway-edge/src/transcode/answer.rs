//! What a service says, as an HTTP answer.

use bytes::Bytes;
use headgate_kit::Failure;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, LOCATION, SET_COOKIE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::contract::Binding;
use super::names::Names;
use super::{etag, json};
use crate::body::Body;
use crate::error::Refusal;
use crate::metadata;
use crate::service::{Answer, JSON};

/// Response metadata that says which HTTP status the answer has.
pub(crate) const HTTP_STATUS: HeaderName = HeaderName::from_static("x-headgate-http-status");
/// Bytes of any type: what is not JSON.
const HTTP_BODY: &str = "google.api.HttpBody";
/// Answers may hold what is shown once, and are one caller's.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What services may say in HTTP's own terms.
const OWN_TERMS: [HeaderName; 5] = [SET_COOKIE, LOCATION, CACHE_CONTROL, CONTENT_DISPOSITION, ETAG];

/// The answer that a message stands for.
pub(crate) fn of(binding: &Binding, response: &tonic::Response<DynamicMessage>) -> Answer {
    let status = status(response.metadata())?;
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut headers = headers(response.metadata());
    let message = response.get_ref();
    if let Some(etag) = etag::told(message).filter(|_| !headers.contains_key(ETAG)) {
        headers.insert(ETAG, etag);
    }
    let bytes = if has_body {
        let (content_type, bytes) = content(binding, message)?;
        headers.insert(CONTENT_TYPE, content_type);
        bytes
    } else {
        Bytes::new()
    };
    let mut answer = Response::new(Body::Whole(bytes));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// What a client is told of a call that failed.
pub(super) fn refusal(names: &Names, status: &Status) -> Refusal {
    let mut failure = names.as_written(Failure::from_status(status));
    // What a change would have to be made on top of.
    let etag = failure.metadata.remove("etag");
    let mut refusal = Refusal::from(failure);
    metadata::copy_public(status.metadata(), refusal.headers_mut());
    if let Some(etag) = etag.and_then(|etag| etag::header(&etag)) {
        refusal.headers_mut().insert(ETAG, etag);
    }
    copy_own_terms(status.metadata(), refusal.headers_mut());
    refusal
}

/// The headers of an answer, but for its type.
pub(crate) fn headers(metadata: &MetadataMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, NO_STORE);
    metadata::copy_public(metadata, &mut headers);
    headers.remove(HTTP_STATUS);
    copy_own_terms(metadata, &mut headers);
    headers
}

fn copy_own_terms(metadata: &MetadataMap, headers: &mut HeaderMap) {
    let metadata = metadata.as_ref();
    for name in OWN_TERMS.iter().filter(|name| metadata.contains_key(*name)) {
        headers.remove(name);
        for value in metadata.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

fn status(metadata: &MetadataMap) -> Result<StatusCode, Failure> {
    let Some(said) = metadata.as_ref().get(HTTP_STATUS) else { return Ok(StatusCode::OK) };
    let status = StatusCode::from_bytes(said.as_bytes()).ok();
    let status = status.filter(|status| status.is_success() || status.is_redirection());
    status.ok_or_else(|| Failure::internal("a service names no HTTP status of a success"))
}

/// The content type and the bytes that a message stands for.
fn content(binding: &Binding, message: &DynamicMessage) -> Result<(HeaderValue, Bytes), Failure> {
    match &binding.answer {
        None => whole(message),
        Some(field) => match message.get_field(field).as_ref() {
            Value::Message(inner) if !json::is_well_known(&inner.descriptor()) => whole(inner),
            _ => {
                let shown = json::write(message)?;
                // Left out where it is not set.
                json_bytes(shown.get(field.name()).unwrap_or(&serde_json::Value::Null))
            }
        },
    }
}

fn whole(message: &DynamicMessage) -> Result<(HeaderValue, Bytes), Failure> {
    if message.descriptor().full_name() == HTTP_BODY {
        return Ok(as_they_are(message));
    }
    json_bytes(&json::write(message)?)
}

fn as_they_are(message: &DynamicMessage) -> (HeaderValue, Bytes) {
    let content_type = message.get_field_by_name("content_type");
    let content_type = content_type.as_deref().and_then(Value::as_str).unwrap_or_default();
    let content_type = HeaderValue::from_str(content_type).ok().filter(|value| !value.is_empty());
    let data = message.get_field_by_name("data");
    let data = data.as_deref().and_then(Value::as_bytes).cloned().unwrap_or_default();
    (content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")), data)
}

fn json_bytes(value: &serde_json::Value) -> Result<(HeaderValue, Bytes), Failure> {
    Ok((JSON, serde_json::to_vec(value).map_err(Failure::internal)?.into()))
}

/// One message of a stream, as the data of an event.
pub(crate) fn event(binding: &Binding, message: &DynamicMessage) -> Result<Bytes, Failure> {
    let (_, bytes) = content(binding, message)?;
    let mut event = b"data: ".to_vec();
    event.extend_from_slice(&bytes);
    event.extend_from_slice(b"\n\n");
    Ok(event.into())
}
