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
struct StreamOptions {
    include_usage: Option<bool>,
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

#[derive(Clone, Copy, Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl Reply {
    /// Reads a question. UPSTREAM_REJECTED when its answer would be larger than `max_bytes`.
    pub(super) fn new(body: &[u8], max_bytes: usize) -> Result<Self, Failure> {
        let question: Question = read(body)?;
        let choices = question.n.unwrap_or(1);
        if !(1..=MAX_CHOICES).contains(&choices) {
            return Err(rejected("n", format!("n must be between 1 and {MAX_CHOICES}, not {choices}")));
        }
        let mut prompt_tokens = 0;
        let mut text = String::new();
        for message in question.messages {
            let said = message.content.map(Content::text).unwrap_or_default();
            prompt_tokens += tokens(&said);
            if message.role == "user" {
                text = said;
            }
        }
        let limit = question.max_completion_tokens.or(question.max_tokens).unwrap_or(usize::MAX);
        let kept: usize = words(&text).take(limit).map(str::len).sum();
        let finish_reason = if kept < text.len() { "length" } else { "stop" };
        text.truncate(kept);
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
