//! Echo's chat answers.

mod events;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_kit::Failure;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) use self::events::events;
use super::{read, rejected, tokens, words};

const MAX_CHOICES: u32 = 128;

#[derive(Deserialize)]
struct Question {
    model: String,
    messages: Vec<Message>,
    n: Option<u32>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

/// What echo says, and everything about it.
#[derive(Debug)]
pub(super) struct Reply {
    model: String,
    /// The last user's words, cut at the output limit.
    text: String,
    finish_reason: &'static str,
    choices: u32,
    include_usage: bool,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) total_tokens: usize,
}

/// How many answers `n` asks for.
pub(super) fn choices(n: Option<u32>) -> Result<u32, Failure> {
    let choices = n.unwrap_or(1);
    if (1..=MAX_CHOICES).contains(&choices) {
        return Ok(choices);
    }
    Err(rejected("n", format!("n must be between 1 and {MAX_CHOICES}, not {choices}")))
}

/// Cuts a text at the output limit, and says why it ends where it does.
pub(super) fn cut(text: &mut String, limit: Option<usize>) -> &'static str {
    let kept: usize = words(text).take(limit.unwrap_or(usize::MAX)).map(str::len).sum();
    let finish_reason = if kept < text.len() { "length" } else { "stop" };
    text.truncate(kept);
    finish_reason
}

impl Reply {
    /// Reads a question. UPSTREAM_REJECTED when its answer would be larger than `max_bytes`.
    pub(super) fn new(body: &[u8], max_bytes: usize) -> Result<Self, Failure> {
        let question: Question = read(body)?;
        let choices = choices(question.n)?;
        let mut prompt_tokens = 0;
        let mut text = String::new();
        for message in question.messages {
            let said = message.content.map(Content::text).unwrap_or_default();
            prompt_tokens += tokens(&said);
            if message.role == "user" {
                text = said;
            }
        }
        let finish_reason = cut(&mut text, question.max_completion_tokens.or(question.max_tokens));
        let factor = choices as usize;
        if text.len().saturating_mul(factor) > max_bytes {
            return Err(rejected("messages", format!("the answer would be larger than {max_bytes} bytes")));
        }
        let completion_tokens = tokens(&text) * factor;
        let total_tokens = prompt_tokens + completion_tokens;
        let include_usage =
            question.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        let usage = Usage { prompt_tokens, completion_tokens, total_tokens };
        Ok(Self { model: question.model, text, finish_reason, choices, include_usage, usage })
    }
}

/// The whole answer.
pub(super) fn whole(reply: &Reply, id: &str, created: i64) -> Bytes {
    let choices: Vec<_> = (0..reply.choices)
        .map(|index| {
            json!({
                "index": index,
                "message": { "role": "assistant", "content": reply.text, "refusal": null },
                "logprobs": null,
                "finish_reason": reply.finish_reason,
            })
        })
        .collect();
    let body = json!({
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": choices,
        "usage": reply.usage,
    });
    body.to_string().into()
}
