//! Error bodies: every form that servers of this dialect are known to send, and the one form we send.

use serde::Serialize;
use serde_json::{Map, Value};

/// What an upstream said went wrong. Its text is the upstream's and may quote the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// What happened.
    pub message: String,
    /// The kind, like `invalid_request_error`. `None` when not told.
    pub r#type: Option<String>,
    /// The parameter at fault. `None` when not told.
    pub param: Option<String>,
    /// The code, like `context_length_exceeded`; a number is given as text. `None` when not told.
    pub code: Option<String>,
}

/// Reads an error body or an error event's data.
///
/// Knows `{"error":{…}}` (OpenAI; llama.cpp, whose code is a number), `{"error":"text"}` (Ollama, TGI),
/// `{"message":…}` (older vLLM) and `{"detail":…}` (FastAPI). `None` when the body is none of these.
pub fn parse(body: &[u8]) -> Option<UpstreamError> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return None };
    match body.get("error") {
        Some(Value::Object(error)) => Some(described(error)),
        Some(Value::String(message)) => Some(UpstreamError {
            message: message.clone(),
            r#type: text(body.get("error_type")),
            ..described(&body)
        }),
        _ if body.get("message").is_some_and(Value::is_string) => Some(described(&body)),
        _ => detail(body.get("detail")?),
    }
}

fn described(error: &Map<String, Value>) -> UpstreamError {
    UpstreamError {
        message: text(error.get("message")).unwrap_or_else(|| "the upstream gave no message".into()),
        r#type: text(error.get("type")),
        param: text(error.get("param")),
        code: text(error.get("code")),
    }
}

/// FastAPI's `detail`: text, or a list of faults with the place (`loc`) of each; the first is told.
fn detail(detail: &Value) -> Option<UpstreamError> {
    if let Some(message) = detail.as_str() {
        return Some(UpstreamError { message: message.into(), ..UpstreamError::default() });
    }
    let first = detail.as_array()?.first()?;
    let place = first.get("loc").and_then(Value::as_array);
    Some(UpstreamError {
        message: text(first.get("msg"))?,
        r#type: text(first.get("type")),
        param: place
            .map(|place| place.iter().filter_map(|part| text(Some(part))).collect::<Vec<_>>().join(".")),
        code: None,
    })
}

/// A string, or a number as text.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Described<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Described<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

/// The error body that OpenAI's clients expect, with the request's id beside it. All four members of `error` are
/// always there.
pub fn encode(
    message: &str,
    r#type: &str,
    param: Option<&str>,
    code: Option<&str>,
    request_id: &str,
) -> Vec<u8> {
    let body = Body { error: Described { message, r#type, param, code }, request_id };
    // Text and nulls always serialise.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, kind: Option<&str>, param: Option<&str>, code: Option<&str>) -> UpstreamError {
        UpstreamError {
            message: message.into(),
            r#type: kind.map(Into::into),
            param: param.map(Into::into),
            code: code.map(Into::into),
        }
    }

    #[test]
    fn every_known_form_is_read() {
        let cases: [(&str, UpstreamError); 7] = [
            (
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"bad"}}"#,
                error("m", Some("invalid_request_error"), Some("n"), Some("bad")),
            ),
            (
                r#"{"error":{"message":"m","type":null,"param":null,"code":null}}"#,
                error("m", None, None, None),
            ),
            (
                include_str!("../../tests/fixtures/llamacpp/err_401_no_key.json"),
                error("Invalid API Key", Some("authentication_error"), None, Some("401")),
            ),
            (r#"{"error":"m","error_type":"overloaded"}"#, error("m", Some("overloaded"), None, None)),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}"#,
                error("m", Some("BadRequestError"), None, Some("400")),
            ),
            (r#"{"detail":"Not Found"}"#, error("Not Found", None, None, None)),
            (
                r#"{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"missing"}]}"#,
                error("field required", Some("missing"), Some("body.messages.0"), None),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body.as_bytes()).as_ref(), Some(&expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_error_is_none() {
        for body in ["", "<html>", "[]", "null", r#"{"choices":[]}"#, r#"{"error":null}"#, r#"{"detail":[]}"#]
        {
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn ours_has_every_member_and_reads_back() {
        let body = encode("no \"such\" model", "invalid_request_error", Some("model"), None, "req_1");
        assert_eq!(
            String::from_utf8_lossy(&body),
            r#"{"error":{"message":"no \"such\" model","type":"invalid_request_error","param":"model","code":null},"request_id":"req_1"}"#
        );
        assert_eq!(parse(&body).map(|error| error.param), Some(Some("model".into())));
    }
}
