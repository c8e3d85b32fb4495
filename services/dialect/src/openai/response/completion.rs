//! Completions answers: nothing of them needs mending.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ChatFacts;
use super::mending::bytes;
use crate::Invalid;
use crate::openai::json::{count, utf8};
use crate::openai::usage::WireUsage;

/// Facts of the answer to `POST /v1/completions`.
///
/// # Errors
/// When the body is not a JSON object with `choices` that hold text: some servers answer 200 with an error.
pub fn completion_facts(body: &[u8]) -> Result<ChatFacts, Invalid> {
    let text = utf8("answer", body)?;
    let completion: Completion<'_> =
        serde_json::from_str(text).map_err(|error| Invalid::json("answer", &error))?;
    let Some(choices) = completion.choices else {
        return Err(Invalid::field("choices", "is missing in the answer"));
    };
    let output_bytes = choices.iter().map(|choice| bytes(choice.text.get().as_bytes())).sum();
    let usage = completion.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()?.tokens());
    Ok(ChatFacts { usage, output_bytes: count(output_bytes) })
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    // As it is written: usage of an odd form must not cost the answer.
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}
