//! What a model gives requests that do not say so themselves: in the catalog, upstream, and in what is held.

use std::time::Duration;

use bytes::Bytes;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, Dialect, DialectBody, StreamChatRequest,
};
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::upstream::{Answer, Upstream};
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

use crate::budget::{CENT, cent_model, settled, tenant_scope};
use crate::clients::run;

/// How long a change of the catalog may take to reach the router of a busy machine.
const WATCHED: Duration = Duration::from_secs(20);
const COMPLETIONS: &str = "/v1/completions";
/// What a body says itself, and what a parameter deep in it does not say.
const OWN: &str = r#""temperature":1.50, "top_p" : null,"x_unknown":{"seed":12345678901234567890123}"#;

fn defaults() -> Value {
    json!({"max_output_tokens": 3, "temperature": 0.25, "top_p": 0.5, "presence_penalty": -1.5, "stop": ["END"], "seed": 7})
}

async fn gate() -> (Upstream, Headgate) {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).model_with(&json!({"request_defaults": defaults()}));
    let headgate = Headgate::start(&setup).await;
    (upstream, headgate)
}

/// What of the last request is a parameter that may have a default.
fn sent(upstream: &Upstream) -> Value {
    let body = upstream.journal().pop().expect("a request").json();
    let names =
        ["max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "stop", "seed"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.clone()))).collect()
}

/// The defaults as an upstream gets them, with some in place of others.
fn given(others: &Value) -> Value {
    let mut given = defaults();
    let members = given.as_object_mut().unwrap();
    members.remove("max_output_tokens");
    members.insert("max_tokens".into(), json!(3));
    members.extend(others.as_object().unwrap().clone());
    given
}

#[tokio::test]
async fn what_a_request_does_not_say_is_the_model_s_default() {
    let (upstream, headgate) = gate().await;
    let client = headgate.client();
    let own = json!({"temperature": 1.5});
    for (members, expected) in [
        (String::new(), given(&json!({}))),
        (format!("{OWN},"), given(&own)),
        (r#""stop":[],"#.into(), given(&json!({"stop": []}))),
    ] {
        let asked = format!(r#""model":"m",{members}"messages":[{{"role":"user","content":"hi","seed":1}}]"#);
        client.post_raw("/v1/chat/completions", format!("{{{asked}}}")).await.expect(200);
        assert_eq!(sent(&upstream), expected);
        client.stream_raw(format!(r#"{{"stream":true,{asked}}}"#)).await.read_to_end().await;
        assert_eq!(sent(&upstream), expected);
        let asked = format!(r#""model":"m",{members}"prompt":"\"seed\":1""#);
        client.post_raw(COMPLETIONS, format!("{{{asked}}}")).await.expect(200);
        assert_eq!(sent(&upstream), expected);
        client.stream_from(COMPLETIONS, format!(r#"{{"stream":true,{asked}}}"#)).await.read_to_end().await;
        assert_eq!(sent(&upstream), expected);
    }
    let entry = upstream.journal().swap_remove(4);
    assert!(entry.text().contains(&OWN.replace("null", "0.5")), "every other byte stays: {}", entry.text());
    // Each answer was as long as the default lets it be.
    assert!(headgate.rows(12).await.iter().all(|row| row.completion_tokens == 3));

    for name in ["max_tokens", "max_completion_tokens"] {
        client.chat(&prompts::chat_with("m", &json!({name: 4}))).await.expect(200);
        let body = upstream.journal().pop().unwrap().json();
        let limits = ["max_tokens", "max_completion_tokens"].map(|limit| body.get(limit).cloned());
        assert_eq!(limits.into_iter().flatten().collect::<Vec<_>>(), [json!(4)], "{name}");
    }
    client.post("/v1/embeddings", &prompts::embed("m", &json!("a text"))).await.expect(200);
    assert_eq!(sent(&upstream), json!({}));
}

fn typed(prompt: ChatPrompt) -> ChatRequest {
    let text = ContentPart { part: Some(Part::Text("Count.".into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![text], ..ChatMessage::default() };
    let encoding = Some(Encoding::Typed(ChatPrompt { messages: vec![message], ..prompt }));
    ChatRequest { model: "m".into(), encoding, facts: None }
}

fn dialect(body: &'static str) -> ChatRequest {
    let body = DialectBody { dialect: Dialect::OpenaiChat.into(), body: Bytes::from_static(body.as_bytes()) };
    ChatRequest { model: "m".into(), encoding: Some(Encoding::Dialect(body)), facts: None }
}

#[tokio::test]
async fn over_grpc_it_is_the_same_in_every_encoding() {
    let (upstream, headgate) = gate().await;
    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    let own = ChatPrompt {
        max_output_tokens: Some(2),
        temperature: Some(0.0),
        stop: vec!["mine".into()],
        ..ChatPrompt::default()
    };
    for (request, others) in [
        (typed(ChatPrompt::default()), json!({})),
        (typed(own), json!({"max_tokens": 2, "temperature": 0.0, "stop": ["mine"]})),
        (dialect(r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":null}"#), json!({})),
        (
            dialect(r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":8}"#),
            json!({"seed": 8}),
        ),
    ] {
        inference.chat(request.clone()).await.unwrap();
        assert_eq!(sent(&upstream), given(&others));
        let stream = StreamChatRequest { request: Some(request) };
        let mut answer = inference.stream_chat(stream).await.unwrap().into_inner();
        while answer.message().await.unwrap().is_some() {}
        assert_eq!(sent(&upstream), given(&others));
    }
}

#[tokio::test]
async fn openai_sdk() {
    let upstream = Upstream::start().await;
    let defaults = json!({"request_defaults": {"temperature": 0.25, "stop": ["END"]}});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).model_with(&defaults)).await;
    assert_eq!(run("openai_completions.py", &[&headgate.url(), KEY, "m"]).await, 5);
    let journal = upstream.journal();
    assert!(!journal.is_empty());
    for entry in journal {
        assert!(
            entry.json()["temperature"].is_number() && !entry.json()["stop"].is_null(),
            "{}",
            entry.text()
        );
    }
}

#[tokio::test]
async fn a_default_limit_is_what_a_request_is_held_for_and_less_where_less_is_left() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 1000, ..Answer::default() });
    let setup = cent_model(&upstream)
        .model_with(&json!({"request_defaults": {"max_output_tokens": 100}}))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.025"}));
    let headgate = Headgate::start(&setup).await;
    let ask = async |cap: Option<&str>, tokens: u32| {
        let reply = headgate.client().chat(&prompts::chat("m")).await.expect(200);
        assert_eq!(reply.header("x-headgate-output-cap"), cap);
        assert_eq!(reply.json()["usage"]["completion_tokens"], tokens);
        assert_eq!(upstream.journal().pop().unwrap().json()["max_tokens"], tokens);
        settled(&headgate, &tenant_scope()).await
    };
    // The model's maximum would be ten cents.
    assert_eq!(ask(None, 100).await, CENT);
    assert_eq!(ask(None, 100).await, 2 * CENT);
    assert_eq!(ask(Some("50"), 50).await, CENT * 5 / 2);
    headgate.client().chat(&prompts::chat("m")).await.expect(403);
}

#[tokio::test]
async fn a_change_is_followed_kept_over_a_restart_and_no_other_request() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::new().provider("mock", &upstream.url())).await;
    let admin = |headgate: &Headgate| headgate.anonymous().with_key(&headgate.operator_token());
    let registered = json!({
        "served_name": "m", "url": upstream.url(), "engine": "vllm",
        "request_defaults": {"temperature": 0.25, "max_output_tokens": 3},
    });
    let made = admin(&headgate).post("/admin/models/registry", &registered).await.expect(200).json();
    assert_eq!((&made["model"]["engine"], &made["model"]["provider_id"]), (&json!("vllm"), &json!("mock")));
    let once = headgate.client().with_header("idempotency-key", "once");
    let first = eventually(WATCHED, "the model", || async {
        Some(once.chat(&prompts::chat("m")).await).filter(|reply| reply.status == 200)
    })
    .await;
    assert_eq!(sent(&upstream), json!({"temperature": 0.25, "max_tokens": 3}));
    headgate.only_row().await;

    let patch = json!({"request_defaults": {"temperature": 0.5}});
    admin(&headgate).send_json(Method::PATCH, "/admin/models/m", &patch).await.expect(200);
    let ask = async |headgate: &Headgate| {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        sent(&upstream)
    };
    eventually(WATCHED, "the new defaults", || async {
        (ask(&headgate).await == json!({"temperature": 0.5})).then_some(())
    })
    .await;
    // It is what the consumer asked that must be the same.
    let asked = upstream.journal().len();
    let again = once.chat(&prompts::chat("m")).await.expect(200);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
    assert_eq!(upstream.journal().len(), asked);

    // Whoever registers it again finds it there.
    admin(&headgate).post("/admin/models/registry", &registered).await.expect(200);
    headgate.kill();
    headgate.restart().await;
    let shown = eventually(WATCHED, "catalog within reach", || async {
        Some(admin(&headgate).get("/admin/models/m").await).filter(|reply| reply.status == 200)
    });
    let shown = shown.await.json();
    let kept = (&shown["model"]["engine"], &shown["model"]["request_defaults"]);
    assert_eq!(kept, (&json!("vllm"), &json!({"temperature": 0.5, "stop": []})));
    eventually(WATCHED, "an answer after the restart", || async {
        Some(headgate.client().chat(&prompts::chat("m")).await).filter(|reply| reply.status == 200)
    })
    .await;
    assert_eq!(sent(&upstream), json!({"temperature": 0.5}));
    let backup = admin(&headgate).get("/admin/backup").await.expect(200).json();
    assert_eq!(backup["backup"]["models"][0]["request_defaults"], json!({"temperature": 0.5, "stop": []}));

    let none = json!({"request_defaults": {}});
    admin(&headgate).send_json(Method::PATCH, "/admin/models/m", &none).await.expect(200);
    eventually(WATCHED, "no defaults", || async { (ask(&headgate).await == json!({})).then_some(()) }).await;
}
