//! Mending real answers.

use serde_json::{Value, json};

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/", $name))
    };
}

fn mended(body: &'static [u8]) -> (Value, ChatFacts, bool) {
    let body = Bytes::from_static(body);
    let (out, facts) = mend_chat(body.clone()).unwrap();
    (serde_json::from_slice(&out).unwrap(), facts, out.as_ptr() == body.as_ptr())
}

#[test]
fn llamacpp_answers_get_their_missing_members_and_nothing_else() {
    let bodies: [&[u8]; 4] = [
        fixture!("llamacpp/chat.json"),
        fixture!("llamacpp/chat_n2.json"),
        fixture!("llamacpp/chat_logprobs.json"),
        fixture!("llamacpp/chat_tool_required.json"),
    ];
    for body in bodies {
        let (out, facts, _) = mended(body);
        let mut expected: Value = serde_json::from_slice(body).unwrap();
        for choice in expected["choices"].as_array_mut().unwrap() {
            choice["message"]["refusal"] = Value::Null;
            let logprobs = choice.get("logprobs").cloned().unwrap_or_default();
            choice["logprobs"] = logprobs;
        }
        assert_eq!(out, expected);
        let counted = facts.usage.unwrap();
        assert_eq!(u64::from(counted.completion_tokens), out["usage"]["completion_tokens"].as_u64().unwrap());
        assert_eq!(Some(counted), usage(body));
        assert!(facts.output_bytes > 0);
    }
}

#[test]
fn numbers_survive_mending() {
    let body =
        Bytes::from_static(br#"{"x":1e400,"choices":[{"message":{},"y":123456789012345678901234567890}]}"#);
    let (out, facts) = mend_chat(body).unwrap();
    assert_eq!(
        out,
        r#"{"x":1e400,"choices":[{"message":{"content":null,"refusal":null},"logprobs":null,"y":123456789012345678901234567890}]}"#
    );
    assert_eq!(facts, ChatFacts::default());
}

#[test]
fn a_whole_answer_is_not_copied() {
    let (_, facts, same) = mended(
        br#"{"choices":[{"message":{"role":"assistant","content":"abc","refusal":null},"logprobs":null}]}"#,
    );
    assert!(same);
    assert_eq!(facts, ChatFacts { usage: None, output_bytes: 3 });
    let (_, _, same) = mended(fixture!("aimock/chat.json"));
    let lacks_members = !String::from_utf8_lossy(fixture!("aimock/chat.json")).contains("logprobs");
    assert_eq!(same, !lacks_members);
}

#[test]
fn what_the_model_produced_is_counted() {
    for (message, bytes) in [
        (r#"{"content":null}"#, 0),
        (r#"{"content":"a\"b"}"#, 4),
        (r#"{"content":[{"text":"a"}],"refusal":null}"#, 14),
        (r#"{"content":"ab","tool_calls":[7]}"#, 5),
        (r#"{"reasoning":"abc","reasoning_content":"ab"}"#, 3),
        (r#"{"reasoning":"ab","reasoning_content":"abc","content":"d"}"#, 4),
        (r#"{"reasoning":"ab","reasoning_content":null,"tool_calls":null}"#, 2),
    ] {
        let body = format!(r#"{{"choices":[{{"message":{message}}},{{"message":{message}}}]}}"#);
        let (_, facts) = mend_chat(Bytes::from(body)).unwrap();
        assert_eq!(facts.output_bytes, 2 * bytes, "{message}");
    }
}

#[test]
fn an_error_with_status_200_is_no_answer() {
    let bodies: [&[u8]; 7] = [
        b"",
        b"[]",
        b"{\"choices\":null}",
        b"{\"choices\":[{\"text\":\"completion\"}]}",
        b"{\"choices\":[{\"message\":\"m\"}]}",
        b"<html>",
        fixture!("llamacpp/err_ctx_overflow.json"),
    ];
    for body in bodies {
        assert!(mend_chat(Bytes::from_static(body)).is_err(), "{}", String::from_utf8_lossy(body));
        assert!(mend_embeddings(Bytes::from_static(body), true).is_err());
    }
}

#[test]
fn usage_is_read_leniently() {
    let full = br#"{"usage":{"prompt_tokens":10,"completion_tokens":5.0,"x":[],
        "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}"#;
    let expected = TokenUsage {
        prompt_tokens: 10,
        completion_tokens: 5,
        cached_tokens: 4,
        reasoning_tokens: 3,
        estimated: false,
    };
    assert_eq!(usage(full), Some(expected));
    let bare = usage(br#"{"usage" : {"prompt_tokens":10,"prompt_tokens_details":null}}"#);
    assert_eq!(bare, Some(TokenUsage { prompt_tokens: 10, ..TokenUsage::default() }));
    for body in [
        "{}",
        "",
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        r#"{"usage":"x"}"#,
        r#"{"a":{"usage":{"prompt_tokens":1}}}"#,
    ] {
        assert_eq!(usage(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn vectors_come_in_the_form_asked_for() {
    let body = Bytes::from_static(
        br#"{"object":"list","data":[{"index":0,"embedding":[1.0,-0.5,0.25]},{"index":1,"embedding":"AACAPwAAAL8="}],"usage":{"prompt_tokens":3}}"#,
    );
    let (out, counted) = mend_embeddings(body.clone(), true).unwrap();
    assert_eq!(counted.unwrap().prompt_tokens, 3);
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        out["data"],
        json!([{"index":0,"embedding":"AACAPwAAAL8AAIA+"},{"index":1,"embedding":"AACAPwAAAL8="}])
    );
    let (out, _) = mend_embeddings(body, false).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        out["data"],
        json!([{"index":0,"embedding":[1.0,-0.5,0.25]},{"index":1,"embedding":[1.0,-0.5]}])
    );
}

#[test]
fn real_vectors_survive_the_way_there_and_back() {
    let floats = Bytes::from_static(fixture!("llamacpp/embeddings.json"));
    let (same, _) = mend_embeddings(floats.clone(), false).unwrap();
    assert_eq!(same.as_ptr(), floats.as_ptr());
    let (there, _) = mend_embeddings(floats.clone(), true).unwrap();
    assert!(there.len() < floats.len());
    let (back, _) = mend_embeddings(there, false).unwrap();
    let read = |body: &[u8]| crate::openai::typed::decode_embed(body, "m").unwrap();
    assert_eq!(read(&back), read(&floats));
    let (base64, _) =
        mend_embeddings(Bytes::from_static(fixture!("llamacpp/embeddings_base64.json")), false).unwrap();
    assert_eq!(read(&base64).embeddings[0].values.len(), 640);
}

#[test]
fn what_is_no_vector_is_refused() {
    for embedding in ["null", "7", "{}", "[\"a\"]", "\"AAA=\"", "\"%\"", "\"AADAfw==\""] {
        let body = Bytes::from(format!(r#"{{"data":[{{"embedding":{embedding}}}]}}"#));
        let base64 = !embedding.starts_with('"');
        let fault = mend_embeddings(body, base64).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("data[0].embedding"), "{embedding}");
    }
}
