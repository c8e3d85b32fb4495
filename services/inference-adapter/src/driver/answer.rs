//! The body of an upstream's answer, with the connection it comes over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;

use super::broken::Broken;
use super::http1::Link;
use super::pool::{Origin, Pool};

/// The body. When it was read to the end its connection is kept for the next request; dropped before, it is closed.
pub(crate) struct AnswerBody(Way);

/// The way it comes.
enum Way {
    /// HTTP/1.1, over a connection of its own, which is driven from here.
    Own { link: Link, pool: Arc<Pool>, origin: Origin },
    /// HTTP/2, over a connection that others use too.
    Shared(Incoming),
    /// None any more: the connection is closed or given back.
    Ended,
}

impl AnswerBody {
    /// A body over a connection of its own.
    pub(super) fn own(link: Link, pool: Arc<Pool>, origin: Origin) -> Self {
        let mut answer = Self(Way::Own { link, pool, origin });
        answer.give_back();
        answer
    }

    /// A body over a connection that others use too.
    pub(super) fn shared(body: Incoming) -> Self {
        Self(Way::Shared(body))
    }

    /// The least bytes that are still to come.
    pub(super) fn least(&self) -> u64 {
        match &self.0 {
            Way::Own { link, .. } => link.least(),
            Way::Shared(body) => body.size_hint().lower(),
            Way::Ended => 0,
        }
    }

    /// The next data, trailers left out; `None` at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let data = match &mut self.0 {
            Way::Own { link, .. } => ready!(link.poll_data(cx)),
            Way::Shared(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => break Some(Ok(data)),
                        Err(_trailers) => {}
                    },
                    end => break end.map(|failed| Err(failed.err().map_or(Broken::Closed, Broken::Http2))),
                }
            },
            Way::Ended => None,
        };
        match &data {
            Some(Ok(_)) => self.give_back(),
            Some(Err(_)) => self.0 = Way::Ended,
            None => {
                self.give_back();
                self.0 = Way::Ended;
            }
        }
        Poll::Ready(data)
    }

    /// Gives a connection back whose answer was read to the end.
    fn give_back(&mut self) {
        if matches!(&self.0, Way::Own { link, .. } if link.is_done())
            && let Way::Own { link, pool, origin } = std::mem::replace(&mut self.0, Way::Ended)
        {
            pool.put(&origin, link);
        }
    }
}
