//! Parameters for bodies that do not give them.

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use headgate_proto::inference::v1::RequestDefaults;
use serde::de::DeserializeSeed as _;
use serde_json::value::RawValue;

use crate::Invalid;
use crate::openai::json::{Key, Members, edit, span, utf8};

/// Gives a chat or completions body the parameters that it does not give itself. One that is null gets its value there,
/// one that is absent is put first; every other byte stays as it was. Returns the same `Bytes`, not a copy, when nothing
/// changes.
///
/// `max_output_tokens` is not looked at: it goes by two names and is capped, so [`Splice`](super::Splice) has it.
///
/// # Errors
/// When the body is not a JSON object in UTF-8.
pub fn with_defaults(body: Bytes, defaults: &RequestDefaults) -> Result<Bytes, Invalid> {
    let mut parameters = parameters(defaults);
    if parameters.is_empty() {
        return Ok(body);
    }
    look(utf8("body", &body)?, &mut parameters)?;
    let edits = edits(&body, parameters);
    Ok(if edits.is_empty() { body } else { Bytes::from(edit(&body, &edits)) })
}

/// A parameter that has a default, and what a body says of it.
struct Parameter {
    name: &'static str,
    /// The default as JSON.
    value: String,
    is_given: bool,
    /// Where it is null. More than once in a body that names it more than once.
    nulls: Vec<Range<usize>>,
}

fn parameters(defaults: &RequestDefaults) -> Vec<Parameter> {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    // Texts always serialise.
    let stop = || serde_json::to_string(&defaults.stop).unwrap_or_default();
    let values = [
        ("temperature", number(defaults.temperature)),
        ("top_p", number(defaults.top_p)),
        ("frequency_penalty", number(defaults.frequency_penalty)),
        ("presence_penalty", number(defaults.presence_penalty)),
        ("stop", (!defaults.stop.is_empty()).then(stop)),
        ("seed", defaults.seed.map(|seed| seed.to_string())),
    ];
    let parameter = |(name, value): (_, Option<_>)| {
        Some(Parameter { name, value: value?, is_given: false, nulls: vec![] })
    };
    values.into_iter().filter_map(parameter).collect()
}

/// Finds what the body itself says, not what is nested in it.
fn look(text: &str, parameters: &mut [Parameter]) -> Result<(), Invalid> {
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
    let each = |key: Key, value: &RawValue| {
        if let Some(parameter) = key.known.and_then(|at| parameters.get_mut(at)) {
            match value.get() {
                "null" => parameter.nulls.push(span(text, value.get())),
                _ => parameter.is_given = true,
            }
        }
        true
    };
    let mut json = serde_json::Deserializer::from_str(text);
    Members { keys: &names, each }.deserialize(&mut json).map_err(|error| Invalid::json("body", &error))
}

fn edits(body: &[u8], parameters: Vec<Parameter>) -> Vec<(Range<usize>, String)> {
    let (mut edits, mut added) = (Vec::new(), String::new());
    for Parameter { name, value, nulls, .. } in parameters.into_iter().filter(|one| !one.is_given) {
        if nulls.is_empty() {
            // A body that was accepted has members, so one always follows.
            added.extend(["\"", name, "\":", &value, ","]);
        }
        edits.extend(nulls.into_iter().map(|null| (null, value.clone())));
    }
    if !added.is_empty() {
        let open = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        edits.push((open..open, added));
    }
    edits.sort_by_key(|(place, _)| place.start);
    edits
}
