//! Texts into vectors.

use std::sync::Arc;

use headgate_dialect::openai::{request as openai, typed};
use headgate_kit::conn::Conn;
use headgate_kit::error::Failure;
use headgate_kit::identity::is_peer;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::adapter::v1::{AdapterServiceStub, Target};
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::embed_request::Encoding;
use headgate_proto::inference::v1::{Dialect, EmbedRequest, EmbedResponse};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::read::Read;
use super::unary::{self, Unary};
use crate::attempt::Run;
use crate::call::{Admission, Call};
use crate::router::Parts;
use crate::{error, replay};

pub(super) async fn embed(
    parts: &Arc<Parts>,
    request: &mut Request<EmbedRequest>,
) -> Result<Response<EmbedResponse>, Status> {
    let mut call = Call::begin(parts, request.metadata()).await?;
    let peer = is_peer(request);
    let message = request.get_mut();
    let asked = match read(message, peer).and_then(|r| r.ask(&message.model, Operation::Embeddings, false)) {
        Ok(asked) => asked,
        Err(failure) => return Err(call.refuse(failure)),
    };
    match call.admit(&asked, || digest(message)).await? {
        Admission::Run(mut run) => {
            let answer = unary::attempt::<Embed>(&mut run, message).await?;
            Ok(succeed(&mut run, answer))
        }
        Admission::Replay(headers, kept) => unary::replayed(headers, kept),
    }
}

/// As with chat: reads what is asked for, and leaves only such facts in the request as its next reader may believe.
fn read(message: &mut EmbedRequest, peer: bool) -> Result<Read, Failure> {
    let told = message.facts.take().filter(|_| peer);
    match &message.encoding {
        Some(Encoding::Typed(input)) => {
            Ok(Read { model: None, facts: typed::check_embed(input).map_err(error::invalid)? })
        }
        Some(Encoding::Dialect(body)) if body.dialect() == Dialect::OpenaiEmbeddings => {
            let read = match told {
                Some(facts) => Read { model: None, facts },
                None => {
                    let peek = openai::peek_embeddings(&body.body).map_err(error::invalid)?;
                    Read { facts: peek.facts(), model: peek.model }
                }
            };
            message.facts = Some(read.facts);
            Ok(read)
        }
        Some(Encoding::Dialect(_)) => {
            Err(Failure::invalid("dialect.dialect", "the dialect must be an embeddings dialect"))
        }
        None => Err(Failure::invalid("encoding", "an input is required: typed or dialect")),
    }
}

fn digest(message: &EmbedRequest) -> [u8; 32] {
    let mut sha = Sha256::new_with_prefix(b"embed");
    let asked = EmbedRequest { facts: None, ..message.clone() };
    sha.update(asked.encode_to_vec());
    sha.finalize().into()
}

struct Embed;

impl Unary for Embed {
    type Question = EmbedRequest;
    type Answer = adapter::EmbedResponse;

    fn call(
        adapter: &AdapterServiceStub<Conn>,
        target: Option<Target>,
        question: EmbedRequest,
        _: Option<u32>,
    ) -> impl Future<Output = Result<Response<adapter::EmbedResponse>, Status>> + Send {
        adapter.embed(adapter::EmbedRequest { target, request: Some(question) })
    }
}

fn succeed(run: &mut Run, answer: adapter::EmbedResponse) -> Response<EmbedResponse> {
    let mut response = answer.response.unwrap_or_default();
    let told = response.usage;
    response.usage = told.or_else(|| Some(run.lease.estimate(0)));
    run.lease.keep(|kept| replay::push(kept, &response));
    run.lease.succeed(told, 0);
    std::mem::take(&mut run.headers).response(response)
}
