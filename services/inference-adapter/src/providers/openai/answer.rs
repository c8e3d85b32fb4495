//! Whole answers of OpenAI's API.

use bytes::Bytes;
use headgate_dialect::Invalid;
use headgate_dialect::openai::error;
use headgate_dialect::openai::response::{ChatFacts, completion_facts, mend_chat, mend_embeddings};
use headgate_dialect::openai::typed::{decode_chat, decode_embed};
use headgate_kit::Failure;
use headgate_proto::adapter::v1::{ChatResponse, EmbedResponse};
use headgate_proto::inference::v1::{self as inference, Dialect, DialectBody, chat_response, embed_response};
use http::{HeaderMap, StatusCode};

use crate::failure;
use crate::provider::{ChatForm, EmbedForm, Encoding};

/// Reads a chat answer.
pub(super) fn chat(form: ChatForm, body: Bytes) -> Result<ChatResponse, Failure> {
    let (mended, facts) = read(&form.encoding, body.clone()).map_err(|invalid| fault(&invalid, &body))?;
    let encoding = match form.encoding {
        Encoding::Dialect(of) => chat_response::Encoding::Dialect(dialect(of, mended)),
        Encoding::Typed { model } => {
            let typed = decode_chat(&mended, &model).map_err(|invalid| fault(&invalid, &body))?;
            chat_response::Encoding::Typed(typed)
        }
    };
    let response = inference::ChatResponse { encoding: Some(encoding), usage: facts.usage };
    Ok(ChatResponse { response: Some(response), output_bytes: facts.output_bytes })
}

/// Reads an embeddings answer.
pub(super) fn embed(form: EmbedForm, body: Bytes) -> Result<EmbedResponse, Failure> {
    let (mended, usage) =
        mend_embeddings(body.clone(), form.base64).map_err(|invalid| fault(&invalid, &body))?;
    let encoding = match form.encoding {
        Encoding::Dialect(of) => embed_response::Encoding::Dialect(dialect(of, mended)),
        Encoding::Typed { model } => {
            let typed = decode_embed(&mended, &model).map_err(|invalid| fault(&invalid, &body))?;
            embed_response::Encoding::Typed(typed)
        }
    };
    let response = inference::EmbedResponse { encoding: Some(encoding), usage };
    Ok(EmbedResponse { response: Some(response) })
}

/// What a chat answer says, and itself as its consumer expects it.
fn read(encoding: &Encoding, body: Bytes) -> Result<(Bytes, ChatFacts), Invalid> {
    match encoding {
        Encoding::Dialect(Dialect::OpenaiCompletions) => {
            let facts = completion_facts(&body)?;
            Ok((body, facts))
        }
        _ => mend_chat(body),
    }
}

fn dialect(dialect: Dialect, body: Bytes) -> DialectBody {
    DialectBody { dialect: dialect.into(), body }
}

/// Some servers answer 200 with an error: then their own words say more than ours.
fn fault(invalid: &Invalid, body: &[u8]) -> Failure {
    match error::parse(body) {
        Some(_) => failure::answered(StatusCode::OK, &HeaderMap::new(), body, 0),
        None => failure::unreadable(invalid),
    }
}
