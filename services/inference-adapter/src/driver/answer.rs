//! The body of an upstream's answer, with the connection it comes over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::pool::{Origin, Pool};

/// The body. When it was read to the end its connection is kept for the next request; dropped before, it is closed.
pub(crate) struct AnswerBody {
    body: Incoming,
    /// Driven from here. `None` over HTTP/2, and when the connection is closed or given back.
    own: Option<Own>,
    /// Whether the connection knows that data is wanted: it reads none before.
    wanted: bool,
}

struct Own {
    link: Link,
    pool: Arc<Pool>,
    origin: Origin,
}

impl AnswerBody {
    /// A body over a connection of its own.
    pub(super) fn own(body: Incoming, link: Link, pool: Arc<Pool>, origin: Origin) -> Self {
        let mut answer = Self { body, own: Some(Own { link, pool, origin }), wanted: false };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    /// A body over a connection that others use too.
    pub(super) fn shared(body: Incoming) -> Self {
        Self { body, own: None, wanted: false }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The next data, trailers left out.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        // Once data is wanted it comes by driving and by nothing else, so that comes first.
        let mut driven = self.wanted && self.drive(cx);
        loop {
            // Only the connection brings data, so as long as it is driven from here nobody else has to wake us.
            let next = match &self.own {
                Some(_) => Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop())),
                None => Pin::new(&mut self.body).poll_frame(cx),
            };
            match next {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if self.body.is_end_stream() {
                        self.give_back();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    self.own = None;
                    return Poll::Ready(Some(Err(cause)));
                }
                Poll::Ready(None) => {
                    self.give_back();
                    return Poll::Ready(None);
                }
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {
                    if !self.drive(cx) {
                        return Poll::Pending;
                    }
                    (driven, self.wanted) = (true, true);
                }
            }
        }
    }

    /// Reads and writes what the connection can. `false` when there is none of our own.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(own) = &mut self.own else { return false };
        if own.link.drive(cx).is_ready() {
            self.own = None;
        }
        true
    }

    fn give_back(&mut self) {
        if let Some(Own { link, pool, origin }) = self.own.take() {
            pool.put(&origin, link);
        }
    }
}
