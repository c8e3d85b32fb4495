//! Texts into vectors.

use std::sync::Arc;

use bytes::Bytes;
use headgate_dialect::openai::{request as openai, typed};
use headgate_kit::error::Failure;
use headgate_kit::identity::is_peer;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::embed_request::Encoding;
use headgate_proto::inference::v1::{BodyFacts, Dialect, EmbedRequest, EmbedResponse};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::unary;
use crate::call::{Admission, Asked, Call, Run};
use crate::router::Parts;
use crate::{error, replay};

pub(super) async fn embed(
    parts: &Arc<Parts>,
    request: Request<EmbedRequest>,
) -> Result<Response<EmbedResponse>, Status> {
    let call = Call::begin(parts, request.metadata()).await?;
    let peer = is_peer(&request);
    let message = request.into_inner();
    let asked = match ask(&message, peer) {
        Ok(asked) => asked,
        Err(failure) => return Err(call.refuse(failure)),
    };
    match call.admit(asked, || digest(&message)).await? {
        Admission::Run(run) => attempt(*run, message).await,
        Admission::Replay(headers, kept) => unary::replayed(&headers, kept),
    }
}

fn ask(message: &EmbedRequest, peer: bool) -> Result<Asked, Failure> {
    let (model, facts) = match &message.encoding {
        Some(Encoding::Typed(input)) => {
            (message.model.clone(), typed::check_embed(input).map_err(error::invalid)?)
        }
        Some(Encoding::Dialect(body)) if body.dialect() == Dialect::OpenaiEmbeddings => {
            match &message.facts {
                Some(facts) if peer => (message.model.clone(), *facts),
                _ => peek(message, &body.body)?,
            }
        }
        Some(Encoding::Dialect(_)) => {
            return Err(Failure::invalid("dialect.dialect", "the dialect must be an embeddings dialect"));
        }
        None => return Err(Failure::invalid("encoding", "an input is required: typed or dialect")),
    };
    if model.is_empty() {
        return Err(Failure::invalid("model", "a model is required"));
    }
    Ok(Asked { model, operation: Operation::Embeddings, facts, streamed: false })
}

fn peek(message: &EmbedRequest, body: &Bytes) -> Result<(String, BodyFacts), Failure> {
    let peek = openai::peek_embeddings(body).map_err(error::invalid)?;
    let facts = peek.facts();
    let model = if message.model.is_empty() { peek.model.unwrap_or_default() } else { message.model.clone() };
    Ok((model, facts))
}

fn digest(message: &EmbedRequest) -> [u8; 32] {
    let mut sha = Sha256::new_with_prefix(b"embed");
    let asked = EmbedRequest { facts: None, ..message.clone() };
    sha.update(asked.encode_to_vec());
    sha.finalize().into()
}

async fn attempt(run: Run, message: EmbedRequest) -> Result<Response<EmbedResponse>, Status> {
    let (run, answer) = unary::attempt(run, |parts, target, _| {
        let request = adapter::EmbedRequest { target: Some(target), request: Some(message.clone()) };
        async move { parts.adapter.embed(request).await }
    })
    .await?;
    Ok(succeed(run, answer))
}

fn succeed(mut run: Run, answer: adapter::EmbedResponse) -> Response<EmbedResponse> {
    let mut response = answer.response.unwrap_or_default();
    let told = response.usage;
    response.usage = told.or_else(|| Some(run.lease.estimate(0)));
    run.lease.keep(|kept| replay::push(kept, &response));
    run.lease.succeed(told, 0);
    run.headers.response(response)
}
