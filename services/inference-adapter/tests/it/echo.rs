//! The built-in provider, in both encodings.

use headgate_proto::adapter::v1 as adapter;
use headgate_proto::inference::v1::{
    self as inference, ContentPart, EmbeddingInput, FinishReason, chat_response, content_part, embed_request,
    embed_response,
};

use crate::support::{ask, ask_stream, body, client, completions, dialect, echo, stream, typed};

#[tokio::test]
async fn chat_says_back_what_it_is_told() {
    let mut client = client();
    let asked = r#"{"model":"echo","messages":[{"role":"user","content":"one two three"}]}"#;
    let mut request = ask(echo(), dialect(asked));
    request.output_token_cap = Some(2);
    let response = client.chat(request).await.unwrap().into_inner();
    let json: serde_json::Value = serde_json::from_slice(&body(&response)).unwrap();
    assert_eq!(json["choices"][0]["message"]["content"], "one two ");
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    let usage = response.response.unwrap().usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (3, 2));

    let response = client.chat(ask(echo(), typed("one two three"))).await.unwrap().into_inner();
    let Some(chat_response::Encoding::Typed(completion)) = response.response.unwrap().encoding else {
        panic!("not typed");
    };
    let text = ContentPart { part: Some(content_part::Part::Text("one two three".into())) };
    let choice = &completion.choices[0];
    assert_eq!(choice.message.as_ref().unwrap().content, [text]);
    assert_eq!((choice.finish_reason(), completion.model.as_str()), (FinishReason::Stop, "mine"));
}

#[tokio::test]
async fn a_stream_is_word_by_word() {
    let mut client = client();
    let asked = r#"{"model":"echo","messages":[{"role":"user","content":"one two three"}]}"#;
    for include_usage in [true, false] {
        let got = stream(&mut client, ask_stream(echo(), dialect(asked), include_usage)).await.unwrap();
        assert_eq!((got.failure, got.content_chunks, got.usage.len()), (None, 3, 1));
        assert_eq!(got.events.contains("\"usage\""), include_usage);
        assert!(got.pieces >= 6 && got.events.ends_with("data: [DONE]\n\n"));
    }
    let got = stream(&mut client, ask_stream(echo(), typed("one two three"), false)).await.unwrap();
    assert_eq!(
        (got.typed.as_str(), got.content_chunks, got.usage[0].completion_tokens),
        ("one two three", 3, 3)
    );
}

#[tokio::test]
async fn completions_say_every_prompt_back() {
    let mut client = client();
    let asked = r#"{"model":"echo","prompt":["one two","three"],"n":2}"#;
    let response = client.chat(ask(echo(), completions(asked))).await.unwrap().into_inner();
    let json: serde_json::Value = serde_json::from_slice(&body(&response)).unwrap();
    let texts: Vec<_> = json["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["one two", "one two", "three", "three"]);
    assert_eq!(response.response.unwrap().usage.unwrap().completion_tokens, 6);
    for include_usage in [true, false] {
        let got = stream(&mut client, ask_stream(echo(), completions(asked), include_usage)).await.unwrap();
        assert_eq!((got.failure, got.content_chunks, got.usage.len()), (None, 6, 1));
        assert_eq!(got.events.contains("\"usage\""), include_usage);
        assert!(got.events.ends_with("data: [DONE]\n\n"));
    }
}

#[tokio::test]
async fn typed_embeddings_are_vectors() {
    let input = EmbeddingInput {
        texts: vec!["a".into(), "b".into()],
        dimensions: Some(5),
        ..EmbeddingInput::default()
    };
    let encoding = Some(embed_request::Encoding::Typed(input));
    let request = inference::EmbedRequest { model: "mine".into(), encoding, facts: None };
    let request = adapter::EmbedRequest { target: Some(echo()), request: Some(request) };
    let response = client().embed(request).await.unwrap().into_inner().response.unwrap();
    let Some(embed_response::Encoding::Typed(list)) = response.encoding else { panic!("dialect") };
    assert_eq!(
        list.embeddings.iter().map(|e| (e.index, e.values.len())).collect::<Vec<_>>(),
        [(0, 5), (1, 5)]
    );
    assert_ne!(list.embeddings[0].values, list.embeddings[1].values);
    assert_eq!(response.usage.unwrap().prompt_tokens, 2);
}
