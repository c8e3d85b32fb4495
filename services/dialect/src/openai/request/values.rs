//! Values of a body, each from the JSON text it is written as.

use std::ops::Range;

use headgate_proto::inference::v1::body_facts::Place;

use crate::Invalid;
use crate::openai::json::count;

/// A range of a body as the contract tells it. Bodies longer than that can tell were refused before.
pub(super) fn place(range: &Range<usize>) -> Place {
    Place { start: count(range.start), end: count(range.end) }
}

/// A place as a range.
pub(super) fn range(place: Place) -> Range<usize> {
    place.start as usize..place.end as usize
}

/// The text at a place, if there is any.
pub(super) fn at(body: &[u8], place: Place) -> Option<&str> {
    std::str::from_utf8(body.get(range(place))?).ok()
}

/// The model's name.
pub(super) fn model(raw: &str) -> Result<String, Invalid> {
    let is_plain = |name: &&str| !name.bytes().any(|byte| byte == b'"' || byte == b'\\');
    let plain = || raw.strip_prefix('"')?.strip_suffix('"').filter(is_plain);
    let name = plain().map_or_else(|| serde_json::from_str(raw), |name| Ok(name.to_owned()));
    match name {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(Invalid::field("model", "must be a non-empty string")),
    }
}

/// A boolean; null counts as false, as OpenAI has it.
pub(super) fn boolean(field: &str, raw: &str) -> Result<bool, Invalid> {
    match raw {
        "true" => Ok(true),
        "false" | "null" => Ok(false),
        _ => Err(Invalid::field(field, "must be a boolean")),
    }
}

/// An integer from 1 to `most`; `None` for null.
pub(super) fn positive(field: &str, raw: &str, most: u32) -> Result<Option<u32>, Invalid> {
    if raw == "null" {
        return Ok(None);
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::field(field, "must be an integer"));
    }
    match raw.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ => Err(Invalid::field(field, &format!("must be between 1 and {most}"))),
    }
}
