//! What a response says: one piece, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headgate_kit::scope::InRequest;
use http_body::{Frame, SizeHint};

use crate::events::EventStream;
use crate::transcode::Events;

/// A response body.
pub(crate) enum Body {
    /// One piece; empty when it was taken.
    Whole(Bytes),
    /// Events as they come.
    Events(Box<InRequest<EventStream>>),
    /// The messages of any call, as events.
    Messages(Box<InRequest<EventStream<Events>>>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Events(events) => events.with(|events| events.poll_event(cx)),
            Self::Messages(events) => events.with(|events| events.poll_event(cx)),
        };
        event.unwrap_or(Poll::Ready(None)).map(|event| event.map(|e| Ok(Frame::data(e))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) | Self::Messages(_) => SizeHint::default(),
        }
    }
}
