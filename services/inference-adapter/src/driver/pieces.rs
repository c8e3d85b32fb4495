//! A streamed answer on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::scope::carried;
use headgate_kit::tasks::Tasks;
use headgate_proto::adapter::v1::StreamChatResponse;
use http::HeaderValue;
use tonic::Status;

use super::answer::AnswerBody;
use super::body::Source;
use crate::credential;
use crate::deadlines::{Phase, Watch};
use crate::failure;
use crate::metrics::Attempt;
use crate::provider::Chunks;

/// How long an upstream may take to end its body after the end marker, for its connection to be used again.
const DRAIN: Duration = Duration::from_secs(1);

/// The pieces of a streamed answer, read from the upstream as they are asked for. No task stands behind it: dropping
/// it closes the upstream's connection.
pub struct Pieces {
    source: Source,
    chunks: Box<dyn Chunks>,
    watch: Watch,
    /// Whether the upstream was asked for more and has not answered.
    waiting: bool,
    ended: bool,
    credential: Option<HeaderValue>,
    attempt: Attempt,
    tasks: Tasks,
}

impl Pieces {
    pub(crate) fn new(
        source: Source,
        chunks: Box<dyn Chunks>,
        watch: Watch,
        credential: Option<HeaderValue>,
        attempt: Attempt,
        tasks: Tasks,
    ) -> Self {
        Self { source, chunks, watch, waiting: false, ended: false, credential, attempt, tasks }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamChatResponse, Failure>>> {
        loop {
            if let Some(piece) = self.chunks.next() {
                return Poll::Ready(Some(piece));
            }
            if self.chunks.done() {
                return Poll::Ready(None);
            }
            match ready!(self.poll_read(cx)) {
                Some(Ok(read)) => self.chunks.push(read),
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => {
                    self.source = Source::Closed;
                    return Poll::Ready(self.chunks.end());
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Poll::Ready(read) = self.source.poll_read(cx) {
            self.waiting = false;
            return Poll::Ready(read);
        }
        // Silence counts from when more was wanted: a slow consumer is not the upstream's fault.
        if !self.waiting && self.watch.phase() == Phase::InterChunk {
            self.watch.alive();
        }
        self.waiting = true;
        self.watch.poll_passed(cx).map(|failure| Some(Err(failure)))
    }

    fn failed(&mut self, failure: Failure) -> Status {
        self.ended = true;
        self.source = Source::Closed;
        self.attempt.failed(&failure);
        redacted(failure, self.credential.as_ref()).into()
    }

    fn finished(&mut self) {
        self.ended = true;
        self.attempt.done();
        if let Source::Upstream(body) = std::mem::replace(&mut self.source, Source::Closed) {
            give_back(body, &self.tasks);
        }
    }
}

impl Stream for Pieces {
    type Item = Result<StreamChatResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.poll_piece(cx)) {
            Some(Ok(piece)) => {
                if piece.content_chunks > 0 && self.watch.phase() == Phase::FirstByte {
                    self.watch.enter(Phase::InterChunk);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(failure)) => Poll::Ready(Some(Err(self.failed(failure)))),
            None if self.chunks.done() => {
                self.finished();
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(Err(self.failed(failure::cut())))),
        }
    }
}

/// What the upstream said, without the credential and of bounded length.
pub(crate) fn redacted(failure: Failure, credential: Option<&HeaderValue>) -> Failure {
    failure::redact(failure, credential.map_or("", credential::secret))
}

/// A connection is used again only when its answer was read to the end. What is left of it is usually here already.
fn give_back(mut body: AnswerBody, tasks: &Tasks) {
    let mut now = Context::from_waker(std::task::Waker::noop());
    loop {
        match body.poll_data(&mut now) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => return,
            Poll::Pending => break,
        }
    }
    tasks.spawn(carried(async move {
        let drained = tokio::time::timeout(DRAIN, async {
            while let Some(Ok(_)) = std::future::poll_fn(|cx| body.poll_data(cx)).await {}
        });
        if drained.await.is_err() {
            tracing::debug!("an upstream did not end its answer after the end marker");
        }
    }));
}
