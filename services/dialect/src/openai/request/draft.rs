//! What a pass over a body has found so far, whichever pass it is.

use std::ops::Range;

use super::options::asks_usage;
use super::values::{boolean, model, place, positive};
use super::{Peek, embeddings, items};
use crate::Invalid;
use crate::openai::json::count;

/// The members of a chat body that the gateway reads. The required ones stand first.
pub(super) const CHAT: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "tools",
    "functions",
    "response_format",
    "documents",
    "n_predict",
    "n_cmpl",
];
/// The members of an embeddings body that the gateway reads. The required ones stand first.
pub(super) const EMBEDDINGS: &[&str] = &["model", "input", "encoding_format"];
/// The members of a completions body that the gateway reads. The required ones stand first.
pub(super) const COMPLETIONS: &[&str] = &[
    "model",
    "prompt",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "suffix",
    "n_predict",
    "n_cmpl",
];
const REQUIRED: usize = 2;
/// Prompts of one completions request. OpenAI names no bound there; this is that of its embeddings' texts.
const MAX_PROMPTS: u32 = 2048;

/// Bytes of a message beside its members: braces and a comma.
pub(super) const MESSAGE_BYTES: usize = 3;
/// Bytes of a message's member beside its name and value: quotes, colon, comma.
pub(super) const MEMBER_BYTES: usize = 4;

/// A peek in the making.
pub(super) struct Draft {
    /// The members that matter.
    pub(super) keys: &'static [&'static str],
    /// A bit for each of them that was seen.
    seen: u32,
    /// Counted by [`Draft::member`], and by the pass for `messages`.
    pub(super) prompt_bytes: usize,
    max_tokens: Option<u32>,
    /// Answers to each prompt that the upstream chooses from.
    best_of: u32,
    prompts: u32,
    peek: Peek,
}

impl Draft {
    /// Nothing is found yet.
    pub(super) fn new(keys: &'static [&'static str]) -> Self {
        let peek = Peek { choices: 1, ..Peek::default() };
        Self { keys, seen: 0, prompt_bytes: 0, max_tokens: None, best_of: 1, prompts: 1, peek }
    }

    /// The whole was seen.
    pub(super) fn finish(mut self) -> Result<Peek, Invalid> {
        for (bit, key) in self.keys.iter().enumerate().take(REQUIRED) {
            if self.seen & (1 << bit) == 0 {
                return Err(Invalid::field(*key, "is required"));
            }
        }
        // Upstreams differ in which of the two they follow, so what is held must cover the larger.
        self.peek.max_output_tokens = self.peek.max_output_tokens.max(self.max_tokens);
        self.peek.choices = self.peek.choices.max(self.best_of).saturating_mul(self.prompts);
        self.peek.prompt_bytes = count(self.prompt_bytes);
        Ok(self.peek)
    }

    /// Notes that the key at `known` is there.
    pub(super) fn mark(&mut self, known: usize, key: &str) -> Result<(), Invalid> {
        if self.seen & (1 << known) != 0 {
            return Err(Invalid::field(key, "is given more than once"));
        }
        self.seen |= 1 << known;
        Ok(())
    }

    /// Reads the value of a member other than `messages`: `raw`, which lies at `range`.
    pub(super) fn member(&mut self, key: &str, raw: &str, range: &Range<usize>) -> Result<(), Invalid> {
        let place = place(range);
        match key {
            "model" => {
                self.peek.model = Some(model(raw)?);
                self.peek.places.model = Some(place);
            }
            "stream" => {
                self.peek.stream = boolean(key, raw)?;
                self.peek.places.stream = Some(place);
            }
            "stream_options" => {
                self.peek.places.stream_options = Some(place);
                (self.peek.include_usage, self.peek.places.include_usage) = asks_usage(raw, place)?;
            }
            "max_tokens" => {
                self.max_tokens = positive(key, raw, u32::MAX)?;
                self.peek.places.max_tokens = Some(place);
            }
            // Some servers follow it here, others do not know it: no hold would cover what they make of it.
            "max_completion_tokens" if self.keys == COMPLETIONS => no_parameter(key, raw, "max_tokens")?,
            // llama.cpp follows its own names before OpenAI's.
            "n_predict" => no_parameter(key, raw, "max_tokens")?,
            "n_cmpl" => no_parameter(key, raw, "n")?,
            "max_completion_tokens" => {
                self.peek.max_output_tokens = positive(key, raw, u32::MAX)?;
                self.peek.places.max_completion_tokens = Some(place);
            }
            "n" => self.peek.choices = positive(key, raw, 128)?.unwrap_or(1),
            "best_of" => self.best_of = positive(key, raw, 128)?.unwrap_or(1),
            "prompt" => {
                self.prompts = items::texts(key, raw)?;
                if self.prompts > MAX_PROMPTS {
                    return Err(Invalid::field(key, &format!("must hold at most {MAX_PROMPTS} prompts")));
                }
                self.prompt_bytes += raw.len();
            }
            "input" => {
                items::texts(key, raw)?;
                self.prompt_bytes += raw.len();
            }
            "encoding_format" => self.peek.base64 = embeddings::is_base64(raw)?,
            _ => self.prompt_bytes += raw.len(),
        }
        Ok(())
    }
}

/// Refuses a parameter that would undo what another says.
fn no_parameter(key: &str, raw: &str, other: &str) -> Result<(), Invalid> {
    if raw == "null" { Ok(()) } else { Err(Invalid::field(key, &format!("is not taken here: use {other}"))) }
}
