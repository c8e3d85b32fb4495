//! What an event is, mostly told by looking for members' names.
//!
//! A quote inside a JSON string is escaped, so `"name"` followed by a colon can only be a member's name, at whatever
//! depth. Content that talks about `"usage":{` does not match; a member of that name elsewhere in the chunk does, so
//! the rare names (`usage`, `error`) are confirmed by parsing.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use memchr::memchr2;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Event, EventKind};
use crate::openai::error::{self, UpstreamError};
use crate::openai::json::count;
use crate::openai::usage::WireUsage;

/// A member's name, ready to be searched for.
struct Name(LazyLock<Finder<'static>>);

macro_rules! name {
    ($name:literal) => {
        Name(LazyLock::new(|| Finder::new(concat!("\"", $name, "\""))))
    };
}

static CONTENT: Name = name!("content");
static TOOL_CALLS: Name = name!("tool_calls");
static FUNCTION_CALL: Name = name!("function_call");
static ARGUMENTS: Name = name!("arguments");
static REFUSAL: Name = name!("refusal");
static REASONING_CONTENT: Name = name!("reasoning_content");
static REASONING: Name = name!("reasoning");
static AUDIO: Name = name!("audio");
static USAGE: Name = name!("usage");
static ERROR: Name = name!("error");
static CHOICES: Name = name!("choices");
static FINISH: Name = name!("finish_reason");

impl Name {
    /// The text from the value on, for every member of this name.
    fn values<'a>(&'static self, json: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.0.find_iter(json).filter_map(move |at| {
            let after = json.get(at + self.0.needle().len()..)?.trim_ascii_start();
            after.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
        })
    }

    /// Whether there is a member of this name whose value begins with `first`.
    fn begins(&'static self, json: &[u8], first: u8) -> bool {
        self.values(json).any(|value| value.first() == Some(&first))
    }
}

/// The event that `raw` is.
pub(super) fn event(raw: Bytes) -> Event {
    let (kind, usage, finish, output_bytes) = {
        let data = data(&raw);
        let data = data.trim_ascii();
        if data.is_empty() {
            (EventKind::Comment, None, false, 0)
        } else if data == b"[DONE]" {
            (EventKind::Done, None, false, 0)
        } else if let Some(error) = upstream_error(&raw, data) {
            (EventKind::Error(error), usage(data).map(|(usage, _)| usage), false, 0)
        } else {
            chunk(data)
        }
    };
    Event { raw, kind, usage, finish, output_bytes }
}

fn chunk(data: &[u8]) -> (EventKind, Option<TokenUsage>, bool, u32) {
    let output = output(data);
    let finish = FINISH.begins(data, b'"');
    match (usage(data), output) {
        (Some((usage, true)), _) => (EventKind::Usage(usage), Some(usage), finish, 0),
        (usage, Some(bytes)) => (EventKind::Content, usage.map(|(usage, _)| usage), finish, count(bytes)),
        (usage, None) => (EventKind::Other, usage.map(|(usage, _)| usage), finish, 0),
    }
}

/// The counts a chunk carries, and whether it has no choices beside them.
fn usage(data: &[u8]) -> Option<(TokenUsage, bool)> {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Option<Vec<IgnoredAny>>,
        usage: Option<WireUsage>,
    }
    if !USAGE.begins(data, b'{') {
        return None;
    }
    let chunk: Chunk = serde_json::from_slice(data).ok()?;
    Some((chunk.usage?.tokens()?, chunk.choices.is_none_or(|choices| choices.is_empty())))
}

/// An error in a chunk, in an event named `error`, or in data that is no chunk at all.
fn upstream_error(raw: &[u8], data: &[u8]) -> Option<UpstreamError> {
    let line = raw.trim_ascii_start();
    if line.starts_with(b"event: error") || line.starts_with(b"event:error") {
        return Some(error::parse(data).unwrap_or_else(|| UpstreamError {
            message: String::from_utf8_lossy(data).into_owned(),
            ..UpstreamError::default()
        }));
    }
    if ERROR.begins(data, b'{') || ERROR.begins(data, b'"') {
        // An error further down belongs to something else; `parse` takes the top level only.
        let error = error::parse(data);
        if error.is_some() {
            return error;
        }
    }
    if CHOICES.values(data).next().is_none() { error::parse(data) } else { None }
}

/// Bytes of what the model produced in this chunk; `None` when it produced nothing.
fn output(data: &[u8]) -> Option<usize> {
    let content = texts(&CONTENT, data);
    if content > 0 {
        return Some(content);
    }
    let calls = filled(&TOOL_CALLS, data) || FUNCTION_CALL.begins(data, b'{');
    let arguments = if calls { texts(&ARGUMENTS, data) } else { 0 };
    // Servers that send both spellings of the reasoning send the same text in each.
    let reasoning = texts(&REASONING_CONTENT, data).max(texts(&REASONING, data));
    let bytes = arguments + reasoning + texts(&REFUSAL, data);
    let produced = bytes > 0 || calls || filled(&CONTENT, data) || AUDIO.begins(data, b'{');
    produced.then_some(bytes)
}

/// Bytes of all strings of this name.
fn texts(name: &'static Name, data: &[u8]) -> usize {
    name.values(data).filter_map(|value| value.strip_prefix(b"\"")).map(string_bytes).sum()
}

/// Whether there is a list of this name with something in it.
fn filled(name: &'static Name, data: &[u8]) -> bool {
    name.values(data)
        .filter_map(|value| value.strip_prefix(b"["))
        .any(|inside| inside.trim_ascii_start().first().is_some_and(|byte| *byte != b']'))
}

/// Bytes up to the quote that closes a string.
fn string_bytes(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2; // the backslash and what it escapes
    }
    text.len()
}

/// The data of an event: its `data` lines without their names, joined by newlines. Lines named `error`, which older
/// llama.cpp sends, count as data.
pub(super) fn data(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let Some(value) = field(line) else { continue };
        match &mut data {
            None => data = Some(Cow::Borrowed(value)),
            Some(before) => {
                let joined = before.to_mut();
                joined.push(b'\n');
                joined.extend_from_slice(value);
            }
        }
    }
    data.unwrap_or_default()
}

fn field(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data").or_else(|| line.strip_prefix(b"error"))?;
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
