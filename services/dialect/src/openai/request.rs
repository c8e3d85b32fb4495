//! Requests: what the gateway reads of a body, and the few values it may change.

mod careful;
mod defaults;
mod draft;
mod embeddings;
mod items;
mod noted;
mod options;
mod quick;
mod splice;
mod values;

#[cfg(test)]
mod tests;

use headgate_proto::inference::v1::body_facts::Places;
use headgate_proto::inference::v1::{BodyFacts, Dialect};

use crate::Invalid;
pub use defaults::with_defaults;
pub use splice::{Splice, splice};

/// Facts of a request body, read in one pass. Belongs to the body it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model's name. Never `None` or empty on a body that was accepted.
    pub model: Option<String>,
    /// Whether a stream is asked for. False when the body does not say.
    pub stream: bool,
    /// Whether the stream's usage chunk is asked for (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The most tokens each answer may have: the larger of `max_completion_tokens` and `max_tokens`. `None` when neither
    /// is set.
    pub max_output_tokens: Option<u32>,
    /// How many answers are asked for (`n`). 1 when the body does not say. For a completions body the larger of `n` and
    /// `best_of`, times the number of prompts.
    pub choices: u32,
    /// An upper bound of the prompt's tokens: the bytes of the JSON text of `messages`, `tools`, `functions`,
    /// `response_format` and `documents`, or of `input`, or of `prompt` and `suffix`, without space between members. Text
    /// of `n` bytes has at most `n` tokens and the members' names pay for a template's markers; an image given by a link
    /// is not covered.
    pub prompt_bytes: u32,
    /// Whether vectors are asked for in base64 (`encoding_format`). False for chat and completions.
    pub base64: bool,
    places: Places,
}

impl Peek {
    /// The facts as the contract carries them between services.
    pub fn facts(&self) -> BodyFacts {
        BodyFacts {
            max_output_tokens: self.max_output_tokens,
            choices: self.choices,
            prompt_bytes: self.prompt_bytes,
            include_usage: self.include_usage,
            base64: self.base64,
            places: Some(self.places),
        }
    }

    /// The peek that [`Peek::facts`] of the same body came from, without reading the body again.
    ///
    /// `None` when no places were noted or when they do not fit the body: each must hold a value of the kind that
    /// belongs there, behind its name. That is all it looks at, so facts must come from someone who is trusted to have
    /// read the body: a member of that name at another depth would pass, and so would a member that was kept quiet.
    pub fn noted(body: &[u8], facts: &BodyFacts) -> Option<Self> {
        noted::peek(body, facts)
    }
}

/// Reads the body of `POST /v1/chat/completions`.
///
/// Checks what the gateway reads and nothing else: unknown members and unknown values pass.
///
/// # Errors
/// When the body is not a JSON object in UTF-8, when a member that the gateway reads has a wrong type or value or
/// stands there twice, when `model` or `messages` is missing or empty, when a message has no role, or when the body is
/// longer than 4 GiB.
pub fn peek_chat(body: &[u8]) -> Result<Peek, Invalid> {
    peek(body, draft::CHAT)
}

/// Reads the body of `POST /v1/embeddings`.
///
/// # Errors
/// As [`peek_chat`], with `input` instead of `messages`: it must be text, a list of texts, a list of tokens or a list
/// of lists of tokens, nowhere empty.
pub fn peek_embeddings(body: &[u8]) -> Result<Peek, Invalid> {
    peek(body, draft::EMBEDDINGS)
}

/// Reads the body of `POST /v1/completions`.
///
/// # Errors
/// As [`peek_chat`], with `prompt` instead of `messages`: it must be text, a list of texts, a list of tokens or a list
/// of lists of tokens, nowhere empty. `max_completion_tokens` is refused, as servers differ in whether they follow it.
pub fn peek_completions(body: &[u8]) -> Result<Peek, Invalid> {
    peek(body, draft::COMPLETIONS)
}

/// Reads the bodies of one dialect.
pub type Reader = fn(&[u8]) -> Result<Peek, Invalid>;

/// How a body of a chat dialect is read; `None` when the dialect is none.
pub fn peek_of(dialect: Dialect) -> Option<Reader> {
    match dialect {
        Dialect::OpenaiChat => Some(peek_chat),
        Dialect::OpenaiCompletions => Some(peek_completions),
        Dialect::OpenaiEmbeddings | Dialect::Unspecified => None,
    }
}

fn peek(body: &[u8], keys: &'static [&'static str]) -> Result<Peek, Invalid> {
    if u32::try_from(body.len()).is_err() {
        return Err(Invalid::whole("body is too long"));
    }
    quick::read(body, keys).map_or_else(|| careful::read(body, keys), Ok)
}
