//! The body of a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer;
use crate::stats::Stats;

/// Chunks paced by absolute deadlines, so that a slow reader does not shift the schedule. Dropped before its end, it
/// counts as cancelled.
pub(crate) struct SseBody {
    stats: Arc<Stats>,
    sleep: Pin<Box<Sleep>>,
    next_at: Instant,
    delay: Duration,
    sent: u32,
    chunks: u32,
    usage: bool,
    done: bool,
}

impl SseBody {
    /// A stream whose first chunk is due now.
    pub(crate) fn new(stats: Arc<Stats>, chunks: u32, delay: Duration, usage: bool) -> Self {
        let next_at = Instant::now();
        let sleep = Box::pin(sleep_until(next_at));
        Self { stats, sleep, next_at, delay, sent: 0, chunks, usage, done: false }
    }

    fn tail(&mut self) -> String {
        self.done = true;
        self.stats.completed.add(1);
        self.stats.tokens.add(answer::PROMPT_TOKENS + u64::from(self.chunks));
        answer::tail(self.chunks, self.usage)
    }
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.done {
            return Poll::Ready(None);
        }
        if self.sent == self.chunks {
            return Poll::Ready(Some(Ok(Frame::data(self.tail().into()))));
        }
        if self.next_at > Instant::now() {
            ready!(self.sleep.as_mut().poll(context));
        }
        let chunk = answer::chunk(self.sent == 0);
        self.sent += 1;
        self.stats.chunks.add(1);
        let next_at = self.next_at + self.delay;
        self.next_at = next_at;
        self.sleep.as_mut().reset(next_at);
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }
}

impl Drop for SseBody {
    fn drop(&mut self) {
        if !self.done {
            self.stats.cancelled.add(1);
        }
    }
}
