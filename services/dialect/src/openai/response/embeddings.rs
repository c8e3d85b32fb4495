//! Embeddings answers: vectors in the form that was asked for.

#[cfg(test)]
mod tests;

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::quick::{first, tokens};
use crate::Invalid;
use crate::openai::json::{Cursor, edit, span, utf8};
use crate::openai::usage::WireUsage;

/// An embeddings answer whose vectors are in base64 (of little-endian 32-bit floats), or in numbers, as was asked.
/// Vectors in the other form are converted, all else stays byte for byte; the same `Bytes`, not a copy, when all are
/// right. The second value is the upstream's usage, `None` when it told none.
///
/// # Errors
/// When the body is not a JSON object with `data` that holds vectors.
pub fn mend_embeddings(body: Bytes, base64: bool) -> Result<(Bytes, Option<TokenUsage>), Invalid> {
    let found = quick(&body).map_or_else(|| careful(&body), Ok)?;
    let mut edits = Vec::new();
    for (at, place) in found.vectors.into_iter().enumerate() {
        let raw = body.get(place.clone()).unwrap_or_default();
        if raw.starts_with(b"\"") != base64 {
            let values = std::str::from_utf8(raw).ok().and_then(vector).ok_or_else(|| unfit(at))?;
            let converted =
                if base64 { format!("\"{}\"", to_base64(&values)) } else { to_json(&values, at)? };
            edits.push((place, converted));
        } else if !raw.starts_with(b"\"") && !raw.starts_with(b"[") {
            return Err(unfit(at));
        }
    }
    let mended = if edits.is_empty() { body } else { Bytes::from(edit(&body, &edits)) };
    Ok((mended, found.usage))
}

/// What an answer holds.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// Where its vectors lie.
    vectors: Vec<Range<usize>>,
    usage: Option<TokenUsage>,
}

/// Takes a usual answer; `None` when anything is wrong with it, or merely unusual.
fn quick(body: &[u8]) -> Option<Found> {
    let mut json = Cursor::new(body)?;
    let mut found = Found::default();
    let (mut data, mut usage) = (false, false);
    json.object(|json, name| match name {
        b"data" => {
            first(&mut data)?;
            json.array(|json| {
                found.vectors.push(embedding(json)?);
                Some(())
            })
        }
        b"usage" => {
            first(&mut usage)?;
            found.usage = tokens(json)?;
            Some(())
        }
        _ => json.value().map(drop),
    })?;
    json.end()?;
    data.then_some(found)
}

fn embedding(json: &mut Cursor<'_>) -> Option<Range<usize>> {
    let mut found = None;
    json.object(|json, name| {
        let value = json.value()?;
        if name == b"embedding" { found.replace(value).is_none().then_some(()) } else { Some(()) }
    })?;
    found
}

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

/// Takes any answer, or says what is wrong with it, and where.
fn careful(body: &[u8]) -> Result<Found, Invalid> {
    let text = utf8("answer", body)?;
    let list: List<'_> = serde_json::from_str(text).map_err(|error| Invalid::json("answer", &error))?;
    let Some(data) = list.data else {
        return Err(Invalid::field("data", "is missing in the answer"));
    };
    let vectors = data.iter().map(|item| span(text, item.embedding.get())).collect();
    let usage = list.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()?.tokens());
    Ok(Found { vectors, usage })
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
