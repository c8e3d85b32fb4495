//! A connection that speaks HTTP/1.1 and is driven by whoever uses it: no task and no queue stands between the socket
//! and the one who waits for its bytes, and dropping it closes the socket.
//!
//! A library's client would do for what is asked here; but a third of what a streamed chunk costs was spent in its queue
//! between a connection and its body, which is where this gateway is measured.

mod framing;
mod request;
mod response;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::buf::Chain;
use bytes::{Buf as _, Bytes, BytesMut};
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;
use tokio::runtime::{Handle, Id};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use self::framing::Framing;
use super::broken::Broken;
use super::connect::Io;

/// The least room for a read, in bytes.
const LEAST_ROOM: usize = 1024;
/// The room that is made for the reads to come, in bytes.
const ROOM: usize = 8 * 1024;
/// The most room that is made at once for a body whose length is known, in bytes.
const MOST_ROOM: usize = 256 * 1024;

/// The connection: one request at a time, each after the body of the answer before it.
// Not `Debug`: what is to be sent holds the credential.
pub(super) struct Link {
    /// Boxed, as one with TLS is large.
    io: Box<TokioIo<Io>>,
    /// What was read and belongs to nobody yet.
    read: BytesMut,
    /// The request, as far as it was not written; `None` when all of it was.
    unsent: Option<Chain<Bytes, Bytes>>,
    /// Why the request could not be written, if so.
    unwritten: Option<io::Error>,
    framing: Framing,
    /// Whether another request may follow.
    keeps: bool,
    runtime: Id,
}

impl Link {
    /// Speaks HTTP/1.1 over `io`.
    pub(super) fn new(io: Io) -> Self {
        let (io, runtime) = (Box::new(TokioIo::new(io)), Handle::current().id());
        let (read, framing) = (BytesMut::new(), Framing::Done);
        Self { io, read, unsent: None, unwritten: None, framing, keeps: true, runtime }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Bytes>) -> Result<Response<()>, Broken> {
        let (parts, body) = request.into_parts();
        self.unsent = Some(request::head(&parts, body.len()).chain(body));
        // Until its end is known.
        self.framing = Framing::UntilClosed;
        poll_fn(|cx| self.poll_head(cx)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Broken>> {
        if let Err(cause) = self.poll_write(cx) {
            self.unwritten = Some(cause);
        }
        loop {
            if let Some(head) = response::head(&mut self.read)? {
                self.framing = head.framing;
                self.keeps &= head.keeps;
                return Poll::Ready(Ok(head.response));
            }
            // Even if the request cannot be written: an upstream that wants no more of it may have said why.
            match self.poll_fill(cx) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                Poll::Ready(end) => {
                    let cause = self.unwritten.take().or(end.err());
                    return Poll::Ready(Err(cause.map_or(Broken::Closed, Broken::Io)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next bytes of the answer's body, trailers left out; `None` at its end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        // The answer may begin before the request has ended. Whether it can be written matters no more.
        drop(self.poll_write(cx));
        loop {
            if let Some(data) = self.framing.take(&mut self.read)? {
                return Poll::Ready(Some(Ok(data)));
            }
            if self.framing == Framing::Done {
                return Poll::Ready(None);
            }
            if ready!(self.poll_fill(cx))? == 0 {
                if self.framing != Framing::UntilClosed {
                    return Poll::Ready(Some(Err(Broken::Closed)));
                }
                self.framing = Framing::Done;
            }
        }
    }

    /// Whether the answer's body was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.framing == Framing::Done
    }

    /// The least bytes of the body that are still to come.
    pub(super) fn least(&self) -> u64 {
        self.framing.least()
    }

    /// The runtime that its socket belongs to.
    pub(super) fn runtime(&self) -> Id {
        self.runtime
    }

    /// Whether another request can be sent.
    pub(super) fn is_free(&mut self) -> bool {
        let ready = self.keeps && self.is_done() && self.unsent.is_none() && self.read.is_empty();
        // Nothing may come now, neither its end nor an answer that nobody asked for.
        ready && self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Writes what can be of the request, and makes sure that it leaves.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), io::Error> {
        let Some(unsent) = &mut self.unsent else { return Ok(()) };
        let mut io = Pin::new(&mut *self.io);
        while unsent.has_remaining() {
            match poll_write_buf(io.as_mut(), cx, unsent) {
                Poll::Ready(Ok(0)) => return Err(self.broken(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(cause)) => return Err(self.broken(cause)),
                Poll::Pending => return Ok(()),
            }
        }
        match io.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.unsent = None,
            Poll::Ready(Err(cause)) => return Err(self.broken(cause)),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Gives the rest of a request up.
    fn broken(&mut self, cause: io::Error) -> io::Error {
        self.unsent = None;
        self.keeps = false;
        cause
    }

    /// Reads once. 0 at the connection's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < LEAST_ROOM {
            let told = usize::try_from(self.framing.least()).unwrap_or(MOST_ROOM);
            self.read.reserve(told.clamp(ROOM, MOST_ROOM));
        }
        poll_read_buf(Pin::new(&mut *self.io), cx, &mut self.read)
    }
}
