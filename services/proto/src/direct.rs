//! Calls to a server of the same process: messages go as they are, without being encoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::{self, Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// An answer on its way.
pub type Answering<'a, A> = Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send + 'a>>;

/// What stubs call through: it leads to a server elsewhere, or knows one in this process.
///
/// The two ways must not differ for the caller or the server: deadlines, panics and identity are the connection's.
pub trait Connection:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Status, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// The server that was registered as an `S`, where it is in this process.
    fn direct<S: Clone + 'static>(&self) -> Option<S>;

    /// An answer under way, with what the connection adds to it.
    type Answer<'a, A: Send + 'a>: Future<Output = Result<Response<A>, Status>> + Send + 'a;

    /// Has `serve` answer a request in this process.
    fn call_direct<'a, Q, A: Send + 'a>(
        request: Request<Q>,
        serve: impl FnOnce(Request<Q>) -> Answering<'a, A>,
    ) -> Self::Answer<'a, A>;
}

/// The messages of a stream, from this process or over the wire. Dropping it drops the call.
pub struct Messages<M>(From<M>);

enum From<M> {
    Direct(Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>),
    Wire(Box<Streaming<M>>),
}

impl<M: 'static> Messages<M> {
    /// Messages made in this process. A panic of theirs is the stream's end, with INTERNAL.
    pub fn direct(stream: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Self {
        Self(From::Direct(Box::pin(stream)))
    }

    /// Messages that are read from a connection.
    #[must_use]
    pub fn wire(stream: Streaming<M>) -> Self {
        Self(From::Wire(Box::new(stream)))
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// The status that the stream ended with.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        self.next().await.transpose()
    }
}

impl<M: 'static> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            From::Direct(stream) => match catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx))) {
                Ok(next) => next,
                // The panic hook has told of it; what is left of the stream must not be polled again.
                Err(_) => {
                    self.0 = From::Direct(Box::pin(tokio_stream::empty()));
                    Poll::Ready(Some(Err(Status::internal("internal error"))))
                }
            },
            From::Wire(stream) => Pin::new(stream).poll_next(cx),
        }
    }
}

impl<M> std::fmt::Debug for Messages<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Messages")
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_stream_that_panics_ends_with_internal() {
        let mut left = [1, 2].into_iter();
        let stream = tokio_stream::iter(std::iter::from_fn(move || match left.next() {
            Some(n) => Some(Ok(n)),
            None => panic!("on purpose"),
        }));
        let mut messages = Messages::direct(stream);
        let mut next = || {
            let cx = &mut Context::from_waker(Waker::noop());
            match Pin::new(&mut messages).poll_next(cx) {
                Poll::Ready(next) => next.map(|n| n.map_err(|status| status.code())),
                Poll::Pending => panic!("it waits for nothing"),
            }
        };
        assert_eq!([next(), next()], [Some(Ok(1)), Some(Ok(2))]);
        assert_eq!([next(), next()], [Some(Err(tonic::Code::Internal)), None]);
    }
}
