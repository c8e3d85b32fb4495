//! A chat or embeddings request that goes well: what the client gets, what the upstream got, what the ledger says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headgate_kit::clock::Clock;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::common::v1::ErrorReason;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::chat_response::Encoding as Answer;
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, FinishReason,
};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, KEY_ID, PROVIDER_KEY, Setup, TENANT};
use headgate_tests::upstream::{Answer as MockAnswer, Behaviour, Upstream, refusing_url};
use headgate_tests::wait::eventually;
use serde_json::json;

#[tokio::test]
async fn an_answer_comes_whole_and_is_metered_as_the_upstream_counted() {
    let upstream = Upstream::start().await;
    let (cached_tokens, reasoning_tokens) = (4, 2);
    let first_delay = Duration::from_millis(200);
    upstream
        .script("m", MockAnswer { cached_tokens, reasoning_tokens, first_delay, ..MockAnswer::default() });
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;

    let client = headgate.client().with_header("x-request-id", "request-of-the-test");
    let asked_at = Clock::system().unix_millis();
    let reply = client.chat(&prompts::chat("m")).await.expect(200);
    let body = reply.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "m");
    assert_eq!(body["choices"][0]["message"]["content"], "w0 w1 w2 w3 w4 ");
    assert_eq!(body["usage"]["total_tokens"], 12);
    assert_eq!(reply.header("x-request-id"), Some("request-of-the-test"));

    let asked = upstream.only_request();
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {PROVIDER_KEY}"));

    let row = headgate.only_row().await;
    assert_eq!(row.request_id, "request-of-the-test");
    assert_eq!((row.tenant_id.as_str(), row.key_id.as_str(), row.model.as_str()), (TENANT, KEY_ID, "m"));
    assert_eq!((row.provider_id.as_str(), row.upstream_model.as_str()), ("mock", "m"));
    assert_eq!((row.prompt_tokens, row.completion_tokens, row.total_tokens), (7, 5, 12));
    assert_eq!((row.cached_tokens, row.reasoning_tokens), (4, 2));
    assert!(!row.estimated && !row.streamed && row.ttft_ms.is_none());
    // 7 tokens at $3 and 5 at $15 per million.
    assert_eq!(row.cost_nano_usd, 7 * 3_000 + 5 * 15_000);
    assert_eq!((row.outcome(), row.status_code), (Outcome::Succeeded, 200));
    assert_eq!((row.attempts.len(), row.attempts[0].upstream_status), (1, 200));
    assert!(row.price_revision > 0 && !row.lease_id.is_empty());
    assert_eq!(row.operation(), Operation::Chat);
    let now = Clock::system().unix_millis();
    assert!((asked_at..now).contains(&row.started_at_unix_ms), "{} of {asked_at}", row.started_at_unix_ms);
    let most = now - row.started_at_unix_ms;
    assert!((200..=most).contains(&row.latency_ms.into()), "{} ms of {most}", row.latency_ms);
    assert!((200..=row.latency_ms).contains(&row.attempts[0].latency_ms));
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_the_security_headers() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let refused = headgate.anonymous().chat(&prompts::chat("m")).await.expect(401);
    let answered = headgate.client().chat(&prompts::chat("m")).await.expect(200);
    for reply in [&refused, &answered] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("referrer-policy"), Some("strict-origin-when-cross-origin"));
        assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()));
    }
    assert_ne!(refused.header("x-request-id"), answered.header("x-request-id"));
    assert_eq!(refused.json()["request_id"], refused.header("x-request-id").unwrap());
}

#[tokio::test]
async fn a_typed_call_gets_a_typed_answer_under_the_name_it_asked_for() {
    let upstream = Upstream::start().await;
    let targets = json!([{"provider": "mock", "upstream_model": "name-there", "weight": 1}]);
    let setup = Setup::with_model("m", &upstream).model_with(&json!({"targets": targets}));
    let headgate = Headgate::start(&setup).await;
    let text = ContentPart { part: Some(Part::Text("Count to three.".into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![text], ..ChatMessage::default() };
    let prompt = ChatPrompt { messages: vec![message], max_output_tokens: Some(3), ..ChatPrompt::default() };
    let request =
        ChatRequest { model: "m".into(), encoding: Some(Encoding::Typed(prompt)), ..ChatRequest::default() };

    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    let response = inference.chat(request).await.unwrap().into_inner();
    let Some(Answer::Typed(completion)) = response.encoding else { panic!("not typed") };
    assert_eq!(completion.model, "m");
    assert_eq!(completion.choices[0].finish_reason(), FinishReason::Length);
    let usage = response.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.estimated), (7, 3, false));

    let sent = upstream.only_request().json();
    assert_eq!((&sent["model"], &sent["messages"][0]["role"]), (&json!("name-there"), &json!("user")));
    assert!(sent["max_tokens"] == 3 || sent["max_completion_tokens"] == 3, "{sent}");
    let row = headgate.only_row().await;
    assert_eq!((row.completion_tokens, row.outcome()), (3, Outcome::Succeeded));
}

#[tokio::test]
async fn embeddings_come_in_the_encoding_asked_for() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("e", &upstream)).await;
    let client = headgate.client();
    let post = async |body| client.post("/v1/embeddings", &body).await.expect(200).json();

    let one = post(prompts::embed("e", &json!("a text"))).await;
    assert_eq!(one["data"][0]["embedding"], json!([0.5, 1.5, 2.5, 3.5]));
    let two = post(prompts::embed("e", &json!(["a text", "another"]))).await;
    assert_eq!(two["data"][1]["embedding"], json!([1.5, 2.5, 3.5, 4.5]));
    assert_eq!(two["model"], "e");
    let base64 = post(json!({"model": "e", "input": "a text", "encoding_format": "base64"})).await;
    assert_eq!(base64["data"][0]["embedding"], "AAAAPwAAwD8AACBAAABgQA==");

    let rows = headgate.rows(3).await;
    assert!(rows.iter().all(|row| row.completion_tokens == 0 && !row.estimated));
    assert!(rows.iter().all(|row| row.operation() == Operation::Embeddings));
    // 6 tokens at $3 per million, for two texts.
    assert_eq!((rows[1].prompt_tokens, rows[1].cost_nano_usd), (6, 18_000));
}

#[tokio::test]
async fn an_answer_without_usage_is_estimated_and_marked() {
    let upstream = Upstream::start().await;
    let usage = headgate_tests::upstream::UsageReport::Never;
    upstream.script("m", MockAnswer { chunks: 40, usage, ..MockAnswer::default() });
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let row = headgate.only_row().await;
    assert!(row.estimated);
    assert!(row.prompt_tokens > 0 && row.cost_nano_usd > 0);
    // 150 bytes of text, counted as tokens of 1 to 8 bytes.
    assert!((18..=150).contains(&row.completion_tokens), "{} tokens", row.completion_tokens);
}

#[tokio::test]
async fn targets_are_chosen_by_weight() {
    let (heavy, light) = (Upstream::start().await, Upstream::start().await);
    let targets = json!([
        {"provider": "heavy", "upstream_model": "h", "weight": 9},
        {"provider": "light", "upstream_model": "l", "weight": 1},
    ]);
    let setup = Setup::new()
        .provider("heavy", &heavy.url())
        .provider("light", &light.url())
        .model("m", &[])
        .model_with(&json!({"targets": targets}));
    let headgate = Headgate::start(&setup).await;
    for _ in 0..200 {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
    }
    let (heavy, light) = (heavy.journal().len(), light.journal().len());
    assert_eq!(heavy + light, 200);
    // 20 are expected; outside of 4 to 44 by chance once in a hundred thousand runs.
    assert!((4..=44).contains(&light), "{light} of 200 at a weight of 1 in 10");
}

#[tokio::test]
async fn a_failed_target_is_followed_by_the_next_and_both_are_recorded() {
    let (broken, sound) = (Upstream::start().await, Upstream::start().await);
    broken.script_default(Behaviour::openai_error(500, "server_error", "broken", "out of order"));
    let setup = Setup::broken_then_sound(&broken, &sound);
    let headgate = Headgate::start(&setup).await;

    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(sound.only_request().json()["model"], "m");
    let streamed = headgate.client().stream(&prompts::stream("m")).await;
    assert_eq!(streamed.status, 200);
    let (events, clean) = streamed.read_to_end().await;
    assert!(clean && events.last().unwrap().is_done());

    for row in headgate.rows(2).await {
        assert_eq!((row.outcome(), row.provider_id.as_str()), (Outcome::Succeeded, "sound"));
        let tried: Vec<_> =
            row.attempts.iter().map(|a| (a.provider_id.as_str(), a.upstream_status)).collect();
        assert_eq!(tried, [("broken", 500), ("sound", 200)]);
    }
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_asked_no_more_while_another_answers() {
    let (broken, sound) = (Upstream::start().await, Upstream::start().await);
    broken.script_default(Behaviour::status(500, "out of order"));
    let setup =
        Setup::broken_then_sound(&broken, &sound).section("router", &json!({"breaker_open_ms": 3000}));
    let headgate = Headgate::start(&setup).await;
    let begin = Instant::now();
    for _ in 0..3 {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
    }
    assert_eq!(broken.journal().len(), 3);
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    if begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(broken.journal().len(), 3, "it was asked again");
    }
    assert_eq!(sound.journal().len(), 4);
    // When its pause is over it is tried again.
    broken.script_default(MockAnswer::default());
    eventually(Duration::from_secs(20), "it to be asked again", || async {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        (broken.journal().len() > 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_deadline_ends_an_attempt_with_504() {
    let upstream = Upstream::start().await;
    upstream.script("head", Behaviour::HangBeforeHead);
    let slow = Duration::from_secs(2);
    upstream.script("first", MockAnswer { first_delay: slow, ..MockAnswer::default() });
    upstream.script("total", MockAnswer::paced(50, Duration::from_millis(50)));
    let mut setup = Setup::new();
    let deadlines: BTreeMap<_, _> = [
        ("head", json!({"first_byte_ms": 200})),
        ("first", json!({"first_byte_ms": 200})),
        ("total", json!({"total_ms": 400})),
    ]
    .into();
    for (name, deadlines) in deadlines {
        setup = setup.provider(name, &upstream.url()).provider_with(&json!({"deadlines": deadlines}));
        setup = setup.model(name, &[name]);
    }
    let headgate = Headgate::start(&setup).await;
    for model in ["head", "first", "total"] {
        let reply = headgate.client().chat(&prompts::chat(model)).await.expect(504);
        assert_eq!(reply.error_code(), "upstream_timeout", "{model}");
    }
    for row in headgate.rows(3).await {
        assert_eq!((row.outcome(), row.status_code), (Outcome::DeadlineExceeded, 504), "{}", row.model);
    }
    assert!(upstream.journal().iter().all(|entry| entry.closed_early_at.is_some()));
}

#[tokio::test]
async fn a_silent_target_is_followed_by_the_next_and_504_comes_after_the_last() {
    let (silent, sound) = (Upstream::start().await, Upstream::start().await);
    silent.script_default(Behaviour::HangBeforeHead);
    let hasty = json!({"deadlines": {"first_byte_ms": 200}});
    let setup = Setup::new()
        .provider("silent", &silent.url())
        .provider_with(&hasty)
        .provider("mute", &silent.url())
        .provider_with(&hasty)
        .provider("sound", &sound.url())
        .model("saved", &["silent", "sound"])
        .in_order()
        .model("lost", &["silent", "mute"])
        .in_order();
    let headgate = Headgate::start(&setup).await;
    let cases = [("saved", 200, ["silent", "sound"]), ("lost", 504, ["silent", "mute"])];
    for (number, (model, status, expected)) in (1..).zip(cases) {
        let streamed = headgate.client().stream(&prompts::stream(model)).await;
        assert_eq!(streamed.status, status, "{model}, streamed");
        drop(streamed.into_reply().await);
        headgate.client().chat(&prompts::chat(model)).await.expect(status);
        for row in &headgate.rows(2 * number).await[..2] {
            assert_eq!(u16::try_from(row.status_code).unwrap(), status);
            let tried: Vec<_> = row.attempts.iter().map(|attempt| attempt.provider_id.as_str()).collect();
            assert_eq!(tried, expected, "{model}");
            assert_eq!(row.attempts[0].error_reason(), ErrorReason::UpstreamTimeout);
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_502_after_the_other_targets() {
    let setup = Setup::new()
        .provider("one", &refusing_url())
        .provider("two", &refusing_url())
        .model("m", &["one", "two"]);
    let headgate = Headgate::start(&setup).await;
    let reply = headgate.client().chat(&prompts::chat("m")).await.expect(502);
    assert_eq!(reply.error_code(), "upstream_failed");
    let row = headgate.only_row().await;
    assert_eq!((row.attempts.len(), row.outcome()), (2, Outcome::Failed));
    assert_eq!((row.cost_nano_usd, row.completion_tokens), (0, 0));
}
