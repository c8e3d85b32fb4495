//! A streamed answer as server-sent events (HTML Living Standard, "Server-sent events").

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::quiet::Quiet;
use headgate_kit::request_id::RequestId;
use headgate_proto::direct::Messages;
use headgate_proto::inference::v1::StreamChatResponse;
use headgate_proto::inference::v1::stream_chat_response::Encoding;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::error::Refusal;

/// A line that clients ignore and idle timeouts on the way do not.
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Tells nginx and its kin to pass events on as they come.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");

/// Says that an answer is a stream of events.
pub(crate) fn say_so(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(X_ACCEL_BUFFERING, NO);
}

/// A message that may say something to the client.
pub(crate) trait IntoEvent {
    /// What is written of it, if anything.
    ///
    /// # Errors
    /// What ends the stream.
    fn into_event(self) -> Result<Option<Bytes>, Status>;
}

impl IntoEvent for StreamChatResponse {
    fn into_event(self) -> Result<Option<Bytes>, Status> {
        match self.encoding {
            Some(Encoding::DialectEvents(bytes)) if !bytes.is_empty() => Ok(Some(bytes)),
            Some(Encoding::Typed(_)) => {
                Err(Failure::internal("a dialect request was answered in the typed encoding").into())
            }
            // Usage alone is the router's business.
            Some(Encoding::DialectEvents(_)) | None => Ok(None),
        }
    }
}

/// Passes events on as they come. Dropping it drops the call. No task and no channel: whoever writes the response
/// polls the call itself.
pub(crate) struct EventStream<S = Messages<StreamChatResponse>> {
    /// `None` once the last event was given.
    messages: Option<S>,
    request_id: RequestId,
    patience: Duration,
    quiet_since: Instant,
    /// Wakes at `quiet_since + patience` or before: it is moved only when it fires, as that is cheaper than moving
    /// it for every event.
    alarm: Quiet<Sleep>,
}

impl<S, M> EventStream<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: IntoEvent,
{
    /// Events of `messages`, and a comment whenever nothing came for `patience`.
    pub(crate) fn new(messages: S, patience: Duration, request_id: RequestId) -> Self {
        let quiet_since = Instant::now();
        let alarm = Quiet::new(tokio::time::sleep_until(quiet_since + patience));
        Self { messages: Some(messages), request_id, patience, quiet_since, alarm }
    }

    /// The next bytes to write, or `None` at the end.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(messages) = &mut self.messages else { return Poll::Ready(None) };
        match poll_bytes(messages, cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.quiet_since = Instant::now();
                Poll::Ready(Some(bytes))
            }
            Poll::Ready(Some(Err(status))) => {
                self.messages = None;
                Poll::Ready(Some(error_event(&status, &self.request_id)))
            }
            Poll::Ready(None) => {
                self.messages = None;
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_comment(cx),
        }
    }

    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            ready!(Pin::new(&mut self.alarm).poll(cx));
            let now = Instant::now();
            let silent = now >= self.quiet_since + self.patience;
            if silent {
                self.quiet_since = now;
            }
            self.alarm.get_mut().reset(self.quiet_since + self.patience);
            if silent {
                return Poll::Ready(Some(COMMENT));
            }
        }
    }
}

/// The next message that has something to write.
fn poll_bytes<S, M>(messages: &mut S, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: IntoEvent,
{
    loop {
        let event = match ready!(Pin::new(&mut *messages).poll_next(cx)) {
            None => return Poll::Ready(None),
            Some(message) => message.and_then(M::into_event).transpose(),
        };
        if event.is_some() {
            return Poll::Ready(event);
        }
    }
}

/// What ends a broken stream: an error where the client reads content, and no end marker after it.
fn error_event(status: &Status, request_id: &RequestId) -> Bytes {
    let mut event = b"data: ".to_vec();
    event.extend(Refusal::from(status).encode(request_id));
    event.extend(b"\n\n");
    event.into()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use headgate_kit::clock::Clock;

    use super::*;

    fn message(events: &'static str) -> StreamChatResponse {
        let encoding = Some(Encoding::DialectEvents(Bytes::from_static(events.as_bytes())));
        StreamChatResponse { encoding, usage: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_comes_only_after_a_whole_silence() {
        let begin = Instant::now();
        let script = async_stream::stream! {
            for wait in [0, 14, 14, 31] {
                tokio::time::sleep(Duration::from_secs(wait)).await;
                yield Ok(message("data: x\n\n"));
            }
        };
        let id = RequestId::of(&HeaderMap::new(), &Clock::manual(0));
        let mut events = EventStream::new(Box::pin(script), Duration::from_secs(15), id);
        let mut seen = Vec::new();
        while let Some(event) = poll_fn(|cx| events.poll_event(cx)).await {
            seen.push((begin.elapsed().as_secs(), event == COMMENT));
        }
        let expected = [(0, false), (14, false), (28, false), (43, true), (58, true), (59, false)];
        assert_eq!(seen, expected);
    }
}
