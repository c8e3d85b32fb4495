//! What someone else read of a body, so that one reading is enough.

#[cfg(test)]
mod tests;

use headgate_proto::inference::v1::BodyFacts;
use headgate_proto::inference::v1::body_facts::Place;

use super::Peek;
use super::options::is_object;
use super::values::{at, boolean, model, positive};

/// The peek that was noted, if its places fit the body.
pub(super) fn peek(body: &[u8], facts: &BodyFacts) -> Option<Peek> {
    let places = facts.places?;
    let asked = |key, place: Option<Place>| match place {
        Some(place) => boolean(key, value(body, key, place)?).ok(),
        None => Some(false),
    };
    let limited = |key, place: Option<Place>| match place {
        Some(place) => positive(key, value(body, key, place)?, u32::MAX).ok(),
        None => Some(None),
    };
    limited("max_tokens", places.max_tokens)?;
    limited("max_completion_tokens", places.max_completion_tokens)?;
    options(body, places.stream_options, places.include_usage)?;
    Some(Peek {
        model: Some(model(value(body, "model", places.model?)?).ok()?),
        stream: asked("stream", places.stream)?,
        include_usage: asked("include_usage", places.include_usage)?,
        max_output_tokens: facts.max_output_tokens,
        choices: facts.choices,
        prompt_bytes: facts.prompt_bytes,
        base64: facts.base64,
        places,
    })
}

/// Checks that options are an object or null, and that `include_usage` lies in them.
fn options(body: &[u8], options: Option<Place>, include_usage: Option<Place>) -> Option<()> {
    let Some(options) = options else { return include_usage.is_none().then_some(()) };
    let raw = value(body, "stream_options", options)?;
    let inside = |place: Place| options.start < place.start && place.end < options.end;
    let fits = if is_object(raw) { include_usage.is_none_or(inside) } else { include_usage.is_none() };
    (fits && (is_object(raw) || raw == "null")).then_some(())
}

/// The text at a place, if it stands as a value behind its name.
fn value<'a>(body: &'a [u8], key: &str, place: Place) -> Option<&'a str> {
    let raw = at(body, place)?;
    let (before, _) = body.split_at_checked(place.start as usize)?;
    let (_, after) = body.split_at_checked(place.end as usize)?;
    let name = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = name.strip_suffix(b"\"")?.strip_suffix(key.as_bytes())?.strip_suffix(b"\"")?;
    let framed = matches!(before.trim_ascii_end().last(), Some(b'{' | b','))
        && matches!(after.trim_ascii_start().first(), Some(b',' | b'}'));
    framed.then_some(raw)
}
