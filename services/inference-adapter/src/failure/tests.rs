use std::time::Duration;

use super::*;

const NOT_FOUND: &str = r#"{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
const LLAMA_LONG: &str = r#"{"error":{"code":400,"message":"request (3054 tokens) exceeds","type":"exceed_context_size_error","n_ctx":2048}}"#;
const LLAMA_LOADING: &str = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
const KEY: &str =
    r#"{"error":{"message":"Incorrect API key: sk-planted","type":"a","code":"invalid_api_key"}}"#;

/// The reason, the message, and the upstream's type, param and code, each empty when not told.
fn told(failure: &Failure) -> (ErrorReason, &str, [&str; 3]) {
    let field = |name| failure.metadata.get(name).map_or("", String::as_str);
    let fields = [field("upstream_type"), field("upstream_param"), field("upstream_code")];
    (failure.reason, &failure.message, fields)
}

#[test]
fn every_status_and_body_has_one_meaning() {
    use ErrorReason as R;
    let bare = ["", "", ""];
    let invalid = "invalid_request_error";
    let refused = "the upstream refused Headgate's credential";
    let cases: &[(u16, &str, R, &str, [&str; 3])] = &[
        (
            400,
            LLAMA_LONG,
            R::UpstreamRejected,
            "request (3054 tokens) exceeds",
            [invalid, "", "context_length_exceeded"],
        ),
        (400, "<html>", R::UpstreamRejected, "the upstream answered with HTTP status 400", bare),
        (401, KEY, R::UpstreamCredential, refused, bare),
        (402, "", R::UpstreamCredential, refused, bare),
        (403, KEY, R::UpstreamCredential, refused, bare),
        (404, NOT_FOUND, R::UpstreamRejected, "no such model", [invalid, "model", "model_not_found"]),
        (404, r#"{"detail":"Not Found"}"#, R::UpstreamRejected, "Not Found", bare),
        (405, "", R::UpstreamRejected, "the upstream answered with HTTP status 405", bare),
        (408, "", R::UpstreamTimeout, "the upstream answered with HTTP status 408", bare),
        (409, "", R::UpstreamRejected, "the upstream answered with HTTP status 409", bare),
        (413, "", R::UpstreamRejected, "the upstream answered with HTTP status 413", bare),
        (415, "", R::UpstreamRejected, "the upstream answered with HTTP status 415", bare),
        (422, r#"{"error":"bad n"}"#, R::UpstreamRejected, "bad n", bare),
        (429, r#"{"error":{"message":"slow"}}"#, R::UpstreamRateLimited, "slow", bare),
        (
            500,
            r#"{"error":{"message":"oops","type":"server_error"}}"#,
            R::UpstreamFailed,
            "oops",
            ["server_error", "", ""],
        ),
        (502, "<html>", R::UpstreamFailed, "the upstream answered with HTTP status 502", bare),
        (503, LLAMA_LOADING, R::UpstreamFailed, "Loading model", ["unavailable_error", "", ""]),
        (504, "", R::UpstreamTimeout, "the upstream answered with HTTP status 504", bare),
        (529, "", R::UpstreamFailed, "the upstream answered with HTTP status 529", bare),
        (200, r#"{"error":{"message":"oops"}}"#, R::UpstreamInvalid, "oops", bare),
        (200, "{}", R::UpstreamInvalid, "the upstream's answer is not of the kind asked for", bare),
        (204, "", R::UpstreamInvalid, "the upstream answered with HTTP status 204", bare),
        (302, "", R::UpstreamInvalid, "the upstream answered with HTTP status 302", bare),
    ];
    for (status, body, reason, message, fields) in cases {
        let status = StatusCode::from_u16(*status).unwrap();
        let failure = answered(status, &HeaderMap::new(), body.as_bytes(), 0);
        assert_eq!(told(&failure), (*reason, *message, *fields), "{status} {body}");
        assert_eq!(failure.metadata["upstream_status"], status.as_str());
        assert_eq!(failure.retry_after, None);
    }
}

#[test]
fn retry_after_is_kept_where_waiting_helps() {
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
    for (status, expected) in [(429, Some(7)), (503, Some(7)), (400, None), (401, None)] {
        let status = StatusCode::from_u16(status).unwrap();
        let failure = answered(status, &headers, b"", 0);
        assert_eq!(failure.retry_after, expected.map(Duration::from_secs), "{status}");
    }
}

#[test]
fn long_texts_are_cut_and_secrets_taken_out() {
    let body = format!(r#"{{"error":{{"message":"sk-planted {}","code":"sk-planted"}}}}"#, "ü".repeat(5000));
    let failure = answered(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), 0);
    let failure = redact(failure, "sk-planted");
    assert!(failure.message.len() <= MAX_TEXT_BYTES);
    let shown = format!("{failure:?}");
    assert!(!shown.contains("sk-planted") && shown.contains("[redacted]"));
}

#[test]
fn no_cut_leaves_a_part_of_a_secret() {
    for before in MAX_TEXT_BYTES - 12..=MAX_TEXT_BYTES {
        let body = format!(r#"{{"error":{{"message":"{}sk-planted"}}}}"#, "x".repeat(before));
        let failure = answered(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), 0);
        assert!(!redact(failure, "sk-planted").message.contains('s'), "{before}");
    }
}
