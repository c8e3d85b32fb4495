//! Whole answers: their usage, and mending what some servers of this dialect leave out.

mod careful;
mod completion;
mod embeddings;
mod mending;
mod quick;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_proto::inference::v1::TokenUsage;
use memchr::memmem;
use serde::Deserialize;

use super::usage::WireUsage;
use crate::Invalid;
pub use completion::completion_facts;
pub use embeddings::mend_embeddings;
pub(crate) use embeddings::{unfit, vector};

/// Facts of a whole chat or completions answer.
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

/// A whole chat answer as OpenAI's clients expect it.
///
/// A choice without `logprobs`, and a message without `content` or `refusal`, get them as null (llama.cpp leaves
/// them out). Everything else stays byte for byte: unknown members, the model's name, and the ids of tool calls, which
/// are opaque and have no prefix everywhere. Returns the same `Bytes`, not a copy, when there is nothing to mend.
///
/// # Errors
/// When the body is not a JSON object with `choices` that hold messages: some servers answer 200 with an error.
pub fn mend_chat(body: Bytes) -> Result<(Bytes, ChatFacts), Invalid> {
    let mending = quick::read(&body).map_or_else(|| careful::read(&body), Ok)?;
    Ok(mending.apply(body))
}
