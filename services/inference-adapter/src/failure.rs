//! What goes wrong at an upstream, told in the contract's reasons.

mod retry_after;

use headgate_dialect::Invalid;
use headgate_dialect::openai::error::{self, UpstreamError};
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use http::{HeaderMap, StatusCode};

use crate::driver::Broken;

/// The longest text of an upstream that is passed on, in bytes.
const MAX_TEXT_BYTES: usize = 2048;

/// The failure that an upstream of OpenAI's dialect means by a status other than 200, or by 200 with an error in
/// place of the answer. `now_ms` is in unix milliseconds.
pub(crate) fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Failure {
    let reason = reason(status);
    let told = error::parse(body).map(|told| openai_terms(status, told));
    let message = match (reason, &told) {
        // What it says may quote the credential, and it is the operator's business.
        (ErrorReason::UpstreamCredential, _) => "the upstream refused Headgate's credential".to_owned(),
        (_, Some(told)) => told.message.clone(),
        (_, None) if status == StatusCode::OK => {
            "the upstream's answer is not of the kind asked for".to_owned()
        }
        (_, None) => format!("the upstream answered with HTTP status {}", status.as_u16()),
    };
    let mut failure = Failure::new(reason, message).with("upstream_status", status.as_str());
    if let Some(told) = told.filter(|_| reason != ErrorReason::UpstreamCredential) {
        failure = with_fields(failure, told);
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        failure.retry_after = retry_after::read(headers, now_ms);
    }
    failure
}

/// The failure of an error event in a stream that had begun well.
pub(crate) fn in_stream(told: UpstreamError) -> Failure {
    let message = told.message.clone();
    with_fields(Failure::new(ErrorReason::UpstreamFailed, message), openai_terms(StatusCode::OK, told))
}

/// A stream that ended before the answer did.
pub(crate) fn cut() -> Failure {
    Failure::new(ErrorReason::UpstreamFailed, "the upstream ended the stream early")
}

/// An answer that the dialect does not allow.
pub(crate) fn unreadable(invalid: &Invalid) -> Failure {
    Failure::new(ErrorReason::UpstreamInvalid, format!("the upstream's answer makes no sense: {invalid}"))
}

/// A request that cannot be sent as it is.
pub(crate) fn request(invalid: Invalid) -> Failure {
    let field = invalid.field.unwrap_or_else(|| "body".into());
    Failure::invalid(&field, invalid.message)
}

/// An answer beyond the bound.
pub(crate) fn too_large(limit: usize) -> Failure {
    Failure::new(ErrorReason::UpstreamInvalid, format!("the upstream's answer is larger than {limit} bytes"))
}

/// An upstream that no connection could be made to. The cause goes to the log.
pub(crate) fn unreachable(cause: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::debug!(cause = chain(cause), "no connection to the upstream");
    if timed_out(cause) {
        let message = "no connection to the upstream in time";
        return Failure::new(ErrorReason::UpstreamTimeout, message).with("deadline", "connect");
    }
    Failure::new(ErrorReason::UpstreamFailed, "the upstream cannot be reached")
}

/// A request that got no answer. The cause goes to the log.
pub(crate) fn no_answer(cause: &Broken) -> Failure {
    tracing::debug!(cause = chain(cause), "no answer from the upstream");
    broken(cause)
}

/// An answer whose body broke off. The cause goes to the log.
pub(crate) fn broken_body(cause: &Broken) -> Failure {
    tracing::debug!(cause = chain(cause), "the upstream's answer broke off");
    broken(cause)
}

fn broken(cause: &Broken) -> Failure {
    if cause.is_invalid() {
        return Failure::new(ErrorReason::UpstreamInvalid, "the upstream's answer is not valid HTTP");
    }
    Failure::new(ErrorReason::UpstreamFailed, "the connection to the upstream broke")
}

/// Whether an error has a socket's timeout behind it: the connector's, which may fire before the attempt's own, or the
/// kernel's.
fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) || error.source().is_some_and(timed_out)
}

/// An error with everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The failure as it may leave: a credential is taken out of everything it says, in case the upstream quoted it, and
/// then long texts are cut. In this order, or the cut could leave half a credential that is not found any more.
pub(crate) fn redact(mut failure: Failure, secret: &str) -> Failure {
    for text in failure.metadata.values_mut().chain([&mut failure.message]) {
        if !secret.is_empty() && text.contains(secret) {
            *text = text.replace(secret, "[redacted]");
        }
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    failure
}

fn reason(status: StatusCode) -> ErrorReason {
    match status.as_u16() {
        // 402 is about the operator's account, not about the request.
        401..=403 => ErrorReason::UpstreamCredential,
        408 | 504 => ErrorReason::UpstreamTimeout,
        429 => ErrorReason::UpstreamRateLimited,
        400..=499 => ErrorReason::UpstreamRejected,
        500..=599 => ErrorReason::UpstreamFailed,
        _ => ErrorReason::UpstreamInvalid,
    }
}

/// llama.cpp's terms in OpenAI's: its codes repeat the status, and a prompt that is too long has a type of its own.
fn openai_terms(status: StatusCode, mut told: UpstreamError) -> UpstreamError {
    if told.code.as_deref() == Some(status.as_str()) {
        told.code = None;
    }
    if told.r#type.as_deref() == Some("exceed_context_size_error") {
        told.r#type = Some("invalid_request_error".into());
        told.code = Some("context_length_exceeded".into());
    }
    told
}

fn with_fields(mut failure: Failure, told: UpstreamError) -> Failure {
    let fields =
        [("upstream_type", told.r#type), ("upstream_param", told.param), ("upstream_code", told.code)];
    for (key, value) in fields {
        if let Some(value) = value {
            failure = failure.with(key, value);
        }
    }
    failure
}

#[cfg(test)]
mod tests;
