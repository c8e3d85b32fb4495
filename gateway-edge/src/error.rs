//! Failures as OpenAI's clients expect them: by reason, never by text.

use std::borrow::Cow;

use bytes::Bytes;
use headgate_dialect::openai;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::request_id::RequestId;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tonic::Status;

use crate::body::Body;
use crate::metadata;
use crate::service::JSON;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A request that gets no answer, and what its client is told.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    /// Whether the client failed to say who it is.
    is_stranger: bool,
    message: String,
    kind: Cow<'static, str>,
    code: Option<Cow<'static, str>>,
    param: Option<Cow<'static, str>>,
    headers: HeaderMap,
}

impl Refusal {
    /// A method that a path does not have; `allowed` are those that it has, in the form of `Allow`.
    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let allow = HeaderValue::from_str(allowed).unwrap_or(HeaderValue::from_static(""));
        Self(Box::new(Parts {
            status: StatusCode::METHOD_NOT_ALLOWED,
            is_stranger: false,
            message: format!("this path answers {allowed} only"),
            kind: INVALID.into(),
            code: Some("method_not_allowed".into()),
            param: None,
            headers: HeaderMap::from_iter([(ALLOW, allow)]),
        }))
    }

    /// A body in a form that is not read.
    pub(crate) fn unsupported_media(message: &str) -> Self {
        Self(Box::new(Parts {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            is_stranger: false,
            message: message.to_owned(),
            kind: INVALID.into(),
            code: Some("unsupported_media_type".into()),
            param: None,
            headers: HeaderMap::new(),
        }))
    }

    /// Whether the client failed to say who it is.
    pub(crate) fn is_strangers(&self) -> bool {
        self.0.is_stranger
    }

    /// What is said in headers.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.headers
    }

    /// The JSON body.
    pub(crate) fn encode(&self, request_id: &RequestId) -> Vec<u8> {
        let Parts { message, kind, code, param, .. } = &*self.0;
        openai::error::encode(message, kind, param.as_deref(), code.as_deref(), request_id.as_str())
    }

    pub(crate) fn into_response(self, request_id: &RequestId) -> Response<Body> {
        let mut response = Response::new(Body::Whole(Bytes::from(self.encode(request_id))));
        *response.status_mut() = self.0.status;
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}

impl From<Failure> for Refusal {
    fn from(mut failure: Failure) -> Self {
        let status = StatusCode::from_u16(failure.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        if let Some(after) = failure.retry_after {
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
        }
        let (kind, code) = openai_terms(failure.reason);
        let (mut kind, mut code) = (Cow::Borrowed(kind), code.map(Cow::Borrowed));
        let mut fact = |name| failure.metadata.remove(name).filter(|v| !v.is_empty()).map(Cow::Owned);
        let mut param = fact("field");
        match failure.reason {
            ErrorReason::ModelNotFound => param = param.or(Some("model".into())),
            ErrorReason::UpstreamRejected => {
                kind = fact("upstream_type").unwrap_or(kind);
                code = fact("upstream_code").or(code);
                param = fact("upstream_param").or(param);
            }
            _ => {}
        }
        let is_stranger =
            matches!(failure.reason, ErrorReason::MissingCredential | ErrorReason::InvalidCredential);
        Self(Box::new(Parts { status, is_stranger, message: failure.message, kind, code, param, headers }))
    }
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let mut refusal = Self::from(Failure::from_status(status));
        metadata::copy_public(status.metadata(), &mut refusal.0.headers);
        refusal
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

const INVALID: &str = "invalid_request_error";
const AUTHENTICATION: &str = "authentication_error";
const PERMISSION: &str = "permission_error";
const RATE_LIMIT: &str = "rate_limit_error";
const API: &str = "api_error";

/// A reason as OpenAI's `type` and `code`.
fn openai_terms(reason: ErrorReason) -> (&'static str, Option<&'static str>) {
    use ErrorReason as R;
    let (kind, code) = match reason {
        R::InvalidRequest | R::UpstreamRejected => return (INVALID, None),
        R::RequestTooLarge => (INVALID, "request_too_large"),
        R::Unsupported => (INVALID, "unsupported"),
        R::MissingCredential | R::InvalidCredential => (AUTHENTICATION, "invalid_api_key"),
        R::TenantDisabled => (PERMISSION, "tenant_disabled"),
        R::PermissionDenied => (PERMISSION, "permission_denied"),
        R::ModelNotFound => (INVALID, "model_not_found"),
        R::NotFound => (INVALID, "not_found"),
        R::AlreadyExists => (INVALID, "already_exists"),
        R::Conflict => (INVALID, "conflict"),
        R::IdempotencyInProgress => (INVALID, "idempotency_in_progress"),
        R::IdempotencyMismatch => (INVALID, "idempotency_mismatch"),
        R::RateLimited => (RATE_LIMIT, "rate_limit_exceeded"),
        R::BudgetExceeded => ("insufficient_quota", "budget_exceeded"),
        R::UpstreamRateLimited => (RATE_LIMIT, "upstream_rate_limited"),
        R::UpstreamCredential => (API, "upstream_credential"),
        R::UpstreamFailed => (API, "upstream_failed"),
        R::UpstreamTimeout => (API, "upstream_timeout"),
        R::UpstreamInvalid => (API, "upstream_invalid"),
        R::NoTarget => (API, "no_target"),
        R::Unavailable => (API, "service_unavailable"),
        R::DeadlineExceeded => (API, "timeout"),
        R::Cancelled => (API, "cancelled"),
        R::Unspecified | R::Internal => (API, "internal_error"),
    };
    (kind, Some(code))
}

#[cfg(test)]
mod tests;
