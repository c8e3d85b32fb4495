//! P7 for OpenAI's dialect: the upstream's status and body, and what the client is told, over REST and over gRPC.

use headgate_proto::common::v1::ErrorReason;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{ChatRequest, Dialect, DialectBody};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::upstream::{Behaviour, Unreachable, Upstream};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

const OPENAI: &str =
    r#"{"error":{"message":"said upstream","type":"some_type","param":"some_param","code":"some_code"}}"#;
const LLAMA: &str = r#"{"error":{"code":400,"message":"said upstream","type":"invalid_request_error"}}"#;
const VLLM: &str =
    r#"{"object":"error","message":"said upstream","type":"BadRequestError","param":null,"code":400}"#;
const OLLAMA: &str = r#"{"error":"said upstream"}"#;
const FASTAPI: &str = r#"{"detail":"said upstream"}"#;
const HTML: &str = "<html><body>said upstream</body></html>";

/// One case: what the upstream answers, and what becomes of it.
struct Case {
    upstream: (u16, &'static str),
    reason: &'static str,
    grpc: Code,
    http: u16,
    /// `error.code`; `None` when it is null.
    code: Option<&'static str>,
    /// Whether the upstream's words reach the client.
    told: bool,
}

const fn case(
    upstream: (u16, &'static str),
    reason: &'static str,
    grpc: Code,
    http: u16,
    code: Option<&'static str>,
    told: bool,
) -> Case {
    Case { upstream, reason, grpc, http, code, told }
}

/// The request is at fault: the client learns what the upstream said.
const fn rejected(status: u16, body: &'static str, code: Option<&'static str>, told: bool) -> Case {
    case((status, body), "UPSTREAM_REJECTED", Code::InvalidArgument, status, code, told)
}

/// The upstream is at fault: the client learns that, and what it said if it said it in the dialect's form.
const fn failed(status: u16, body: &'static str, told: bool) -> Case {
    case((status, body), "UPSTREAM_FAILED", Code::Unavailable, 502, Some("upstream_failed"), told)
}

/// The upstream took too long, by its own word.
const fn timeout(status: u16, body: &'static str, told: bool) -> Case {
    case((status, body), "UPSTREAM_TIMEOUT", Code::DeadlineExceeded, 504, Some("upstream_timeout"), told)
}

/// The gateway's credential is at fault, which is nobody's business but the operator's.
const fn credential(status: u16, body: &'static str) -> Case {
    case((status, body), "UPSTREAM_CREDENTIAL", Code::Unavailable, 502, Some("upstream_credential"), false)
}

/// The upstream limits the gateway: the client learns what it said, and comes back later.
const fn limited(body: &'static str, told: bool) -> Case {
    let code = Some("upstream_rate_limited");
    case((429, body), "UPSTREAM_RATE_LIMITED", Code::ResourceExhausted, 429, code, told)
}

/// The upstream answered what no upstream of the dialect answers.
const fn invalid(status: u16, body: &'static str, told: bool) -> Case {
    case((status, body), "UPSTREAM_INVALID", Code::Unavailable, 502, Some("upstream_invalid"), told)
}

const CASES: [Case; 33] = [
    rejected(400, OPENAI, Some("some_code"), true),
    // A number is an HTTP status again, not one of OpenAI's codes.
    rejected(400, LLAMA, None, true),
    rejected(400, VLLM, None, true),
    rejected(400, FASTAPI, None, true),
    rejected(400, OLLAMA, None, true),
    rejected(400, HTML, None, false),
    rejected(404, OPENAI, Some("some_code"), true),
    rejected(409, OPENAI, Some("some_code"), true),
    rejected(413, OPENAI, Some("some_code"), true),
    rejected(422, FASTAPI, None, true),
    credential(401, OPENAI),
    credential(401, HTML),
    credential(402, OPENAI),
    credential(403, OPENAI),
    timeout(408, OPENAI, true),
    timeout(504, HTML, false),
    limited(OPENAI, true),
    limited(HTML, false),
    failed(500, OPENAI, true),
    failed(500, HTML, false),
    failed(500, "", false),
    failed(502, HTML, false),
    failed(503, LLAMA, true),
    failed(529, OPENAI, true),
    invalid(200, "{\"choices\":", false),
    invalid(200, HTML, false),
    invalid(200, "", false),
    invalid(200, "[]", false),
    // An error in place of the answer.
    invalid(200, OPENAI, true),
    invalid(200, LLAMA, true),
    invalid(200, OLLAMA, true),
    invalid(204, "", false),
    invalid(302, HTML, false),
];

#[tokio::test]
async fn every_status_and_body_has_its_meaning() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new().provider("mock", &upstream.url());
    for (number, case) in CASES.iter().enumerate() {
        let model = format!("m{number}");
        upstream.script(&model, Behaviour::status(case.upstream.0, case.upstream.1));
        setup = setup.model(&model, &["mock"]);
    }
    let headgate = Headgate::start(&setup).await;
    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    for (number, case) in CASES.iter().enumerate() {
        let (status, body) = case.upstream;
        let label = format!("{status} {body}");
        let model = format!("m{number}");

        let reply = headgate.client().chat(&prompts::chat(&model)).await;
        assert_eq!(reply.status, case.http, "{label}: {}", reply.text());
        let json = reply.json();
        assert_eq!(json["error"]["code"].as_str(), case.code, "{label}: {json}");
        let message = json["error"]["message"].as_str().unwrap();
        assert_eq!(message.contains("said upstream"), case.told, "{label}: {message}");
        assert!(!message.contains('<'), "{label}: the upstream's page is shown");

        let body = DialectBody {
            dialect: Dialect::OpenaiChat.into(),
            body: prompts::chat(&model).to_string().into(),
        };
        let request = ChatRequest { encoding: Some(Encoding::Dialect(body)), ..ChatRequest::default() };
        let error = inference.chat(request).await.unwrap_err();
        assert_eq!(error.code(), case.grpc, "{label}");
        let details = error.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("{label}: no ErrorInfo"));
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (case.reason, "headgate"), "{label}");

        let streamed = headgate.client().stream(&prompts::stream(&model)).await.into_reply().await;
        assert_eq!(streamed.status, case.http, "{label}, streamed");
        let error = &streamed.json()["error"];
        assert_eq!(error["code"].as_str(), case.code, "{label}, streamed: {error}");
        let message = error["message"].as_str().unwrap();
        assert_eq!(message.contains("said upstream"), case.told, "{label}, streamed: {message}");
    }
    let rows = headgate.rows(CASES.len() * 3).await;
    for row in &rows {
        let timeout = row.error_reason() == ErrorReason::UpstreamTimeout;
        assert_eq!(row.outcome(), if timeout { Outcome::DeadlineExceeded } else { Outcome::Failed });
    }
    assert!(rows.iter().all(|row| row.completion_tokens == 0 && row.cost_nano_usd == 0));
}

#[tokio::test]
async fn a_stream_that_holds_no_answer_is_a_real_status() {
    let error = format!("data: {OPENAI}\n\n");
    let page = format!("{HTML}\n\n");
    let page_as_data = format!("data: {HTML}\n\n");
    let cases = [
        // The body of an answer that says it is a stream, the code, and whether the upstream's words are told.
        (error.as_str(), "upstream_failed", true),
        (&page, "upstream_invalid", false),
        (&page_as_data, "upstream_invalid", false),
        (OPENAI, "upstream_failed", false),
        ("\u{1}\u{2}\u{3}", "upstream_failed", false),
        ("", "upstream_failed", false),
    ];
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    for (body, code, told) in cases {
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        upstream.script("m", Behaviour::Reply { status: 200, headers, body: body.to_owned() });
        let reply = headgate.client().stream(&prompts::stream("m")).await.into_reply().await;
        assert_eq!((reply.status, reply.error_code().as_str()), (502, code), "{body}: {}", reply.text());
        assert_eq!(reply.text().contains("said upstream"), told, "{body}: {}", reply.text());
        assert!(!reply.text().contains('<'), "{body}: the upstream's page is shown");
    }
    let rows = headgate.rows(cases.len()).await;
    assert!(rows.iter().all(|row| row.outcome() == Outcome::Failed && row.completion_tokens == 0));
}

#[tokio::test]
async fn a_connection_that_does_not_come_is_504_whoever_set_the_deadline() {
    let unreachable = Unreachable::start().await;
    let setup = Setup::new()
        .section("adapter", &json!({"connect_ms": 300}))
        .provider("default", &unreachable.url())
        .model("default", &["default"])
        .provider("own", &unreachable.url())
        .provider_with(&json!({"deadlines": {"connect_ms": 100}}))
        .model("own", &["own"])
        .provider("patient", &unreachable.url())
        .provider_with(&json!({"deadlines": {"connect_ms": 700}}))
        .model("patient", &["patient"])
        .model("both", &["own", "default"]);
    let headgate = Headgate::start(&setup).await;
    for model in ["default", "own", "patient", "both"] {
        let reply = headgate.client().chat(&prompts::chat(model)).await.expect(504);
        assert_eq!(reply.error_code(), "upstream_timeout", "{model}");
        let stream = headgate.client().stream(&prompts::stream(model)).await;
        assert_eq!(stream.into_reply().await.status, 504, "{model}");
    }
    for row in headgate.rows(8).await {
        assert_eq!((row.outcome(), row.completion_tokens), (Outcome::DeadlineExceeded, 0), "{}", row.model);
        assert_eq!(row.attempts.len(), if row.model == "both" { 2 } else { 1 });
        assert!(row.attempts.iter().all(|attempt| attempt.upstream_status == 0));
        let waited = row.attempts[0].latency_ms;
        let limit = match row.model.as_str() {
            "default" => 300,
            "patient" => 700,
            _ => 100,
        };
        assert!(waited >= limit - 1, "{} waited for {waited} ms", row.model);
    }
}

#[tokio::test]
async fn an_upstream_429_keeps_its_retry_after_and_cools_that_target_alone() {
    let (busy, free) = (Upstream::start().await, Upstream::start().await);
    let limited = Behaviour::openai_error(429, "rate_limit_error", "rate_limit_exceeded", "slow down");
    busy.script_default(limited.with_header("retry-after", "17"));
    let setup = Setup::new()
        .provider("busy", &busy.url())
        .provider("free", &free.url())
        .model("alone", &["busy"])
        .model("both", &["busy", "free"]);
    let headgate = Headgate::start(&setup).await;

    // The upstream's own answer first; then nobody is asked before the time it named.
    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    for (status, code) in [(429, "upstream_rate_limited"), (503, "no_target")] {
        let reply = headgate.client().chat(&prompts::chat("alone")).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{}", reply.text());
        let seconds: u64 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!((15..=17).contains(&seconds), "Retry-After: {seconds}");
    }
    assert_eq!(busy.journal().len(), 1, "a cooling target was asked again");
    // Another model's target is another target, even at the same provider.
    for _ in 0..6 {
        headgate.client().chat(&prompts::chat("both")).await.expect(200);
    }
    assert!(busy.journal().len() <= 2, "a cooling target was asked again");
    let body =
        DialectBody { dialect: Dialect::OpenaiChat.into(), body: prompts::chat("alone").to_string().into() };
    let request = ChatRequest { encoding: Some(Encoding::Dialect(body)), ..ChatRequest::default() };
    let error = inference.chat(request).await.unwrap_err();
    let delay = error.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("RetryInfo");
    assert!((10..=17).contains(&delay.as_secs()), "{delay:?}");
}
