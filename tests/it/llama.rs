//! A real llama.cpp server with a real model as upstream.

use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::llama::{Llama, MODEL, Task};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::sse::Event;
use serde_json::{Value, json};

use crate::clients::run;

async fn gate(chat: &Llama, embeddings: &Llama) -> Headgate {
    // One thread of a busy machine reads a prompt in seconds.
    let deadlines = json!({"deadlines": {"first_byte_ms": 120_000, "inter_chunk_ms": 120_000}});
    let setup = Setup::new()
        .provider("llama-chat", chat.url())
        .provider_with(&deadlines)
        .provider("llama-embeddings", embeddings.url())
        .provider_with(&deadlines)
        .model(MODEL, &["llama-chat"])
        .model_with(&json!({"operations": ["chat"]}))
        .model("gemma-embeddings", &["llama-embeddings"])
        .model_with(&json!({"operations": ["embeddings"]}));
    Headgate::start(&setup).await
}

/// Asserts what OpenAI documents as required and llama.cpp leaves out.
fn assert_documented_choice(body: &Value) {
    let choice = body["choices"][0].as_object().expect("a choice");
    assert!(choice.contains_key("logprobs"), "no logprobs: {body}");
    assert!(choice["message"].as_object().is_some_and(|m| m.contains_key("refusal")), "no refusal: {body}");
}

#[tokio::test]
async fn a_real_model_serves_every_client_and_is_metered_exactly() {
    let (chat, embeddings) = tokio::join!(Llama::start(Task::Chat), Llama::start(Task::Embeddings));
    let headgate = gate(&chat, &embeddings).await;
    let client = headgate.client();

    let request = prompts::chat_with(MODEL, &json!({"max_tokens": 12, "seed": 1}));
    let body = client.chat(&request).await.expect(200).json();
    assert_documented_choice(&body);
    assert_eq!(body["model"], MODEL);
    let counted = body["usage"]["completion_tokens"].as_u64().unwrap();
    let row = headgate.only_row().await;
    assert_eq!((u64::from(row.completion_tokens), row.estimated), (counted, false));
    assert_eq!(u64::from(row.prompt_tokens), body["usage"]["prompt_tokens"].as_u64().unwrap());

    let streamed = prompts::chat_with(MODEL, &json!({"max_tokens": 12, "seed": 1, "stream": true}));
    let (events, clean) = client.stream(&streamed).await.read_to_end().await;
    assert!(clean && events.last().is_some_and(Event::is_done));
    assert_eq!(events.iter().filter_map(Event::finish_reason).count(), 1);
    assert!(events.iter().all(|event| !event.json()["usage"].is_object()), "usage nobody asked for");
    let row = headgate.rows(2).await.remove(0);
    assert!(row.streamed && !row.estimated && row.completion_tokens > 0);
    assert_eq!(row.outcome(), Outcome::Succeeded);

    let url = headgate.url();
    let sdk = [&url, KEY, MODEL, "gemma-embeddings", "--dimensions", "640", "--max-tokens", "8"];
    assert_eq!(run("openai_sdk.py", &sdk).await, 9);
    let address = headgate.listeners().grpc.to_string();
    assert_eq!(run("grpc_by_reflection.py", &[&address, KEY, MODEL, "--max-tokens", "8"]).await, 7);
}

#[tokio::test]
async fn llama_cpp_errors_come_out_as_openais() {
    let (chat, embeddings) = tokio::join!(Llama::start(Task::Chat), Llama::start(Task::Embeddings));
    let headgate = gate(&chat, &embeddings).await;
    let client = headgate.client();

    // llama.cpp's `code` is a number and it has no `param`; OpenAI's SDKs read strings.
    let long = prompts::chat_with(
        MODEL,
        &json!({"messages": [{"role": "user", "content": "word ".repeat(6000)}], "max_tokens": 4}),
    );
    let refused = client.chat(&long).await.expect(400).json();
    let error = refused["error"].as_object().expect("an error");
    assert!(error["message"].is_string() && error["type"].is_string(), "{refused}");
    assert!(error["code"].is_string() || error["code"].is_null(), "{refused}");
    assert!(error.contains_key("param"), "{refused}");

    // llama.cpp answers whatever model is asked for; the gateway doesn't.
    let unknown = client.chat(&prompts::chat("gpt-4o")).await.expect(404);
    assert_eq!(unknown.error_code(), "model_not_found");
}
