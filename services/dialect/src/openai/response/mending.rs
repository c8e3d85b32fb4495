//! What an answer lacks, and how much it says.

use std::ops::Range;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;

use super::ChatFacts;
use crate::openai::json::{count, edit};

/// What was found in an answer so far.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mending {
    edits: Vec<(Range<usize>, &'static str)>,
    output_bytes: usize,
    /// The upstream's counts.
    pub(super) usage: Option<TokenUsage>,
}

/// What was found of a choice.
#[derive(Default)]
pub(super) struct Choice {
    /// Where its message lies.
    pub(super) place: Range<usize>,
    /// Whether the message has no member at all.
    pub(super) empty: bool,
    /// What it says.
    pub(super) said: Said,
    /// Whether the message has `refusal`, be it null.
    pub(super) refusal: bool,
    /// Whether the choice has `logprobs`, be it null.
    pub(super) logprobs: bool,
}

/// Bytes of what the model produced in a message, by its members; `None` for one that is not there.
#[derive(Default)]
pub(super) struct Said {
    /// `content`.
    pub(super) content: Option<usize>,
    /// `reasoning_content`.
    pub(super) reasoning_content: Option<usize>,
    /// `reasoning`.
    pub(super) reasoning: Option<usize>,
    /// `tool_calls`.
    pub(super) tool_calls: Option<usize>,
}

impl Said {
    fn bytes(&self) -> usize {
        // Servers that send both spellings of the reasoning send the same text in each.
        let reasoning = self.reasoning_content.max(self.reasoning);
        [self.content, reasoning, self.tool_calls].into_iter().flatten().sum()
    }
}

impl Mending {
    /// Notes what a choice lacks. Choices come in their order.
    pub(super) fn choice(&mut self, choice: &Choice) {
        self.output_bytes += choice.said.bytes();
        let absent = match (choice.said.content.is_some(), choice.refusal, choice.empty) {
            (true, true, _) => "",
            (true, false, _) => "\"refusal\":null,",
            (false, true, _) => "\"content\":null,",
            (false, false, false) => "\"content\":null,\"refusal\":null,",
            (false, false, true) => "\"content\":null,\"refusal\":null",
        };
        if !absent.is_empty() {
            let inside = choice.place.start + 1;
            self.edits.push((inside..inside, absent));
        }
        if !choice.logprobs {
            self.edits.push((choice.place.end..choice.place.end, ",\"logprobs\":null"));
        }
    }

    /// Puts into `body`, which all of this was read from, what it lacks.
    pub(super) fn apply(self, body: Bytes) -> (Bytes, ChatFacts) {
        let facts = ChatFacts { usage: self.usage, output_bytes: count(self.output_bytes) };
        let mended = if self.edits.is_empty() { body } else { Bytes::from(edit(&body, &self.edits)) };
        (mended, facts)
    }
}

/// Bytes of a value that the model produced: a string without its quotes, or a list as it is.
pub(super) fn bytes(raw: &[u8]) -> usize {
    match raw {
        b"null" => 0,
        [b'"', ..] => raw.len() - 2,
        _ => raw.len(),
    }
}
