//! The reading that says what is wrong with an answer, and where.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::mending::{self, Mending, Said, bytes};
use crate::Invalid;
use crate::openai::json::{Present, span, utf8};
use crate::openai::usage::WireUsage;

/// Reads the whole answer.
pub(super) fn read(body: &[u8]) -> Result<Mending, Invalid> {
    let text = utf8("answer", body)?;
    let completion: Completion<'_> =
        serde_json::from_str(text).map_err(|error| Invalid::json("answer", &error))?;
    let Some(choices) = completion.choices else {
        return Err(Invalid::field("choices", "is missing in the answer"));
    };
    let mut found = Mending::default();
    for choice in &choices {
        let raw = choice.message.get();
        let message: Message<'_> =
            serde_json::from_str(raw).map_err(|error| Invalid::json("answer's message", &error))?;
        found.choice(&mending::Choice {
            place: span(text, raw),
            empty: !message.role.0 && !raw.contains(':'),
            said: message.said(),
            refusal: message.refusal.0,
            logprobs: choice.logprobs.0,
        });
    }
    found.usage =
        completion.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()?.tokens());
    Ok(found)
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
    message: &'a RawValue,
    #[serde(default)]
    logprobs: Present,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    role: Present,
    #[serde(default)]
    refusal: Present,
    // Two levels, as null must not look like an absent member.
    #[serde(default, borrow, deserialize_with = "present")]
    content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(default, borrow)]
    tool_calls: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Message<'_> {
    fn said(&self) -> Said {
        let bytes = |raw: Option<&RawValue>| raw.map(|raw| bytes(raw.get().as_bytes()));
        Said {
            content: bytes(self.content),
            reasoning_content: bytes(self.reasoning_content),
            reasoning: bytes(self.reasoning),
            tool_calls: bytes(self.tool_calls),
        }
    }
}
