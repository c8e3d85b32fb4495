//! Requests that tests send.

use serde_json::{Value, json};

/// A chat request of one user message.
#[must_use]
pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Count to three, please."}]})
}

/// The same with more members, or others.
#[must_use]
pub fn chat_with(model: &str, members: &Value) -> Value {
    let mut request = chat(model);
    request.as_object_mut().unwrap().extend(members.as_object().expect("an object").clone());
    request
}

/// A chat request whose answer is streamed, without usage.
#[must_use]
pub fn stream(model: &str) -> Value {
    chat_with(model, &json!({"stream": true}))
}

/// A chat request whose answer is streamed, with usage.
#[must_use]
pub fn stream_with_usage(model: &str) -> Value {
    chat_with(model, &json!({"stream": true, "stream_options": {"include_usage": true}}))
}

/// An embeddings request.
#[must_use]
pub fn embed(model: &str, input: &Value) -> Value {
    json!({"model": model, "input": input})
}
