//! The error contract: a closed list of reasons, each with its gRPC code and HTTP status side by side.
//!
//! A [`Failure`] is what a consumer may know. It travels as `tonic::Status` with `google.rpc.ErrorInfo` (and
//! `RetryInfo`), and is read back without loss. Internal text stays in the log.

use std::collections::HashMap;
use std::time::Duration;

pub use headgate_proto::common::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::seldom::SeldomEach;

/// The domain of every `ErrorInfo` that Headgate sends.
pub const DOMAIN: &str = "headgate";
const PREFIX: &str = "ERROR_REASON_";

/// Why a call failed, in words and facts meant for its caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Why, from the closed list.
    pub reason: ErrorReason,
    /// For people: lowercase, no secrets, nothing internal.
    pub message: String,
    /// When to come back. `None` when waiting does not help.
    pub retry_after: Option<Duration>,
    /// Facts, e.g. `field`, `upstream_status`.
    pub metadata: HashMap<String, String>,
}

impl Failure {
    /// A failure without further facts.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after: None, metadata: HashMap::new() }
    }

    /// A value that is missing, malformed or out of range.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorReason::InvalidRequest, message).with("field", field)
    }

    /// A resource that does not exist, or not for who asks: the two are answered alike.
    pub fn no_such(kind: &str) -> Self {
        Self::new(ErrorReason::NotFound, format!("there is no such {kind}"))
    }

    /// A fault of our own: the cause goes to the log, the caller learns only that there was one.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(ErrorReason::Internal, "internal error")
    }

    /// A part that is away for now: the cause goes to the log, of each part once a second.
    pub fn unavailable(what: &'static str, cause: impl std::fmt::Display) -> Self {
        static TOLD: SeldomEach = SeldomEach::new();
        if let Some(left_out) = TOLD.due(what) {
            tracing::warn!(%cause, what, left_out, "part unavailable");
        }
        Self::new(ErrorReason::Unavailable, format!("{what} is unavailable, try again shortly"))
            .retry_after(Duration::from_secs(1))
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Reads a failure back from a status. A status without a known reason keeps its code's meaning; its text is
    /// shown only where the code speaks of the caller's own doing.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let retry_after = details.retry_info().and_then(|r| r.retry_delay);
        let known = details.error_info().filter(|i| i.domain == DOMAIN).and_then(|info| {
            let reason = ErrorReason::from_str_name(&format!("{PREFIX}{}", info.reason))?;
            Some((reason, info.metadata.clone()))
        });
        match known {
            Some((reason, metadata)) => {
                Self { reason, message: status.message().to_owned(), retry_after, metadata }
            }
            None => Self::from_bare(status),
        }
    }

    fn from_bare(status: &Status) -> Self {
        let text = status.message();
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
                Self::new(ErrorReason::InvalidRequest, text)
            }
            Code::Unimplemented => Self::new(ErrorReason::Unsupported, "the operation is not available"),
            Code::NotFound => Self::new(ErrorReason::NotFound, text),
            Code::Cancelled => Self::new(ErrorReason::Cancelled, "the call was cancelled"),
            Code::DeadlineExceeded => Self::new(ErrorReason::DeadlineExceeded, "the deadline passed"),
            Code::Unauthenticated => Self::new(ErrorReason::InvalidCredential, "not authenticated"),
            Code::PermissionDenied => Self::new(ErrorReason::PermissionDenied, "permission denied"),
            Code::Unavailable | Code::ResourceExhausted => Self::unavailable("a service", text),
            _ => Self::internal(text),
        }
    }

    /// The HTTP status that stands for this failure.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if self.reason == ErrorReason::UpstreamRejected {
            let upstream = self.metadata.get("upstream_status").and_then(|s| s.parse().ok());
            return upstream.filter(|s| (400..500).contains(s)).unwrap_or(400);
        }
        codes(self.reason).1
    }
}

/// The gRPC code and the HTTP status of a reason.
#[must_use]
pub fn codes(reason: ErrorReason) -> (Code, u16) {
    use ErrorReason as R;
    match reason {
        R::Unspecified | R::Internal => (Code::Internal, 500),
        R::InvalidRequest | R::Unsupported | R::UpstreamRejected => (Code::InvalidArgument, 400),
        R::RequestTooLarge => (Code::InvalidArgument, 413),
        R::MissingCredential | R::InvalidCredential => (Code::Unauthenticated, 401),
        R::TenantDisabled | R::PermissionDenied => (Code::PermissionDenied, 403),
        R::ModelNotFound | R::NotFound => (Code::NotFound, 404),
        R::AlreadyExists => (Code::AlreadyExists, 409),
        R::Conflict | R::IdempotencyInProgress => (Code::Aborted, 409),
        R::IdempotencyMismatch => (Code::InvalidArgument, 422),
        R::RateLimited | R::UpstreamRateLimited => (Code::ResourceExhausted, 429),
        R::BudgetExceeded => (Code::ResourceExhausted, 403),
        R::UpstreamCredential | R::UpstreamFailed | R::UpstreamInvalid => (Code::Unavailable, 502),
        R::UpstreamTimeout | R::DeadlineExceeded => (Code::DeadlineExceeded, 504),
        R::NoTarget | R::Unavailable => (Code::Unavailable, 503),
        R::Cancelled => (Code::Cancelled, 499),
    }
}

/// A reason as `ErrorInfo.reason` and logs show it, e.g. `BUDGET_EXCEEDED`.
#[must_use]
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details =
            ErrorDetails::with_error_info(reason_name(failure.reason), DOMAIN, failure.metadata);
        if let Some(after) = failure.retry_after {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(codes(failure.reason).0, failure.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for number in 1..=26 {
            let reason = ErrorReason::try_from(number).unwrap();
            let sent = Failure::new(reason, "why").with("field", "model").retry_after(Duration::from_secs(7));
            assert_eq!(Failure::from_status(&Status::from(sent.clone())), sent);
        }
        assert!(ErrorReason::try_from(27).is_err(), "extend the table and this test");
    }

    #[test]
    fn foreign_internal_text_is_hidden() {
        let failure = Failure::from_status(&Status::internal("password=hunter2 at db.rs:12"));
        assert_eq!((failure.reason, failure.message.as_str()), (ErrorReason::Internal, "internal error"));
    }
}
