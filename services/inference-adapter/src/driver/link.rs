//! A connection that speaks HTTP/1.1 and is driven by whoever uses it: no task and no queue stands between the socket
//! and the one who waits for its bytes, and dropping it closes the socket.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};

use tokio::runtime::{Handle, Id};

use super::connect::Io;

/// Why a request was not answered.
pub(super) enum Unanswered {
    /// It was never sent, since the connection had closed: here it is again.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It may have been sent.
    Broken(hyper::Error),
    /// The connection closed without a reason.
    Closed,
}

/// The connection.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<Io, Full<Bytes>>>>,
    runtime: Id,
}

impl Link {
    /// Speaks HTTP/1.1 over `io`.
    pub(super) async fn begin(io: Io) -> Result<Self, hyper::Error> {
        let (sender, connection) = Builder::new().handshake(io).await?;
        Ok(Self { sender, connection: Box::pin(connection), runtime: Handle::current().id() })
    }

    /// Sends a request and waits for the head of its answer, whose body comes as long as `drive` is called.
    // Not an async function: the future need not hold the request.
    pub(super) fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + Send {
        let answer = self.sender.try_send_request(request);
        let connection = self.connection.as_mut();
        async move {
            let (mut answer, mut connection) = (pin!(answer), connection);
            poll_fn(|cx| {
                let closed = connection.as_mut().poll(cx).is_ready();
                // Only the connection can make the answer ready, so nobody else has to wake us for it.
                match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
                    Poll::Ready(Err(failed)) => Poll::Ready(Err(unanswered(failed))),
                    Poll::Pending if closed => Poll::Ready(Err(Unanswered::Closed)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        }
    }

    /// Reads and writes what can be. Ready when the connection has closed; it must not be driven again then.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Why it closed is told by the answer or its body.
        self.connection.as_mut().poll(cx).map(drop)
    }

    /// The runtime that its socket belongs to.
    pub(super) fn runtime(&self) -> Id {
        self.runtime
    }

    /// Whether another request can be sent.
    pub(super) fn is_free(&mut self) -> bool {
        let closed = self.drive(&mut Context::from_waker(Waker::noop())).is_ready();
        !closed && self.sender.is_ready()
    }
}

fn unanswered(mut failed: TrySendError<Request<Full<Bytes>>>) -> Unanswered {
    match failed.take_message() {
        Some(request) => Unanswered::Unsent(Box::new(request)),
        None => Unanswered::Broken(failed.into_error()),
    }
}
