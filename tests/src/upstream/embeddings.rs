//! Documents of OpenAI's embeddings API.

use base64::Engine as _;
use serde_json::{Value, json};

const DEFAULT_DIMENSIONS: u64 = 4;

/// The vectors for a request, and the tokens of its texts.
pub(super) fn embeddings(body: &Value) -> (String, u32) {
    let texts = match &body["input"] {
        Value::Array(texts) => texts.len(),
        _ => 1,
    };
    let dimensions = body["dimensions"].as_u64().unwrap_or(DEFAULT_DIMENSIONS);
    let base64 = body["encoding_format"] == "base64";
    let data: Vec<Value> = (0..texts)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": vector(index, dimensions, base64)}))
        .collect();
    let tokens = u32::try_from(texts).unwrap() * 3;
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    (json!({"object": "list", "data": data, "model": body["model"], "usage": usage}).to_string(), tokens)
}

/// The vector of the text at `index`: `index + 0.5`, `index + 1.5` and so on, which floats hold exactly.
fn vector(index: usize, dimensions: u64, base64: bool) -> Value {
    let start = f32::from(u16::try_from(index).unwrap());
    let values: Vec<f32> =
        (0..u16::try_from(dimensions).unwrap()).map(|d| start + f32::from(d) + 0.5).collect();
    if !base64 {
        return json!(values);
    }
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}
