//! OpenAI's older `POST /v1/completions`: passed, governed and metered as chat is.

use std::time::Duration;

use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{ChatRequest, Dialect, DialectBody, chat_response};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::llama::{Llama, MODEL, Task};
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::sse::{Event, EventStream};
use headgate_tests::upstream::{Answer, Behaviour, End, Upstream};
use serde_json::{Value, json};

use crate::clients::run;

const PATH: &str = "/v1/completions";

/// Odd, but valid: unknown members, odd spacing and escapes, numbers that no double holds.
const ODD: &str = r#"{
  "x_unknown" : {"deep":[1E+2,-0.0,12345678901234567890123],"twice":1,"twice":2},
	"prompt": [ "\u00e9\ud83d\ude00 \/ é", "\"model\":\"m\"" ],
  "temperature":1.0, "model" : "m","echo":false, "logprobs" : null
}"#;

async fn gate() -> (Upstream, Headgate) {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    (upstream, headgate)
}

fn completion(members: &Value) -> Value {
    let mut request = json!({"model": "m", "prompt": "One, two,"});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

async fn stream(headgate: &Headgate, members: &Value) -> EventStream {
    let mut request = completion(members);
    request["stream"] = json!(true);
    headgate.client().stream_from(PATH, request.to_string()).await
}

fn texts(events: &[Event]) -> String {
    events.iter().filter_map(Event::content).collect()
}

#[tokio::test]
async fn openai_sdk() {
    let (upstream, headgate) = gate().await;
    assert_eq!(run("openai_completions.py", &[&headgate.url(), KEY, "m"]).await, 5);
    assert!(upstream.journal().iter().all(|entry| entry.path == PATH));
}

#[tokio::test]
async fn the_built_in_echo_model_answers_too() {
    let setup = Setup::new()
        .seed("providers", json!({"id": "echo", "name": "echo", "kind": "echo"}))
        .model("echo", &["echo"]);
    let headgate = Headgate::start(&setup).await;
    assert_eq!(run("openai_completions.py", &[&headgate.url(), KEY, "echo"]).await, 5);
    let rows = headgate.rows(5).await;
    assert!(rows.iter().all(|row| !row.estimated && row.completion_tokens > 0 && row.cost_nano_usd > 0));
}

#[tokio::test]
async fn a_real_model_completes_and_is_metered_exactly() {
    let llama = Llama::start(Task::Chat).await;
    // One thread of a busy machine reads a prompt in seconds.
    let deadlines = json!({"deadlines": {"first_byte_ms": 120_000, "inter_chunk_ms": 120_000}});
    let setup =
        Setup::new().provider("llama", llama.url()).provider_with(&deadlines).model(MODEL, &["llama"]);
    let headgate = Headgate::start(&setup).await;

    let asked = json!({"model": MODEL, "max_tokens": 8, "seed": 1});
    let reply = headgate.client().post(PATH, &completion(&asked)).await.expect(200);
    let body = reply.json();
    assert!(body["choices"][0]["text"].is_string() && body["object"] == "text_completion", "{body}");
    let row = headgate.only_row().await;
    let counted = |name: &str| u32::try_from(body["usage"][name].as_u64().unwrap()).unwrap();
    assert_eq!(
        (row.prompt_tokens, row.completion_tokens),
        (counted("prompt_tokens"), counted("completion_tokens"))
    );
    assert!(!row.estimated && row.cost_nano_usd > 0);

    let (events, clean) = stream(&headgate, &asked).await.read_to_end().await;
    assert!(clean && events.last().is_some_and(Event::is_done));
    assert!(!texts(&events).is_empty());
    // llama.cpp tells it beside the last choice, whoever asked.
    let told: Vec<_> =
        events.iter().map(|event| event.json()["usage"]["completion_tokens"].clone()).collect();
    let told = told.iter().find_map(Value::as_u64).unwrap();
    let row = headgate.rows(2).await.remove(0);
    assert!(row.streamed && !row.estimated && row.ttft_ms.is_some());
    assert_eq!((u64::from(row.completion_tokens), row.outcome()), (told, Outcome::Succeeded));

    assert_eq!(run("openai_completions.py", &[&headgate.url(), KEY, MODEL, "--max-tokens", "8"]).await, 5);
}

#[tokio::test]
async fn a_request_and_its_answer_pass_byte_by_byte_and_are_metered() {
    let (upstream, headgate) = gate().await;
    let extra = r#""x_unknown":{"deep":[12345678901234567890123,1e400,"\u00e9"],"twice":1,"twice":2}"#;
    upstream.script("m", Answer { extra: extra.to_owned(), ..Answer::default() });
    let reply = headgate.client().post_raw(PATH, ODD).await.expect(200);
    let entry = upstream.only_request();
    assert_eq!((entry.path.as_str(), entry.text()), (PATH, ODD));
    assert!(reply.text().ends_with(&format!("{extra}}}")), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let row = headgate.only_row().await;
    // Two prompts at five tokens each.
    assert_eq!((row.prompt_tokens, row.completion_tokens, row.estimated), (7, 10, false));
    assert_eq!((row.model.as_str(), row.outcome(), row.streamed), ("m", Outcome::Succeeded, false));
    assert_eq!(row.cost_nano_usd, 7 * 3_000 + 10 * 15_000);
}

#[tokio::test]
async fn a_stream_is_asked_for_its_usage_which_only_those_see_who_asked() {
    let (upstream, headgate) = gate().await;
    for (options, asked) in [(json!({}), false), (json!({"stream_options": {"include_usage": true}}), true)] {
        let stream = stream(&headgate, &options).await;
        assert_eq!(stream.status, 200);
        assert!(stream.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let (events, clean) = stream.read_to_end().await;
        assert!(clean && events.last().unwrap().is_done());
        assert_eq!(texts(&events), "w0 w1 w2 w3 w4 ");
        let told: Vec<_> =
            events.iter().map(Event::json).filter(|event| event["usage"].is_object()).collect();
        assert_eq!(told.len(), usize::from(asked));
        assert!(
            told.iter()
                .all(|event| event["choices"] == json!([]) && event["usage"]["completion_tokens"] == 5)
        );
    }
    for entry in upstream.journal() {
        assert_eq!(
            (entry.path.as_str(), &entry.json()["stream_options"]),
            (PATH, &json!({"include_usage": true}))
        );
    }
    for row in headgate.rows(2).await {
        assert!(row.streamed && !row.estimated && row.ttft_ms.is_some());
        assert_eq!((row.prompt_tokens, row.completion_tokens, row.outcome()), (7, 5, Outcome::Succeeded));
    }
}

#[tokio::test]
async fn a_break_is_an_error_event_and_text_that_was_delivered_is_billed() {
    let (upstream, headgate) = gate().await;
    upstream.script("m", Answer::paced(3, Duration::from_millis(10)).ending(End::Reset));
    let (events, _) = stream(&headgate, &json!({})).await.read_to_end().await;
    assert_eq!(texts(&events), "w0 w1 w2 ");
    assert_eq!(events.last().unwrap().json()["error"]["code"], "upstream_failed");
    let row = headgate.only_row().await;
    assert_eq!((row.outcome(), row.estimated, row.completion_tokens), (Outcome::Failed, true, 3));

    upstream.script("m", Answer::paced(100, Duration::from_millis(20)));
    let mut cut = stream(&headgate, &json!({})).await;
    cut.read_content(4).await;
    let _ = cut.hang_up();
    let row = headgate.rows(2).await.remove(0);
    let entry = upstream.journal().remove(1);
    assert_eq!((row.outcome(), row.estimated), (Outcome::Cancelled, true));
    assert!(
        (4..=entry.tokens).contains(&row.completion_tokens),
        "{} of {}",
        row.completion_tokens,
        entry.tokens
    );
    assert!(entry.closed_early_at.is_some(), "the upstream went on");
}

#[tokio::test]
async fn a_failure_before_the_first_text_goes_to_the_next_target() {
    let (broken, sound) = (Upstream::start().await, Upstream::start().await);
    broken.script_default(Behaviour::status(500, "out of order"));
    let setup = Setup::new()
        .provider("broken", &broken.url())
        .provider("sound", &sound.url())
        .model("m", &["broken", "sound"])
        .model("alone", &["broken"]);
    let headgate = Headgate::start(&setup).await;
    for _ in 0..4 {
        headgate.client().post(PATH, &completion(&json!({}))).await.expect(200);
        let (events, _) = stream(&headgate, &json!({})).await.read_to_end().await;
        assert!(events.last().unwrap().is_done());
    }
    let reply = headgate.client().post(PATH, &completion(&json!({"model": "alone"}))).await.expect(502);
    assert_eq!(reply.error_code(), "upstream_failed");
    assert_eq!(headgate.rows(9).await[0].outcome(), Outcome::Failed);
}

#[tokio::test]
async fn wrong_requests_are_400_name_the_field_and_go_nowhere() {
    let (upstream, headgate) = gate().await;
    let wrong = [
        r#""""#,
        "[]",
        "7",
        "{}",
        "null",
        "true",
        r#"[""]"#,
        "[[]]",
        r#"["a",1]"#,
        "[1.5]",
        r#"[["a"]]"#,
        "[{}]",
    ];
    let mut cases: Vec<_> = wrong.map(|prompt| (format!(r#""prompt":{prompt}"#), "prompt")).into();
    for (members, field) in [
        (r#""n":1"#, "prompt"),
        (r#""messages":[{"role":"user","content":"x"}]"#, "prompt"),
        (r#""prompt":"a","prompt":"a""#, "prompt"),
        (r#""prompt":"a","model":"m""#, "model"),
        (r#""prompt":"a","max_tokens":"9""#, "max_tokens"),
        (r#""prompt":"a","max_completion_tokens":9"#, "max_completion_tokens"),
        (r#""prompt":"a","n":0"#, "n"),
        (r#""prompt":"a","best_of":1000"#, "best_of"),
        (r#""prompt":"a","stream":"yes""#, "stream"),
    ] {
        cases.push((members.into(), field));
    }
    for (members, field) in cases {
        let reply = headgate.client().post_raw(PATH, format!(r#"{{"model":"m",{members}}}"#)).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!(field)), "{members}");
    }
    let reply = headgate.anonymous().post_raw(PATH, "{").await.expect(401);
    assert_eq!(reply.error_code(), "invalid_api_key");
    let reply = headgate.client().post(PATH, &completion(&json!({"model": "x"}))).await.expect(404);
    assert_eq!(reply.error_code(), "model_not_found");
    headgate.client().get(PATH).await.expect(405);
    assert!(upstream.journal().is_empty(), "something went upstream");
}

#[tokio::test]
async fn a_prompt_may_be_as_large_as_chats() {
    let (upstream, headgate) = gate().await;
    let request = completion(&json!({"prompt": "word ".repeat(500_000)})).to_string();
    headgate.client().post_raw(PATH, request.clone()).await.expect(200);
    assert_eq!(upstream.only_request().text(), request);
}

#[tokio::test]
async fn the_hold_covers_every_answer_to_every_prompt() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 1000, ..Answer::default() });
    // 100 tokens of answer cost a cent, and prompts are free.
    let setup = Setup::with_model("m", &upstream)
        .model_with(&json!({
            "price": {"input_usd_per_1m_tokens": "0", "output_usd_per_1m_tokens": "100"},
            "max_output_tokens": 1000,
        }))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.08"}));
    let headgate = Headgate::start(&setup).await;
    for members in [
        json!({"max_tokens": 801}),
        json!({"max_tokens": 201, "n": 4}),
        json!({"max_tokens": 100, "n": 3, "prompt": ["a", "b", "c"]}),
        json!({"max_tokens": 100, "prompt": [[1], [2], [3]], "n": 2, "best_of": 3}),
        json!({"max_tokens": 801, "stream": true}),
    ] {
        let refused = headgate.client().post(PATH, &completion(&members)).await.expect(403);
        assert_eq!(refused.error_code(), "budget_exceeded", "{members}");
        assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
        assert_eq!(refused.header("x-budget-limit"), Some("0.08"));
    }
    assert!(upstream.journal().is_empty(), "something went upstream");

    // Six cents; then a cap makes do with the two that are left, for two prompts.
    let fits = completion(&json!({"max_tokens": 100, "prompt": ["a", "b"], "n": 3}));
    headgate.client().post(PATH, &fits).await.expect(200);
    assert_eq!(headgate.only_row().await.cost_nano_usd, 60_000_000);
    let capped = headgate.client().post(PATH, &completion(&json!({"prompt": ["a", "b"]}))).await.expect(200);
    assert_eq!(capped.header("x-headgate-output-cap"), Some("100"));
    assert_eq!(upstream.journal()[1].json()["max_tokens"], 100);
    headgate.rows(2).await;
    headgate.client().post(PATH, &completion(&json!({"max_tokens": 1}))).await.expect(403);
}

#[tokio::test]
async fn limits_and_idempotency_keys_hold() {
    let upstream = Upstream::start().await;
    let setup =
        Setup::with_model("m", &upstream).limits(json!({"tenant_id": TENANT, "requests_per_minute": 2}));
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client().with_header("idempotency-key", "k");
    let first = client.post(PATH, &completion(&json!({}))).await.expect(200);
    headgate.rows(1).await;
    upstream.script("m", Answer { chunks: 9, ..Answer::default() });
    let again = client.post(PATH, &completion(&json!({}))).await.expect(200);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
    let other = client.post(PATH, &completion(&json!({"suffix": "x"}))).await.expect(422);
    assert_eq!(other.error_code(), "idempotency_mismatch");
    // The same bytes to another path are another request.
    let both = json!({"model": "m", "prompt": "a", "messages": [{"role": "user", "content": "a"}]});
    let client = headgate.client().with_header("idempotency-key", "both");
    client.post(PATH, &both).await.expect(200);
    assert_eq!(client.chat(&both).await.expect(422).error_code(), "idempotency_mismatch");
    assert_eq!(upstream.journal().len(), 2);

    let limited = headgate.client().post(PATH, &completion(&json!({}))).await.expect(429);
    assert_eq!(limited.error_code(), "rate_limit_exceeded");
    assert!(limited.header("retry-after").is_some());
}

#[tokio::test]
async fn a_grpc_consumer_sends_the_same_dialect() {
    let (upstream, headgate) = gate().await;
    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    let mut ask = async |body: &str| {
        let dialect =
            DialectBody { dialect: Dialect::OpenaiCompletions.into(), body: body.to_owned().into() };
        let encoding = Some(Encoding::Dialect(dialect));
        inference.chat(ChatRequest { encoding, ..ChatRequest::default() }).await
    };
    let answer = ask(ODD).await.unwrap().into_inner();
    let Some(chat_response::Encoding::Dialect(body)) = answer.encoding else { panic!("typed") };
    assert_eq!(body.dialect(), Dialect::OpenaiCompletions);
    let json: Value = serde_json::from_slice(&body.body).unwrap();
    assert_eq!(json["choices"][1]["text"], "w0 w1 w2 w3 w4 ");
    assert_eq!(answer.usage.unwrap().completion_tokens, 10);
    assert_eq!(upstream.only_request().text(), ODD);
    let refused = ask(r#"{"model":"m","messages":[{"role":"user"}]}"#).await.unwrap_err();
    assert_eq!((refused.code(), refused.message().contains("prompt")), (tonic::Code::InvalidArgument, true));
}
