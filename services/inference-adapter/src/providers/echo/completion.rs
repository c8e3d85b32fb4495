//! Echo's completions: says every prompt back.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_kit::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::{StreamOptions, Usage, choices, cut};
use super::{read, rejected, tokens, words};

/// An upper bound of a choice's bytes in an answer, beside its text.
const CHOICE_BYTES: usize = 96;

#[derive(Deserialize)]
struct Question {
    model: String,
    prompt: Prompt,
    n: Option<u32>,
    max_tokens: Option<usize>,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl Prompt {
    /// The texts; tokens are words that name them.
    fn texts(self) -> Vec<String> {
        let text = |tokens: Vec<u32>| {
            let words: Vec<_> = tokens.iter().map(u32::to_string).collect();
            words.join(" ")
        };
        match self {
            Self::Text(one) => vec![one],
            Self::Texts(many) => many,
            Self::Tokens(one) => vec![text(one)],
            Self::TokenLists(many) => many.into_iter().map(text).collect(),
        }
    }
}

/// What echo says, and everything about it.
#[derive(Debug)]
pub(super) struct Reply {
    model: String,
    /// What is said to each prompt and why it ends there.
    said: Vec<(String, &'static str)>,
    /// How often each is said.
    times: usize,
    include_usage: bool,
    usage: Usage,
}

impl Reply {
    /// Reads a question. UPSTREAM_REJECTED when its answer would be larger than `max_bytes`.
    pub(super) fn new(body: &[u8], max_bytes: usize) -> Result<Self, Failure> {
        let question: Question = read(body)?;
        let times = choices(question.n)? as usize;
        let mut said = Vec::new();
        let mut usage = Usage::default();
        let mut bytes = 0_usize;
        for mut text in question.prompt.texts() {
            usage.prompt_tokens += tokens(&text);
            let finish_reason = cut(&mut text, question.max_tokens);
            usage.completion_tokens += tokens(&text) * times;
            bytes = bytes.saturating_add((text.len() + CHOICE_BYTES).saturating_mul(times));
            if bytes > max_bytes {
                return Err(rejected("prompt", format!("the answer would be larger than {max_bytes} bytes")));
            }
            said.push((text, finish_reason));
        }
        usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
        let include_usage =
            question.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        Ok(Self { model: question.model, said, times, include_usage, usage })
    }

    /// What is said in the choice at `index`: the choices of a prompt stand together.
    fn said(&self, index: usize) -> Option<&(String, &'static str)> {
        self.said.get(index / self.times)
    }
}

fn choice(index: usize, text: &str, finish: Option<&str>) -> Value {
    json!({ "text": text, "index": index, "logprobs": null, "finish_reason": finish })
}

/// The whole answer.
pub(super) fn whole(reply: &Reply, id: &str, created: i64) -> Bytes {
    let choices: Vec<_> = (0..)
        .map_while(|index| reply.said(index).map(|(text, finish)| choice(index, text, Some(finish))))
        .collect();
    let body = json!({
        "id": id,
        "object": "text_completion",
        "created": created,
        "model": reply.model,
        "choices": choices,
        "usage": reply.usage,
    });
    body.to_string().into()
}

/// The answer as events: one choice after the other, word by word and then its end; then the usage, if asked for, and
/// the end marker.
pub(super) fn events(reply: Reply, id: &str, created: i64) -> impl Iterator<Item = Bytes> + Send + use<> {
    let head = json!({ "id": id, "object": "text_completion", "created": created, "model": reply.model });
    let mut head = format!("data: {head}");
    // What follows goes into the same object.
    head.pop();
    let usage =
        reply.include_usage.then(|| format!("{head},\"choices\":[],\"usage\":{}}}\n\n", json!(reply.usage)));
    let last = usage.map(Bytes::from).into_iter().chain([Bytes::from_static(b"data: [DONE]\n\n")]);
    let (mut index, mut at) = (0, 0);
    let said = std::iter::from_fn(move || {
        let (text, finish) = reply.said(index)?;
        let choice = match words(text.get(at..).unwrap_or_default()).next() {
            Some(word) => {
                at += word.len();
                choice(index, word, None)
            }
            None => {
                let end = choice(index, "", Some(finish));
                (index, at) = (index + 1, 0);
                end
            }
        };
        Some(format!("{head},\"choices\":[{choice}]}}\n\n").into())
    });
    said.chain(last)
}
