//! Embeddings answers: vectors in the form that was asked for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Invalid;
use crate::openai::json::{edit, span, utf8};
use crate::openai::usage::WireUsage;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// An embeddings answer whose vectors are in base64 (of little-endian 32-bit floats), or in numbers, as was asked.
/// Vectors in the other form are converted, all else stays byte for byte; the same `Bytes`, not a copy, when all are
/// right. The second value is the upstream's usage, `None` when it told none.
///
/// # Errors
/// When the body is not a JSON object with `data` that holds vectors.
pub fn mend_embeddings(body: Bytes, base64: bool) -> Result<(Bytes, Option<TokenUsage>), Invalid> {
    let text = utf8("answer", &body)?;
    let list: List<'_> = serde_json::from_str(text).map_err(|error| Invalid::json("answer", &error))?;
    let Some(data) = list.data else {
        return Err(Invalid::field("data", "is missing in the answer"));
    };
    let mut edits = Vec::new();
    for (at, item) in data.iter().enumerate() {
        let raw = item.embedding.get();
        if raw.starts_with('"') != base64 {
            let values = vector(raw).ok_or_else(|| unfit(at))?;
            let converted =
                if base64 { format!("\"{}\"", to_base64(&values)) } else { to_json(&values, at)? };
            edits.push((span(text, raw), converted));
        } else if !raw.starts_with(['"', '[']) {
            return Err(unfit(at));
        }
    }
    let usage = list.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()?.tokens());
    let mended = if edits.is_empty() { body } else { Bytes::from(edit(&body, &edits)) };
    Ok((mended, usage))
}

/// A vector in either form.
pub(crate) fn vector(raw: &str) -> Option<Vec<f32>> {
    if raw.starts_with('[') {
        return serde_json::from_str(raw).ok();
    }
    // Escapes (`\/`) may stand in the string, so it is read as JSON.
    let bytes = STANDARD.decode(serde_json::from_str::<String>(raw).ok()?).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

fn to_base64(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn to_json(values: &[f32], at: usize) -> Result<String, Invalid> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err(unfit(at));
    }
    serde_json::to_string(values).map_err(|_| unfit(at))
}

/// The fault of a vector that is none.
pub(crate) fn unfit(at: usize) -> Invalid {
    Invalid::field(format!("data[{at}].embedding"), "is no vector")
}
