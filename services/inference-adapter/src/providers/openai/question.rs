//! Questions as bodies of OpenAI's API.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_dialect::openai::request::{
    Peek, Reader, Splice, peek_embeddings, peek_of, splice, with_defaults,
};
use headgate_dialect::openai::typed::{encode_chat, encode_embed};
use headgate_kit::Failure;
use headgate_proto::adapter::v1::Target;
use headgate_proto::inference::v1::{BodyFacts, Dialect, EmbedRequest, chat_request, embed_request};

use crate::failure;
use crate::provider::{ChatAsk, ChatForm, EmbedForm, Encoding};

/// A chat question, ready to be sent.
pub(crate) struct ChatQuestion {
    /// The body.
    pub(crate) body: Bytes,
    /// How its answer is read.
    pub(crate) form: ChatForm,
}

/// An embeddings question, ready to be sent.
pub(crate) struct EmbedQuestion {
    /// The body.
    pub(crate) body: Bytes,
    /// How its answer is read.
    pub(crate) form: EmbedForm,
}

/// Asks the target's model of the upstream. A dialect body keeps every byte but the model's name, the output cap, whether
/// it is streamed, the demand for usage, without which streams could not be accounted, and the target's defaults of what
/// it does not say.
pub(crate) fn chat_question(target: &Target, ask: ChatAsk) -> Result<ChatQuestion, Failure> {
    let model = target.upstream_model.as_str();
    let ChatAsk { request, cap, stream, include_usage } = ask;
    let (body, encoding, choices) = match request.encoding {
        None => return Err(Failure::invalid("request", "request.typed or request.dialect is required")),
        Some(chat_request::Encoding::Typed(prompt)) => {
            let body = encode_chat(&prompt, model, stream, cap);
            (Bytes::from(body), Encoding::Typed { model: request.model.into() }, prompt.choices.unwrap_or(1))
        }
        Some(chat_request::Encoding::Dialect(body)) => {
            let dialect = body.dialect();
            let read = peek_of(dialect).ok_or_else(|| wrong_dialect("a chat dialect"))?;
            let body = body.body;
            let peek = peek(&body, request.facts, read)?;
            let changes = Splice {
                model: Some(model),
                include_usage: stream,
                max_output_tokens: cap,
                // Without a word on it, an upstream does not stream.
                stream: (stream || peek.stream).then_some(stream),
            };
            (splice(&body, &peek, &changes), Encoding::Dialect(dialect), peek.choices)
        }
    };
    let body = match &target.request_defaults {
        Some(defaults) => with_defaults(body, defaults).map_err(failure::request)?,
        None => body,
    };
    Ok(ChatQuestion { body, form: ChatForm { encoding, choices, include_usage } })
}

/// Asks `model` of the upstream. A dialect body keeps every byte but the model's name.
pub(crate) fn embed_question(model: &str, request: EmbedRequest) -> Result<EmbedQuestion, Failure> {
    let (body, form) = match request.encoding {
        None => return Err(Failure::invalid("request", "request.typed or request.dialect is required")),
        Some(embed_request::Encoding::Typed(input)) => {
            let encoding = Encoding::Typed { model: request.model.into() };
            (Bytes::from(encode_embed(&input, model)), EmbedForm { encoding, base64: false })
        }
        Some(embed_request::Encoding::Dialect(body)) => {
            let dialect = body.dialect();
            if dialect != Dialect::OpenaiEmbeddings {
                return Err(wrong_dialect(Dialect::OpenaiEmbeddings.as_str_name()));
            }
            let body = body.body;
            let peek = peek(&body, request.facts, peek_embeddings)?;
            let changes = Splice { model: Some(model), ..Splice::default() };
            let form = EmbedForm { encoding: Encoding::Dialect(dialect), base64: peek.base64 };
            (splice(&body, &peek, &changes), form)
        }
    };
    Ok(EmbedQuestion { body, form })
}

/// What the services before noted of the body, or what it says itself.
fn peek(body: &Bytes, facts: Option<BodyFacts>, read: Reader) -> Result<Peek, Failure> {
    match facts.and_then(|facts| Peek::noted(body, &facts)) {
        Some(peek) => Ok(peek),
        None => read(body).map_err(failure::request),
    }
}

fn wrong_dialect(expected: &str) -> Failure {
    let message = format!("request.dialect.dialect must be {expected} here");
    Failure::invalid("request.dialect.dialect", message)
}
