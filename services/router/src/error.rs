//! Failures of the inference path, built in one place.

use std::time::Duration;

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::budget::v1::Refused;

pub(crate) fn missing_key() -> Failure {
    Failure::new(
        ErrorReason::MissingCredential,
        "an API key is required: send it as `Authorization: Bearer sk-...`",
    )
}

pub(crate) fn invalid_key() -> Failure {
    Failure::new(ErrorReason::InvalidCredential, "the API key is not valid")
}

pub(crate) fn tenant_disabled() -> Failure {
    Failure::new(ErrorReason::TenantDisabled, "the tenant of this API key is suspended")
}

pub(crate) fn scope(operation: &str) -> Failure {
    Failure::new(ErrorReason::PermissionDenied, format!("this API key may not do {operation}"))
}

pub(crate) fn elsewhere() -> Failure {
    Failure::new(ErrorReason::PermissionDenied, "this API key may not be used from your address")
}

/// Says only what the caller said: a name of any length is cut, so that an answer stays small.
pub(crate) fn model_not_found(model: &str) -> Failure {
    let shown: String = model.chars().take(128).collect();
    Failure::new(
        ErrorReason::ModelNotFound,
        format!("the model `{shown}` does not exist or you do not have access to it"),
    )
    .with("field", "model")
}

pub(crate) fn unsupported(model: &str, operation: &str) -> Failure {
    Failure::new(ErrorReason::Unsupported, format!("the model `{model}` does not offer {operation}"))
        .with("field", "model")
}

pub(crate) fn invalid(cause: headgate_dialect::Invalid) -> Failure {
    let failure = Failure::new(ErrorReason::InvalidRequest, cause.message);
    match cause.field {
        Some(field) => failure.with("field", field),
        None => failure,
    }
}

/// Every target is being left alone; the first is back after `wait`.
pub(crate) fn all_cooling(wait: Duration) -> Failure {
    Failure::new(ErrorReason::NoTarget, "every target of this model was told by its provider to wait")
        .retry_after(wait)
}

pub(crate) fn no_target() -> Failure {
    Failure::new(ErrorReason::NoTarget, "no target of this model is available")
        .retry_after(Duration::from_secs(5))
}

pub(crate) fn refused(refused: &Refused) -> Failure {
    let failure = Failure::new(refused.reason(), refused.message.clone());
    match refused.retry_after_ms {
        0 => failure,
        ms => failure.retry_after(Duration::from_millis(ms.into())),
    }
}

/// Whether another target may do better.
pub(crate) fn is_retryable(failure: &Failure) -> bool {
    use ErrorReason as R;
    matches!(
        failure.reason,
        R::UpstreamFailed
            | R::UpstreamTimeout
            | R::UpstreamRateLimited
            | R::UpstreamInvalid
            | R::UpstreamCredential
    ) || failure.reason == R::Unavailable
}
