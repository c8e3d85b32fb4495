use std::time::Duration;

use headgate_kit::clock::Clock;
use serde_json::{Value, json};

use super::*;

fn id() -> RequestId {
    RequestId::of(
        &HeaderMap::from_iter([(headgate_kit::request_id::X_REQUEST_ID, "r-1".parse().unwrap())]),
        &Clock::manual(0),
    )
}

/// What a client is told of a failure that crossed the wire.
fn told(failure: Failure) -> (u16, Value) {
    let refusal = Refusal::from(Status::from(failure));
    (refusal.0.status.as_u16(), serde_json::from_slice(&refusal.encode(&id())).unwrap())
}

#[test]
fn every_reason_has_its_status_type_and_code() {
    use ErrorReason as R;
    let invalid = "invalid_request_error";
    let table = [
        (R::Internal, 500, "api_error", Some("internal_error")),
        (R::InvalidRequest, 400, invalid, None),
        (R::RequestTooLarge, 413, invalid, Some("request_too_large")),
        (R::Unsupported, 400, invalid, Some("unsupported")),
        (R::MissingCredential, 401, "authentication_error", Some("invalid_api_key")),
        (R::InvalidCredential, 401, "authentication_error", Some("invalid_api_key")),
        (R::TenantDisabled, 403, "permission_error", Some("tenant_disabled")),
        (R::PermissionDenied, 403, "permission_error", Some("permission_denied")),
        (R::ModelNotFound, 404, invalid, Some("model_not_found")),
        (R::NotFound, 404, invalid, Some("not_found")),
        (R::AlreadyExists, 409, invalid, Some("already_exists")),
        (R::Conflict, 409, invalid, Some("conflict")),
        (R::IdempotencyInProgress, 409, invalid, Some("idempotency_in_progress")),
        (R::IdempotencyMismatch, 422, invalid, Some("idempotency_mismatch")),
        (R::RateLimited, 429, "rate_limit_error", Some("rate_limit_exceeded")),
        (R::BudgetExceeded, 403, "insufficient_quota", Some("budget_exceeded")),
        (R::UpstreamRateLimited, 429, "rate_limit_error", Some("upstream_rate_limited")),
        (R::UpstreamRejected, 400, invalid, None),
        (R::UpstreamCredential, 502, "api_error", Some("upstream_credential")),
        (R::UpstreamFailed, 502, "api_error", Some("upstream_failed")),
        (R::UpstreamTimeout, 504, "api_error", Some("upstream_timeout")),
        (R::UpstreamInvalid, 502, "api_error", Some("upstream_invalid")),
        (R::NoTarget, 503, "api_error", Some("no_target")),
        (R::Unavailable, 503, "api_error", Some("service_unavailable")),
        (R::DeadlineExceeded, 504, "api_error", Some("timeout")),
        (R::Cancelled, 499, "api_error", Some("cancelled")),
    ];
    for (number, (reason, status, kind, code)) in (1..).zip(table) {
        assert_eq!(reason as i32, number, "the table is in the order of the list");
        let param = (reason == R::ModelNotFound).then_some("model");
        let error = json!({"message": "why", "type": kind, "param": param, "code": code});
        let body = json!({"error": error, "request_id": "r-1"});
        assert_eq!(told(Failure::new(reason, "why")), (status, body), "{reason:?}");
    }
    assert!(R::try_from(27).is_err(), "a reason is missing in the table");
}

#[test]
fn an_invalid_field_is_the_param() {
    let (_, body) = told(Failure::invalid("messages", "must not be empty"));
    assert_eq!(body["error"]["param"], "messages");
}

#[test]
fn a_rejection_keeps_what_the_upstream_said() {
    let failure = Failure::new(ErrorReason::UpstreamRejected, "too long")
        .with("upstream_status", "422")
        .with("upstream_type", "invalid_prompt")
        .with("upstream_param", "messages")
        .with("upstream_code", "context_length_exceeded");
    let error = json!({"message": "too long", "type": "invalid_prompt", "param": "messages",
        "code": "context_length_exceeded"});
    assert_eq!(told(failure), (422, json!({"error": error, "request_id": "r-1"})));
}

#[test]
fn retry_after_is_rounded_up_and_never_zero() {
    for (millis, seconds, ms) in [(0, "1", "1"), (1, "1", "1"), (1000, "1", "1000"), (1001, "2", "1001")] {
        let failure =
            Failure::new(ErrorReason::RateLimited, "slow down").retry_after(Duration::from_millis(millis));
        let response = Refusal::from(Status::from(failure)).into_response(&id());
        assert_eq!(response.headers()["retry-after"], seconds);
        assert_eq!(response.headers()["retry-after-ms"], ms);
    }
    let response = Refusal::from(Failure::new(ErrorReason::BudgetExceeded, "spent")).into_response(&id());
    assert!(!response.headers().contains_key("retry-after"));
}
