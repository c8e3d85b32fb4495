//! What passes, what is changed, and what is told.

use headgate_inference_adapter::Config;
use headgate_kit::error::ErrorReason;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::inference::v1::{
    self as inference, Dialect, DialectBody, EmbeddingInput, chat_response, embed_request, embed_response,
};
use tonic::Code;

use crate::support::{BODY, SECRET, ask, body, client, completions, dialect, target, typed, with_config};
use crate::upstream::{Step, Upstream, answer};

const ANSWER: &str = r#"{"id":"c1","model":"theirs-0613","odd":[1e400],"created":5,"choices":[{"index":0,"finish_reason":"stop","logprobs":null,"message":{"role":"assistant","content":"hello","refusal":null}}],"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#;

#[tokio::test]
async fn a_dialect_body_keeps_every_byte_but_the_model() {
    let upstream = Upstream::answering(200, "", ANSWER).await;
    let response = client().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap().into_inner();
    let seen = upstream.seen().remove(0);
    assert_eq!(String::from_utf8(seen.body).unwrap(), BODY.replace("mine", "theirs"));
    assert!(seen.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    for header in [
        format!("authorization: Bearer {SECRET}"),
        "content-type: application/json".into(),
        "accept-encoding: identity".into(),
        concat!("user-agent: headgate/", env!("CARGO_PKG_VERSION")).into(),
    ] {
        assert!(seen.head.contains(&format!("{header}\r\n")), "{header} in {}", seen.head);
    }
    assert_eq!(body(&response), ANSWER.as_bytes());
    let usage = response.response.unwrap().usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (3, 2, 1));
    assert_eq!(response.output_bytes, 5);
}

#[tokio::test]
async fn the_cap_is_spliced_in_and_a_whole_answer_is_not_streamed() {
    let upstream = Upstream::answering(200, "", ANSWER).await;
    let asked = BODY.replace("\"x_big\"", "\"stream\":true,\"max_completion_tokens\":900,\"x_big\"");
    let mut ask = ask(target(&upstream.base_url), dialect(asked.clone()));
    ask.output_token_cap = Some(7);
    client().chat(ask).await.unwrap();
    let expected = asked.replace("mine", "theirs").replace("900", "7").replace("true", "false");
    assert_eq!(String::from_utf8(upstream.seen().remove(0).body).unwrap(), expected);
}

/// A target that has a default of everything.
fn with_defaults(base_url: &str) -> adapter::Target {
    let defaults = inference::RequestDefaults {
        max_output_tokens: Some(3),
        temperature: Some(0.2),
        top_p: Some(0.9),
        frequency_penalty: Some(-1.0),
        presence_penalty: Some(1.0),
        stop: vec!["END".into()],
        seed: Some(7),
    };
    adapter::Target { request_defaults: Some(defaults), ..target(base_url) }
}

#[tokio::test]
async fn what_a_question_does_not_say_is_the_target_s_default_in_every_encoding() {
    let answer = ANSWER.replace("\"message\"", "\"text\":\"hello\",\"message\"");
    let upstream = Upstream::answering(200, "", &answer).await;
    let mut client = client();
    let others = r#""top_p":0.9,"frequency_penalty":-1,"presence_penalty":1,"stop":["END"],"seed":7,"#;
    let asked = r#"{"model":"mine","temperature":1.5,"messages":[{"role":"user"}],"prompt":"a"}"#;
    for question in [dialect(asked), completions(asked)] {
        let mut request = ask(with_defaults(&upstream.base_url), question);
        // The caller alone knows which limit counts.
        request.output_token_cap = Some(7);
        client.chat(request).await.unwrap();
        let expected =
            asked.replace("mine", "theirs").replacen('{', &format!("{{{others}\"max_tokens\":7,"), 1);
        assert_eq!(String::from_utf8(upstream.seen().pop().unwrap().body).unwrap(), expected);
    }
    client.chat(ask(with_defaults(&upstream.base_url), typed("hi"))).await.unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&upstream.seen().pop().unwrap().body).unwrap();
    assert_eq!((&sent["temperature"], &sent["stop"]), (&0.2.into(), &serde_json::json!(["END"])));
    assert_eq!(sent["max_tokens"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_completion_goes_to_its_own_path_and_keeps_every_byte() {
    let answer = r#"{"id":"cmpl-1","odd":[1e400],"choices":[{"index":0,"text":"hello"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let upstream = Upstream::answering(200, "", answer).await;
    let asked = r#"{ "prompt":["a","b"], "model" : "mine", "x_big":12345678901234567890 }"#;
    let mut request = ask(target(&upstream.base_url), completions(asked));
    request.output_token_cap = Some(7);
    let response = client().chat(request).await.unwrap().into_inner();
    let seen = upstream.seen().remove(0);
    assert!(seen.head.starts_with("POST /v1/completions HTTP/1.1\r\n"), "{}", seen.head);
    let sent = String::from_utf8(seen.body).unwrap();
    assert_eq!(sent, asked.replace("mine", "theirs").replacen('{', "{\"max_tokens\":7,", 1));
    assert_eq!(body(&response), answer.as_bytes());
    assert_eq!((response.output_bytes, response.response.unwrap().usage.unwrap().completion_tokens), (5, 2));
}

#[tokio::test]
async fn the_typed_encoding_is_translated_both_ways() {
    let upstream = Upstream::answering(200, "", ANSWER).await;
    let response = client().chat(ask(target(&upstream.base_url), typed("hi"))).await.unwrap().into_inner();
    let sent: serde_json::Value = serde_json::from_slice(&upstream.seen().remove(0).body).unwrap();
    assert_eq!((&sent["model"], &sent["messages"][0]["role"]), (&"theirs".into(), &"user".into()));
    let Some(chat_response::Encoding::Typed(completion)) = response.response.unwrap().encoding else {
        panic!("not typed");
    };
    assert_eq!((completion.model.as_str(), completion.choices.len()), ("mine", 1));
}

#[tokio::test]
async fn an_answer_in_many_frames_is_whole_and_one_beyond_the_bound_is_refused() {
    let long = ANSWER.replace("hello", &"hello ".repeat(100_000));
    let upstream = Upstream::answering(200, "", &long).await;
    let request = ask(target(&upstream.base_url), dialect(BODY));
    let response = client().chat(request.clone()).await.unwrap().into_inner();
    assert_eq!(body(&response), long.as_bytes());
    let (mut small, _) = with_config(Config { max_response_bytes: 4096, ..Config::default() });
    let failure = headgate_kit::Failure::from_status(&small.chat(request).await.unwrap_err());
    assert_eq!(failure.reason, ErrorReason::UpstreamInvalid);
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::answering(200, "", ANSWER).await;
    let mut client = client();
    for _ in 0..5 {
        client.chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap();
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (5, 1));
}

fn embeddings(body: &str) -> inference::EmbedRequest {
    let body = DialectBody { dialect: Dialect::OpenaiEmbeddings.into(), body: body.to_owned().into() };
    let encoding = Some(embed_request::Encoding::Dialect(body));
    inference::EmbedRequest { encoding, ..inference::EmbedRequest::default() }
}

#[tokio::test]
async fn embeddings_come_in_the_form_that_was_asked_for() {
    let floats = r#"{"object":"list","data":[{"index":0,"embedding":[1.0,-2.5]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let upstream = Upstream::answering(200, "", floats).await;
    let mut client = client();
    let base64 = floats.replace("[1.0,-2.5]", "\"AACAPwAAIMA=\"");
    for (asked, expected) in [
        (r#"{"model":"mine","input":"a"}"#, floats),
        (r#"{"model":"mine","input":"a","encoding_format":"base64"}"#, &base64),
    ] {
        let request = adapter::EmbedRequest {
            target: Some(target(&upstream.base_url)),
            request: Some(embeddings(asked)),
        };
        let response = client.embed(request).await.unwrap().into_inner().response.unwrap();
        let Some(embed_response::Encoding::Dialect(body)) = response.encoding else { panic!("typed") };
        assert_eq!((body.body.as_ref(), body.dialect()), (expected.as_bytes(), Dialect::OpenaiEmbeddings));
        assert_eq!(response.usage.unwrap().prompt_tokens, 2);
        assert_eq!(upstream.seen().pop().unwrap().body, asked.replace("mine", "theirs").into_bytes());
    }
    let input = EmbeddingInput { texts: vec!["a".into()], ..EmbeddingInput::default() };
    let encoding = Some(embed_request::Encoding::Typed(input));
    let typed = inference::EmbedRequest { model: "mine".into(), encoding, facts: None };
    let request = adapter::EmbedRequest { target: Some(target(&upstream.base_url)), request: Some(typed) };
    let response = client.embed(request).await.unwrap().into_inner().response.unwrap();
    let Some(embed_response::Encoding::Typed(list)) = response.encoding else { panic!("dialect") };
    assert_eq!((list.model.as_str(), list.embeddings[0].values.as_slice()), ("mine", &[1.0, -2.5][..]));
    assert!(upstream.seen().pop().unwrap().head.starts_with("POST /v1/embeddings "));
}

#[tokio::test]
async fn what_cannot_be_sent_is_invalid_and_strangers_are_refused() {
    let mut client = client();
    let upstream = Upstream::start(vec![Step::Write(answer(200, "", ANSWER.as_bytes()))]).await;
    let embeddings_body = inference::ChatRequest {
        encoding: Some(inference::chat_request::Encoding::Dialect(DialectBody {
            dialect: Dialect::OpenaiEmbeddings.into(),
            body: BODY.into(),
        })),
        ..inference::ChatRequest::default()
    };
    let mut unknown = target(&upstream.base_url);
    unknown.kind = 0;
    for (bad, field) in [
        (ask(unknown, dialect(BODY)), "target.kind"),
        (ask(target("ftp://h"), dialect(BODY)), "target.base_url"),
        (ask(target(&upstream.base_url), embeddings_body), "request.dialect.dialect"),
        (ask(target(&upstream.base_url), dialect(r#"{"model":"a"}"#)), "messages"),
        (ask(target(&upstream.base_url), inference::ChatRequest::default()), "request"),
        (adapter::ChatRequest::default(), "request"),
    ] {
        let failure = headgate_kit::Failure::from_status(&client.chat(bad).await.unwrap_err());
        assert_eq!(
            (failure.reason, failure.metadata["field"].as_str()),
            (ErrorReason::InvalidRequest, field)
        );
    }
    assert!(upstream.seen().is_empty());

    let deps = headgate_inference_adapter::Deps {
        clock: headgate_kit::clock::Clock::system(),
        tasks: headgate_kit::tasks::Tasks::new(),
        registry: prometheus::Registry::new(),
        master_key: crate::support::key(),
    };
    let server =
        headgate_inference_adapter::Adapter::build(Config::default(), deps).unwrap().adapter_service();
    // Straight at the server, not over a peer connection.
    let mut stranger = adapter::adapter_service_client::AdapterServiceClient::new(server);
    let status = stranger.chat(adapter::ChatRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
