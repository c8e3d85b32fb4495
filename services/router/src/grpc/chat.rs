//! One chat prompt, answered in full.

use std::sync::Arc;

use headgate_dialect::openai::{request as openai, typed};
use headgate_kit::conn::Conn;
use headgate_kit::error::Failure;
use headgate_kit::identity::is_peer;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::adapter::v1::{AdapterServiceStub, Target};
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::{ChatRequest, ChatResponse, TokenUsage};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::read::Read;
use super::unary::{self, Unary};
use crate::attempt::Run;
use crate::call::{Admission, Call};
use crate::router::Parts;
use crate::{error, estimate, replay};

pub(super) async fn chat(
    parts: &Arc<Parts>,
    request: &mut Request<ChatRequest>,
) -> Result<Response<ChatResponse>, Status> {
    let mut call = Call::begin(parts, request.metadata()).await?;
    let peer = is_peer(request);
    let message = request.get_mut();
    let asked = match read(message, peer).and_then(|r| r.ask(&message.model, Operation::Chat, false)) {
        Ok(asked) => asked,
        Err(failure) => return Err(call.refuse(failure)),
    };
    match call.admit(&asked, || digest(b"chat", message)).await? {
        Admission::Run(mut run) => {
            let answer = unary::attempt::<Chat>(&mut run, message).await?;
            Ok(succeed(&mut run, answer))
        }
        Admission::Replay(headers, kept) => unary::replayed(headers, kept),
    }
}

/// Reads what a chat request asks for, and leaves only such facts in it as its next reader may believe: those of a
/// peer or our own, and none where there is no body.
pub(super) fn read(message: &mut ChatRequest, peer: bool) -> Result<Read, Failure> {
    let told = message.facts.take().filter(|_| peer);
    match &message.encoding {
        Some(Encoding::Typed(prompt)) => {
            Ok(Read { model: None, facts: typed::check_chat(prompt).map_err(error::invalid)? })
        }
        Some(Encoding::Dialect(body)) => {
            let peek = openai::peek_of(body.dialect()).ok_or_else(no_chat)?;
            let read = match told {
                Some(facts) => Read { model: None, facts },
                None => {
                    let peek = peek(&body.body).map_err(error::invalid)?;
                    Read { facts: peek.facts(), model: peek.model }
                }
            };
            message.facts = Some(read.facts);
            Ok(read)
        }
        None => Err(Failure::invalid("encoding", "a prompt is required: typed or dialect")),
    }
}

fn no_chat() -> Failure {
    Failure::invalid("dialect.dialect", "the dialect must be a chat dialect")
}

/// Tells requests apart: the same bytes, for the same model, by the same call.
pub(super) fn digest(call: &[u8], message: &ChatRequest) -> [u8; 32] {
    let mut sha = Sha256::new_with_prefix(call);
    let asked = ChatRequest { facts: None, ..message.clone() };
    sha.update(asked.encode_to_vec());
    sha.finalize().into()
}

struct Chat;

impl Unary for Chat {
    type Question = ChatRequest;
    type Answer = adapter::ChatResponse;

    fn call(
        adapter: &AdapterServiceStub<Conn>,
        target: Option<Target>,
        question: ChatRequest,
        output_token_cap: Option<u32>,
    ) -> impl Future<Output = Result<Response<adapter::ChatResponse>, Status>> + Send {
        adapter.chat(adapter::ChatRequest { target, request: Some(question), output_token_cap })
    }
}

fn succeed(run: &mut Run, answer: adapter::ChatResponse) -> Response<ChatResponse> {
    let mut response = answer.response.unwrap_or_default();
    let output_tokens = estimate::tokens(answer.output_bytes);
    let told: Option<TokenUsage> = response.usage;
    response.usage = told.or_else(|| Some(run.lease.estimate(output_tokens)));
    run.lease.keep(|kept| replay::push(kept, &response));
    run.lease.succeed(told, output_tokens);
    std::mem::take(&mut run.headers).response(response)
}
