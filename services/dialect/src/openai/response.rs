//! Whole answers: their usage, and mending what some servers of this dialect leave out.

mod embeddings;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Present, count, edit, span, utf8};
use super::usage::WireUsage;
use crate::Invalid;
pub use embeddings::mend_embeddings;
pub(crate) use embeddings::{unfit, vector};

/// Facts of a whole chat answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChatFacts {
    /// The upstream's counts; `None` when it told none.
    pub usage: Option<TokenUsage>,
    /// Bytes of JSON text that the model produced (text, refusals, reasoning, tool calls), over all choices: an upper
    /// bound of the answer's tokens, as far as they were delivered.
    pub output_bytes: u32,
}

/// The `usage` object of a body or chunk. `None` when it is absent, null or without counts.
pub fn usage(body: &[u8]) -> Option<TokenUsage> {
    #[derive(Deserialize)]
    struct Body {
        usage: Option<WireUsage>,
    }
    memmem::find(body, b"\"usage\"")?;
    serde_json::from_slice::<Body>(body).ok()?.usage?.tokens()
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

/// A whole chat answer as OpenAI's clients expect it.
///
/// A choice without `logprobs`, and a message without `content` or `refusal`, get them as null (llama.cpp leaves
/// them out). Everything else stays byte for byte: unknown members, the model's name, and the ids of tool calls, which
/// are opaque and have no prefix everywhere. Returns the same `Bytes`, not a copy, when there is nothing to mend.
///
/// # Errors
/// When the body is not a JSON object with `choices` that hold messages: some servers answer 200 with an error.
pub fn mend_chat(body: Bytes) -> Result<(Bytes, ChatFacts), Invalid> {
    let text = utf8("answer", &body)?;
    let completion: Completion<'_> =
        serde_json::from_str(text).map_err(|error| Invalid::json("answer", &error))?;
    let Some(choices) = completion.choices else {
        return Err(Invalid::field("choices", "is missing in the answer"));
    };
    let mut edits = Vec::new();
    let mut output_bytes = 0;
    for choice in &choices {
        let raw = choice.message.get();
        let message: Message<'_> =
            serde_json::from_str(raw).map_err(|error| Invalid::json("answer's message", &error))?;
        output_bytes += message.output_bytes();
        let place = span(text, raw);
        let absent = message.absent();
        if !absent.is_empty() {
            // The role stands in every message, so a comma is right before what is there; without it, `{}`.
            let comma = if message.role.0 || raw.contains(':') { "," } else { "" };
            edits.push((place.start + 1..place.start + 1, absent.join(",") + comma));
        }
        if !choice.logprobs.0 {
            edits.push((place.end..place.end, ",\"logprobs\":null".into()));
        }
    }
    let usage = completion.usage.and_then(|raw| serde_json::from_str::<WireUsage>(raw.get()).ok()?.tokens());
    let facts = ChatFacts { usage, output_bytes: count(output_bytes) };
    let mended = if edits.is_empty() { body } else { Bytes::from(edit(&body, &edits)) };
    Ok((mended, facts))
}

impl Message<'_> {
    fn absent(&self) -> Vec<&'static str> {
        let mut absent = Vec::new();
        if self.content.is_none() {
            absent.push("\"content\":null");
        }
        if !self.refusal.0 {
            absent.push("\"refusal\":null");
        }
        absent
    }

    fn output_bytes(&self) -> usize {
        let bytes = |raw: Option<&RawValue>| match raw.map(RawValue::get) {
            None | Some("null") => 0,
            // A string without its quotes, or a list as it is.
            Some(raw) if raw.starts_with('"') => raw.len() - 2,
            Some(raw) => raw.len(),
        };
        // Servers that send both spellings of the reasoning send the same text in each.
        let reasoning = bytes(self.reasoning_content).max(bytes(self.reasoning));
        bytes(self.content) + reasoning + bytes(self.tool_calls)
    }
}
