//! One chat prompt, answered in full.

use std::sync::Arc;

use bytes::Bytes;
use headgate_dialect::openai::{request as openai, typed};
use headgate_kit::error::Failure;
use headgate_kit::identity::is_peer;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::{BodyFacts, ChatRequest, ChatResponse, Dialect, TokenUsage};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::unary;
use crate::call::{Admission, Asked, Call, Run};
use crate::router::Parts;
use crate::{error, estimate, replay};

pub(super) async fn chat(
    parts: &Arc<Parts>,
    request: Request<ChatRequest>,
) -> Result<Response<ChatResponse>, Status> {
    let call = Call::begin(parts, request.metadata()).await?;
    let peer = is_peer(&request);
    let message = request.into_inner();
    let asked = match ask(&message, peer, false) {
        Ok(asked) => asked,
        Err(failure) => return Err(call.refuse(failure)),
    };
    match call.admit(asked, || digest(b"chat", &message)).await? {
        Admission::Run(run) => attempt(*run, message).await,
        Admission::Replay(headers, kept) => unary::replayed(&headers, kept),
    }
}

/// What a chat request asks for: read from the body, unless a peer already did.
pub(super) fn ask(message: &ChatRequest, peer: bool, streamed: bool) -> Result<Asked, Failure> {
    let (model, facts) = match &message.encoding {
        Some(Encoding::Typed(prompt)) => {
            (message.model.clone(), typed::check_chat(prompt).map_err(error::invalid)?)
        }
        Some(Encoding::Dialect(body)) if body.dialect() == Dialect::OpenaiChat => match &message.facts {
            Some(facts) if peer => (message.model.clone(), *facts),
            _ => peek(message, &body.body)?,
        },
        Some(Encoding::Dialect(_)) => {
            return Err(Failure::invalid("dialect.dialect", "the dialect must be a chat dialect"));
        }
        None => return Err(Failure::invalid("encoding", "a prompt is required: typed or dialect")),
    };
    if model.is_empty() {
        return Err(Failure::invalid("model", "a model is required"));
    }
    Ok(Asked { model, operation: Operation::Chat, facts, streamed })
}

fn peek(message: &ChatRequest, body: &Bytes) -> Result<(String, BodyFacts), Failure> {
    let peek = openai::peek_chat(body).map_err(error::invalid)?;
    let facts = peek.facts();
    let model = if message.model.is_empty() { peek.model.unwrap_or_default() } else { message.model.clone() };
    Ok((model, facts))
}

/// Tells requests apart: the same bytes, for the same model, by the same call.
pub(super) fn digest(call: &[u8], message: &ChatRequest) -> [u8; 32] {
    let mut sha = Sha256::new_with_prefix(call);
    let asked = ChatRequest { facts: None, ..message.clone() };
    sha.update(asked.encode_to_vec());
    sha.finalize().into()
}

async fn attempt(run: Run, message: ChatRequest) -> Result<Response<ChatResponse>, Status> {
    let (run, answer) = unary::attempt(run, |parts, target, output_token_cap| {
        let request =
            adapter::ChatRequest { target: Some(target), request: Some(message.clone()), output_token_cap };
        async move { parts.adapter.chat(request).await }
    })
    .await?;
    Ok(succeed(run, answer))
}

fn succeed(mut run: Run, answer: adapter::ChatResponse) -> Response<ChatResponse> {
    let mut response = answer.response.unwrap_or_default();
    let output_tokens = estimate::tokens(answer.output_bytes);
    let told: Option<TokenUsage> = response.usage;
    response.usage = told.or_else(|| Some(run.lease.estimate(output_tokens)));
    run.lease.keep(|kept| replay::push(kept, &response));
    run.lease.succeed(told, output_tokens);
    run.headers.response(response)
}
