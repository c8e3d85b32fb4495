//! `stream_options`.

use headgate_proto::inference::v1::body_facts::Place;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::values::boolean;
use crate::Invalid;
use crate::openai::json::{Key, Members, count, span};

/// Whether the value is an object; null is none.
pub(super) fn is_object(raw: &str) -> bool {
    raw.starts_with('{') && raw.ends_with('}')
}

/// Whether usage is asked for in the value `raw`, which lies at `place` in the body, and where it says so.
pub(super) fn asks_usage(raw: &str, place: Place) -> Result<(bool, Option<Place>), Invalid> {
    if raw == "null" {
        return Ok((false, None));
    }
    if !is_object(raw) {
        return Err(Invalid::field("stream_options", "must be an object"));
    }
    let Some(value) = include_usage(raw)? else { return Ok((false, None)) };
    let asks = boolean("stream_options.include_usage", value)?;
    let inside = span(raw, value);
    let at = |inside: usize| place.start.saturating_add(count(inside));
    Ok((asks, Some(Place { start: at(inside.start), end: at(inside.end) })))
}

/// The member of that name as it is written.
fn include_usage<'a>(raw: &'a str) -> Result<Option<&'a str>, Invalid> {
    let (mut twice, mut include) = (false, None);
    let members = Members {
        keys: &["include_usage"],
        each: |key: Key, value: &'a RawValue| {
            twice |= key.known.is_some() && include.is_some();
            if key.known.is_some() {
                include = Some(value.get());
            }
            true
        },
    };
    let mut json = serde_json::Deserializer::from_str(raw);
    members.deserialize(&mut json).map_err(|error| Invalid::json("stream_options", &error))?;
    if twice {
        return Err(Invalid::field("stream_options.include_usage", "is given more than once"));
    }
    Ok(include)
}
