//! One chat prompt, answered piece by piece.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use headgate_kit::error::Failure;
use headgate_kit::identity::is_peer;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::chat_request::Encoding as Asking;
use headgate_proto::inference::v1::stream_chat_response::Encoding;
use headgate_proto::inference::v1::{ChatRequest, StreamChatRequest, StreamChatResponse};
use tonic::{Request, Response, Status};

use super::chat::{digest, read};
use crate::attempt::Run;
use crate::call::{Admission, Call};
use crate::headers::Headers;
use crate::router::Parts;
use crate::{error, replay};

/// What the consumer reads. Dropping it drops the attempt behind it.
pub(crate) type ChatStream = Pin<Box<dyn Stream<Item = Result<StreamChatResponse, Status>> + Send>>;

/// OpenAI's end marker: no event that carries JSON can end like this.
const DONE: &[u8] = b"data: [DONE]";

pub(super) async fn stream_chat(
    parts: &Arc<Parts>,
    request: Request<StreamChatRequest>,
) -> Result<Response<ChatStream>, Status> {
    let mut call = Call::begin(parts, request.metadata()).await?;
    let peer = is_peer(&request);
    let Some(mut message) = request.into_inner().request else {
        return Err(call.refuse(Failure::invalid("request", "a request is required")));
    };
    let asked = match read(&mut message, peer).and_then(|r| r.ask(&message.model, Operation::Chat, true)) {
        Ok(asked) => asked,
        Err(failure) => return Err(call.refuse(failure)),
    };
    // A typed consumer always gets the usage; another only if its body asks for the usage chunk.
    let typed = matches!(message.encoding, Some(Asking::Typed(_)));
    let include_usage = asked.facts.include_usage || typed;
    match call.admit(&asked, || digest(b"stream_chat", &message)).await? {
        Admission::Run(run) => begin(run, message, include_usage).await,
        Admission::Replay(headers, kept) => replayed(headers, kept),
    }
}

/// Waits for the first piece, so that an early failure is the call's own status; not for longer than the head may
/// wait.
async fn begin(
    mut run: Box<Run>,
    message: ChatRequest,
    include_usage: bool,
) -> Result<Response<ChatStream>, Status> {
    let headers = std::mem::take(&mut run.headers);
    let head_wait = Duration::from_millis(run.lease.parts().config.head_wait_ms);
    let mut pieces: ChatStream = Box::pin(pieces(run, message, include_usage));
    match tokio::time::timeout(head_wait, pieces.next()).await {
        Ok(Some(Err(status))) => Err(headers.refuse(Failure::from_status(&status))),
        Ok(first) => Ok(headers.response(Box::pin(stream::iter(first).chain(pieces)))),
        Err(_) => Ok(headers.response(pieces)),
    }
}

fn pieces(
    mut run: Box<Run>,
    mut message: ChatRequest,
    include_usage: bool,
) -> impl Stream<Item = Result<StreamChatResponse, Status>> + Send {
    stream! {
        let typed = matches!(message.encoding, Some(Asking::Typed(_)));
        let mut failure = error::no_target();
        'targets: while let Some(attempt) = run.next_attempt() {
            let question = if run.is_last() { std::mem::take(&mut message) } else { message.clone() };
            let request = adapter::StreamChatRequest {
                target: run.target(attempt),
                request: Some(question),
                output_token_cap: run.output_token_cap,
                include_usage,
            };
            let mut upstream = match run.lease.parts().adapter.stream_chat(request).await {
                Ok(response) => response.into_inner(),
                Err(status) => match run.failed(attempt, &status) {
                    Ok(()) => continue 'targets,
                    Err(last) => {
                        failure = last;
                        break 'targets;
                    }
                },
            };
            let mut forwarded = false;
            loop {
                match upstream.message().await {
                    Ok(Some(piece)) => {
                        let Some(response) = take(&mut run, piece) else { continue };
                        if is_last(&response) {
                            run.lease.attempted(attempt, None);
                            run.lease.succeed(None, 0);
                        }
                        forwarded = true;
                        yield Ok(response);
                    }
                    Ok(None) => {
                        run.lease.attempted(attempt, None);
                        run.lease.succeed(None, 0);
                        if let (true, Some(usage)) = (typed, run.lease.untold_usage()) {
                            yield Ok(StreamChatResponse { usage: Some(usage), encoding: None });
                        }
                        return;
                    }
                    Err(status) if forwarded => {
                        failure = run.broke(attempt, &status);
                        break 'targets;
                    }
                    Err(status) => match run.failed(attempt, &status) {
                        Ok(()) => continue 'targets,
                        Err(last) => {
                            failure = last;
                            break 'targets;
                        }
                    },
                }
            }
        }
        run.lease.fail(&failure);
        yield Err(Status::from(failure));
    }
}

/// Counts a piece. `None` when nothing of it is for the consumer.
fn take(run: &mut Run, piece: adapter::StreamChatResponse) -> Option<StreamChatResponse> {
    let response = piece.response?;
    run.lease.delivered(piece.content_chunks, response.usage);
    if response.usage.is_some() {
        run.lease.completed();
    }
    response.encoding.as_ref()?;
    run.lease.keep(|kept| replay::push(kept, &response));
    Some(response)
}

/// Whether this piece completes the answer, so that the consumer may leave when it has it.
fn is_last(response: &StreamChatResponse) -> bool {
    match &response.encoding {
        Some(Encoding::DialectEvents(events)) => events.trim_ascii_end().ends_with(DONE),
        Some(Encoding::Typed(delta)) => response.usage.is_some() && delta.choices.is_empty(),
        None => false,
    }
}

fn replayed(headers: Headers, kept: Bytes) -> Result<Response<ChatStream>, Status> {
    match replay::read(kept) {
        Ok(pieces) => Ok(headers.response(Box::pin(stream::iter(pieces.into_iter().map(Ok))))),
        Err(failure) => Err(headers.refuse(failure)),
    }
}
