//! Built in: says back what it is told. Needs no upstream, no key and no network, and answers as an upstream of
//! OpenAI's dialect would, so everything behind it takes its usual way.
//!
//! A token, here, is a word with the white space behind it. Its counts are exact in that unit.

mod chat;
mod completion;
mod embed;

use bytes::Bytes;
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::adapter::v1::{ChatResponse, EmbedResponse};
use headgate_proto::inference::v1::{Dialect, EmbedRequest};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::provider::{Call, ChatAsk, ChatForm, Chunks, EmbedForm, Encoding, Exchange, LocalBody, Provider};
use crate::providers::openai::{ChatQuestion, EmbedQuestion, OpenAi, chat_question, embed_question};

/// The translation; it has no state.
pub(crate) struct Echo;

impl Provider for Echo {
    fn chat(&self, call: &Call<'_>, ask: ChatAsk) -> Result<(Exchange, ChatForm), Failure> {
        let stream = ask.stream;
        let ChatQuestion { body, form } = chat_question(call.target, ask)?;
        let id = ids::uuid(call.clock).simple();
        let created = call.clock.unix_millis() / 1000;
        let answer: LocalBody = match form.encoding {
            Encoding::Dialect(Dialect::OpenaiCompletions) => {
                let reply = completion::Reply::new(&body, call.max_response_bytes)?;
                let id = format!("cmpl-{id}");
                if stream {
                    Box::new(completion::events(reply, &id, created))
                } else {
                    Box::new(std::iter::once(completion::whole(&reply, &id, created)))
                }
            }
            _ => {
                let reply = chat::Reply::new(&body, call.max_response_bytes)?;
                let id = format!("chatcmpl-{id}");
                if stream {
                    Box::new(chat::events(reply, &id, created))
                } else {
                    Box::new(std::iter::once(chat::whole(&reply, &id, created)))
                }
            }
        };
        Ok((Exchange::Local(answer), form))
    }

    fn chat_answer(&self, form: ChatForm, body: Bytes) -> Result<ChatResponse, Failure> {
        OpenAi.chat_answer(form, body)
    }

    fn chunks(&self, form: ChatForm) -> Box<dyn Chunks> {
        OpenAi.chunks(form)
    }

    fn embed(&self, call: &Call<'_>, ask: EmbedRequest) -> Result<(Exchange, EmbedForm), Failure> {
        let EmbedQuestion { body, form } = embed_question(&call.target.upstream_model, ask)?;
        let answer = embed::whole(&body, call.max_response_bytes)?;
        Ok((Exchange::Local(Box::new(std::iter::once(answer))), form))
    }

    fn embed_answer(&self, form: EmbedForm, body: Bytes) -> Result<EmbedResponse, Failure> {
        OpenAi.embed_answer(form, body)
    }

    fn places(&self, _call: &Call<'_>) -> Result<Vec<http::Request<Bytes>>, Failure> {
        Ok(Vec::new())
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Failure {
        OpenAi.failure(status, headers, body, now_ms)
    }
}

/// The words of a text, each with the white space behind it: its tokens.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

fn tokens(text: &str) -> usize {
    words(text).count()
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| rejected("", "the request has a value of a type that echo does not know"))
}

/// A request that an upstream would answer with 400.
fn rejected(param: &str, message: impl Into<String>) -> Failure {
    let failure = Failure::new(ErrorReason::UpstreamRejected, message)
        .with("upstream_status", "400")
        .with("upstream_type", "invalid_request_error");
    if param.is_empty() { failure } else { failure.with("upstream_param", param) }
}
