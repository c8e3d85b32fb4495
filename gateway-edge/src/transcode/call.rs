//! Makes the call that a request stands for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::request_id::RequestId;
use headgate_kit::scope::InRequest;
use http::{HeaderMap, Response};
use prost_reflect::DynamicMessage;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use super::codec::DynamicCodec;
use super::contract::Binding;
use super::names::Names;
use super::{Given, Match, Transcoder, answer, bind, etag};
use crate::body::Body;
use crate::events::{self, EventStream, IntoEvent};
use crate::service::Answer;

/// How long a service may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request for a call, whose body is read.
pub(crate) struct Asked<'a> {
    pub(crate) found: &'a Match,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// What the client sent.
    pub(crate) headers: &'a HeaderMap,
    /// What the service is told of the client.
    pub(crate) metadata: HeaderMap,
    pub(crate) id: &'a RequestId,
    /// How long a stream may be silent before a comment is sent.
    pub(crate) keep_alive: Duration,
}

impl Transcoder {
    /// Answers a request by the call that it stands for.
    pub(crate) async fn answer(&self, asked: Asked<'_>) -> Answer {
        let binding = &asked.found.binding;
        let etag = etag::wanted(binding, asked.headers)?;
        let given = Given { captures: &asked.found.captures, query: asked.query, body: asked.body, etag };
        let mut names = Names::of(binding);
        let message = bind::message(binding, given, &mut names)?;
        let Some(service) = self.service(binding) else {
            let text =
                format!("this gateway has no connection to {}", binding.method.parent_service().name());
            return Err(Failure::new(ErrorReason::NotFound, text).into());
        };
        let metadata = tonic::metadata::MetadataMap::from_headers(asked.metadata);
        let mut request = Request::from_parts(metadata, tonic::Extensions::new(), message);
        request.set_timeout(PATIENCE);
        let mut client = Grpc::new(service.clone()).max_decoding_message_size(self.answer_bytes);
        let refusal = |status| answer::refusal(&names, &status);
        client.ready().await.map_err(refusal)?;
        let codec = DynamicCodec(binding.method.output());
        if binding.method.is_server_streaming() {
            let response = client.server_streaming(request, binding.rpc.clone(), codec).await;
            return Ok(stream(binding, response.map_err(refusal)?, asked.id, asked.keep_alive));
        }
        let response = client.unary(request, binding.rpc.clone(), codec).await;
        answer::of(binding, &response.map_err(refusal)?)
    }
}

/// The messages of a stream as events.
pub(crate) struct Events {
    messages: Streaming<DynamicMessage>,
    binding: Arc<Binding>,
}

/// What one message says.
pub(crate) struct Event(Bytes);

impl IntoEvent for Event {
    fn into_event(self) -> Result<Option<Bytes>, Status> {
        Ok(Some(self.0))
    }
}

impl Stream for Events {
    type Item = Result<Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(message.map(|message| Ok(Event(answer::event(&self.binding, &message?)?))))
    }
}

fn stream(
    binding: &Arc<Binding>,
    response: tonic::Response<Streaming<DynamicMessage>>,
    id: &RequestId,
    keep_alive: Duration,
) -> Response<Body> {
    let mut headers = answer::headers(response.metadata());
    events::say_so(&mut headers);
    let messages = Events { messages: response.into_inner(), binding: Arc::clone(binding) };
    let events = EventStream::new(messages, keep_alive, id.clone());
    let mut answer = Response::new(Body::Messages(Box::new(InRequest::carried(events))));
    *answer.headers_mut() = headers;
    answer
}
