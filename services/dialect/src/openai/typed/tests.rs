//! Translation both ways.

use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::response_format::{Format, JsonSchema};
use headgate_proto::inference::v1::tool_choice::Mode;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRole, ContentPart, EmbeddingInput, FinishReason, ImageUrl, ResponseFormat,
    Tool, ToolCall, ToolChoice,
};
use serde_json::{Value, json};

use super::*;
use crate::openai::request::{peek_chat, peek_embeddings};
use crate::openai::stream::Scanner;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/", $name))
    };
}

fn text(text: &str) -> ContentPart {
    ContentPart { part: Some(Part::Text(text.into())) }
}

fn said(role: ChatRole, content: Vec<ContentPart>) -> ChatMessage {
    ChatMessage { role: role.into(), content, ..ChatMessage::default() }
}

fn prompt() -> ChatPrompt {
    let image = ImageUrl { url: "https://x/i.png".into(), detail: "low".into() };
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments_json: "{\"a\":1}".into(), index: 0 };
    ChatPrompt {
        messages: vec![
            said(ChatRole::System, vec![text("be brief")]),
            said(ChatRole::User, vec![text("what is"), ContentPart { part: Some(Part::ImageUrl(image)) }]),
            ChatMessage { tool_calls: vec![call], ..said(ChatRole::Assistant, vec![]) },
            ChatMessage { tool_call_id: "c1".into(), ..said(ChatRole::Tool, vec![text("42")]) },
        ],
        max_output_tokens: Some(100),
        temperature: Some(0.7),
        stop: vec!["END".into()],
        seed: Some(-7),
        choices: Some(2),
        tools: vec![Tool {
            name: "f".into(),
            parameters_json: r#"{"maximum":123456789012345678901234567890}"#.into(),
            ..Tool::default()
        }],
        tool_choice: Some(ToolChoice { function_name: "f".into(), ..ToolChoice::default() }),
        response_format: Some(ResponseFormat {
            format: Some(Format::JsonSchema(JsonSchema {
                name: "s".into(),
                schema_json: "{}".into(),
                strict: Some(true),
            })),
        }),
        user: "u".into(),
        ..ChatPrompt::default()
    }
}

#[test]
fn a_prompt_becomes_a_body() {
    let facts = check_chat(&prompt()).unwrap();
    assert_eq!((facts.max_output_tokens, facts.choices, facts.include_usage), (Some(100), 2, false));
    let body = encode_chat(&prompt(), "m", true, Some(50));
    assert!(String::from_utf8_lossy(&body).contains("123456789012345678901234567890"));
    assert!(String::from_utf8_lossy(&body).contains("\"temperature\":0.7,"));
    let peek = peek_chat(&body).unwrap();
    assert!(peek.stream && peek.include_usage);
    assert_eq!((peek.max_output_tokens, peek.choices), (Some(50), 2));
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["tools"][0]["function"]["parameters"] = Value::Null;
    body["temperature"] = Value::Null;
    assert_eq!(
        body,
        json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 50,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "what is"},
                    {"type": "image_url", "image_url": {"url": "https://x/i.png", "detail": "low"}}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"type": "function", "id": "c1", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
            ],
            "temperature": null, "stop": ["END"], "seed": -7, "n": 2, "user": "u",
            "tools": [{"type": "function", "function": {"name": "f", "parameters": null}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": true}},
        })
    );
}

#[test]
fn unset_parameters_are_not_written() {
    let prompt =
        ChatPrompt { messages: vec![said(ChatRole::User, vec![text("hi")])], ..ChatPrompt::default() };
    let body = encode_chat(&prompt, "m", false, None);
    assert_eq!(body, br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
}

#[test]
fn faults_of_a_prompt_name_their_field() {
    type Break = fn(&mut ChatPrompt);
    let cases: [(Break, &str); 18] = [
        (|p| p.messages.clear(), "messages"),
        (|p| p.messages[0].role = 0, "messages[0].role"),
        (|p| p.messages[0].role = 99, "messages[0].role"),
        (|p| p.messages[0].content.clear(), "messages[0].content"),
        (|p| p.messages[0].content[0].part = None, "messages[0].content[0]"),
        (|p| p.messages[0].tool_call_id = "x".into(), "messages[0].tool_call_id"),
        (|p| p.messages[3].tool_call_id.clear(), "messages[3].tool_call_id"),
        (|p| p.messages[2].tool_calls[0].id.clear(), "messages[2].tool_calls[0].id"),
        (|p| p.max_output_tokens = Some(0), "max_output_tokens"),
        (|p| p.choices = Some(129), "choices"),
        (|p| p.temperature = Some(f32::NAN), "temperature"),
        (|p| p.top_p = Some(1.5), "top_p"),
        (|p| p.stop = vec!["x".into(); 5], "stop"),
        (|p| p.tools[0].name = "a b".into(), "tools[0].name"),
        (|p| p.tools[0].parameters_json = "[".into(), "tools[0].parameters_json"),
        (|p| p.tool_choice = Some(ToolChoice::default()), "tool_choice.mode"),
        (|p| p.tools.clear(), "tool_choice.function_name"),
        (|p| p.response_format = Some(ResponseFormat { format: None }), "response_format"),
    ];
    for (spoil, field) in cases {
        let mut prompt = prompt();
        spoil(&mut prompt);
        assert_eq!(check_chat(&prompt).unwrap_err().field.as_deref(), Some(field));
    }
    let free = ToolChoice { mode: Mode::Required.into(), function_name: String::new() };
    assert!(check_chat(&ChatPrompt { tool_choice: Some(free), ..prompt() }).is_ok());
}

#[test]
fn real_answers_are_read() {
    let answer = decode_chat(fixture!("llamacpp/chat_tool_required.json"), "mine").unwrap();
    assert_eq!((answer.model.as_str(), answer.created_unix_seconds), ("mine", 1_795_227_646));
    assert!(answer.id.starts_with("chatcmpl-"));
    let message = answer.choices[0].message.clone().unwrap();
    assert!(message.content.is_empty());
    assert_eq!(message.tool_calls.len(), 2);
    assert_eq!(message.tool_calls[1].arguments_json, "{\"city\": \"Paris\"}");
    assert_eq!(answer.choices[0].finish_reason(), FinishReason::Length);
    let two = decode_chat(fixture!("llamacpp/chat_n2.json"), "mine").unwrap();
    assert_eq!(two.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    let bodies: [&[u8]; 4] = [b"{}", b"[]", br#"{"choices":[{}]}"#, fixture!("llamacpp/err_401_no_key.json")];
    for body in bodies {
        assert!(decode_chat(body, "m").is_err());
    }
    let fault = decode_chat(br#"{"choices":"secret"}"#, "m").unwrap_err();
    assert!(!fault.message.contains("secret"), "{}", fault.message);
}

/// The names and arguments of all calls of a stream, put together.
fn calls(stream: &[u8], piece: usize) -> Vec<(String, String)> {
    let mut scanner = Scanner::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    for piece in stream.chunks(piece) {
        scanner.push(bytes::Bytes::copy_from_slice(piece));
        while let Some(event) = scanner.next() {
            let event = event.unwrap();
            let data = event.data();
            if data.as_ref() == b"[DONE]" {
                continue;
            }
            for call in decode_chat_event(&data, "m")
                .unwrap()
                .choices
                .into_iter()
                .flat_map(|choice| choice.tool_calls)
            {
                calls.resize((call.index as usize + 1).max(calls.len()), Default::default());
                calls[call.index as usize].0 += &call.name;
                calls[call.index as usize].1 += &call.arguments_json;
            }
        }
    }
    calls
}

#[test]
fn tool_calls_are_whole_however_the_stream_is_cut() {
    let stream = fixture!("llamacpp/chat_tool_required_stream.sse");
    let paris = ("get_weather".to_string(), "{\"city\": \"Paris\"}".to_string());
    for piece in [1, 7, 100, 1000, stream.len()] {
        assert_eq!(calls(stream, piece), [paris.clone(), paris.clone()], "{piece}");
    }
}

#[test]
fn pieces_are_read() {
    let piece = br#"{"id":"x","created":7.9,"choices":[{"index":1,"delta":{"role":"assistant","content":"a",
        "reasoning":"hm","refusal":"no"},"finish_reason":"tool_calls"}]}"#;
    let delta = decode_chat_event(piece, "m").unwrap();
    let choice = &delta.choices[0];
    assert_eq!(
        (choice.index, choice.role(), choice.finish_reason()),
        (1, ChatRole::Assistant, FinishReason::ToolCalls)
    );
    assert_eq!(
        (choice.content.as_str(), choice.reasoning_content.as_str(), choice.refusal.as_str()),
        ("a", "hm", "no")
    );
    assert_eq!(delta.created_unix_seconds, 7);
    let usage = decode_chat_event(br#"{"choices":[],"usage":{}}"#, "m").unwrap();
    assert!(usage.choices.is_empty());
    assert!(decode_chat_event(b"x", "m").is_err());
}

#[test]
fn texts_become_a_body_and_vectors_come_back_in_order() {
    let input =
        EmbeddingInput { texts: vec!["a".into(), "b".into()], dimensions: Some(3), user: String::new() };
    let body = encode_embed(&input, "m");
    assert_eq!(body, br#"{"model":"m","input":["a","b"],"dimensions":3,"encoding_format":"float"}"#);
    assert!(check_embed(&input).unwrap().prompt_bytes >= peek_embeddings(&body).unwrap().prompt_bytes);
    let list = decode_embed(
        br#"{"data":[{"index":1,"embedding":"AACAPwAAAL8="},{"index":0,"embedding":[0.5]}]}"#,
        "m",
    );
    let vectors: Vec<_> = list.unwrap().embeddings.into_iter().map(|one| (one.index, one.values)).collect();
    assert_eq!(vectors, [(0, vec![0.5]), (1, vec![1.0, -0.5])]);
    for texts in [vec![], vec![String::new()]] {
        assert!(check_embed(&EmbeddingInput { texts, ..EmbeddingInput::default() }).is_err());
    }
    assert!(decode_embed(br#"{"data":[{"embedding":null}]}"#, "m").is_err());
}
