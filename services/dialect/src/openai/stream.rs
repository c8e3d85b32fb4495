//! Streams: server-sent events as an upstream sends them, found and classified without being taken apart.

mod classify;
mod familiar;
mod members;
mod scanner;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;

use super::error::UpstreamError;
pub use scanner::{MAX_EVENT_BYTES, Scanner};

/// One whole server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event as it came, with its closing blank line.
    pub raw: Bytes,
    /// What it is.
    pub kind: EventKind,
    /// The counts it carries, be it in a chunk of their own or beside choices.
    pub usage: Option<TokenUsage>,
    /// Whether it ends a choice (`finish_reason` is a string).
    pub finish: bool,
    /// Bytes of JSON text that the model produced in it: an upper bound of the tokens delivered. 0 unless it is
    /// content.
    pub output_bytes: u32,
}

/// What an event means to the gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Adds text, refusal, reasoning or tool calls to an answer.
    Content,
    /// Any other data: the role, the end of a choice, or something unknown.
    Other,
    /// The chunk that has no choices and tells what the answer took.
    Usage(TokenUsage),
    /// The upstream's error in mid-stream.
    Error(Box<UpstreamError>),
    /// The dialect's end marker, `[DONE]`.
    Done,
    /// No data: a comment, or blank lines.
    Comment,
    /// `null` where a chunk should be, which llama.cpp begins the answers to several prompts with. Clients stumble over
    /// it.
    Null,
}

impl Event {
    /// The event's data without its field names: JSON, or `[DONE]`. Empty for a comment. Several data lines are
    /// joined by newlines.
    pub fn data(&self) -> Cow<'_, [u8]> {
        classify::data(&self.raw)
    }
}
