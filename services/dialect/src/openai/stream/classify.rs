//! What an event is, mostly told by the members it has. The rare ones (`usage`, `error`) may stand at another depth
//! than they should, so they are confirmed by parsing.

use std::borrow::Cow;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use memchr::memchr2;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::members::Members;
use super::{Event, EventKind};
use crate::openai::error::{self, UpstreamError};
use crate::openai::json::count;
use crate::openai::usage::WireUsage;

/// May stand before the first event of a stream.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The event that `raw` is, which has so many `lines` that are not blank.
pub(super) fn event(raw: Bytes, lines: usize) -> Event {
    let (kind, usage, finish, output_bytes) = {
        let data = if lines == 1 { Cow::Borrowed(only_line(&raw)) } else { data(&raw) };
        let data = data.trim_ascii();
        if data.is_empty() {
            (EventKind::Comment, None, false, 0)
        } else if data == b"[DONE]" {
            (EventKind::Done, None, false, 0)
        } else if data == b"null" {
            (EventKind::Null, None, false, 0)
        } else {
            let members = Members::of(data);
            match upstream_error(&raw, data, &members) {
                Some(error) => {
                    let usage = usage(data, &members).map(|(usage, _)| usage);
                    (EventKind::Error(Box::new(error)), usage, false, 0)
                }
                None => chunk(data, &members),
            }
        }
    };
    Event { raw, kind, usage, finish, output_bytes }
}

fn chunk(data: &[u8], members: &Members) -> (EventKind, Option<TokenUsage>, bool, u32) {
    let finish = members.finish;
    match (usage(data, members), members.output()) {
        (Some((usage, true)), _) => (EventKind::Usage(usage), Some(usage), finish, 0),
        (usage, Some(bytes)) => (EventKind::Content, usage.map(|(usage, _)| usage), finish, count(bytes)),
        (usage, None) => (EventKind::Other, usage.map(|(usage, _)| usage), finish, 0),
    }
}

/// The counts a chunk carries, and whether it has no choices beside them.
fn usage(data: &[u8], members: &Members) -> Option<(TokenUsage, bool)> {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Option<Vec<IgnoredAny>>,
        usage: Option<WireUsage>,
    }
    if !members.usage {
        return None;
    }
    let chunk: Chunk = serde_json::from_slice(data).ok()?;
    Some((chunk.usage?.tokens()?, chunk.choices.is_none_or(|choices| choices.is_empty())))
}

/// An error in a chunk, in an event named `error`, or in data that is no chunk at all.
fn upstream_error(raw: &[u8], data: &[u8], members: &Members) -> Option<UpstreamError> {
    let line = raw.trim_ascii_start();
    if line.starts_with(b"event: error") || line.starts_with(b"event:error") {
        return Some(error::parse(data).unwrap_or_else(|| UpstreamError {
            message: String::from_utf8_lossy(data).into_owned(),
            ..UpstreamError::default()
        }));
    }
    // An error further down belongs to something else; `parse` takes the top level only.
    if members.error || !members.choices { error::parse(data) } else { None }
}

/// The data of an event: its `data` lines without their names, joined by newlines. Lines named `error`, which older
/// llama.cpp sends, count as data.
pub(super) fn data(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = raw.strip_prefix(BOM).unwrap_or(raw);
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

/// The data of an event that has one line beside blank ones.
fn only_line(raw: &[u8]) -> &[u8] {
    // What is left of the line end that closed the event before may come first.
    let line = raw.strip_prefix(BOM).or_else(|| raw.strip_prefix(b"\n")).unwrap_or(raw);
    field(line.trim_ascii_end()).unwrap_or_default()
}

fn field(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data").or_else(|| line.strip_prefix(b"error"))?;
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
