//! Bodies of answers.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use headgate_kit::Failure;

use super::answer::AnswerBody;
use crate::deadlines::Watch;
use crate::failure;
use crate::provider::LocalBody;

/// Where a stream's bytes come from.
pub(crate) enum Source {
    /// An upstream.
    Upstream(AnswerBody),
    /// A provider that is built in.
    Local(LocalBody),
    /// Nowhere any more; the connection is closed or given back.
    Closed,
}

impl Source {
    /// The next read; `None` at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match self {
            Self::Upstream(body) => body.poll_data(cx).map_err(|cause| failure::broken_body(&cause)),
            Self::Local(body) => {
                // It never waits for anything, so it must leave room for others by itself.
                let turn = ready!(tokio::task::coop::poll_proceed(cx));
                turn.made_progress();
                Poll::Ready(body.next().map(Ok))
            }
            Self::Closed => Poll::Ready(None),
        }
    }
}

/// A whole body of at most `limit` bytes, before a deadline passes.
pub(super) async fn read_whole(
    mut body: AnswerBody,
    limit: usize,
    watch: &mut Watch,
) -> Result<Bytes, Failure> {
    let told = usize::try_from(body.least()).unwrap_or(usize::MAX);
    if told > limit {
        return Err(failure::too_large(limit));
    }
    let mut whole = Whole::default();
    while let Some(frame) = next(&mut body, watch).await? {
        if whole.len() + frame.len() > limit {
            return Err(failure::too_large(limit));
        }
        whole.add(frame, told);
    }
    Ok(whole.finish())
}

/// The beginning of an error's body: what comes before the limit, a deadline or a broken connection. The status says
/// enough by itself, so none of these is a failure of its own.
pub(super) async fn read_some(mut body: AnswerBody, limit: usize, watch: &mut Watch) -> Bytes {
    let mut some = BytesMut::new();
    while some.len() < limit {
        let Ok(Some(frame)) = next(&mut body, watch).await else { break };
        some.extend_from_slice(&frame);
    }
    some.truncate(limit);
    some.freeze()
}

async fn next(body: &mut AnswerBody, watch: &mut Watch) -> Result<Option<Bytes>, Failure> {
    let data = tokio::select! {
        biased;
        data = poll_fn(|cx| body.poll_data(cx)) => data,
        failure = watch.passed() => return Err(failure),
    };
    data.transpose().map_err(|cause| failure::broken_body(&cause))
}

/// Copies nothing as long as there is one frame, which is the usual case.
#[derive(Default)]
struct Whole {
    first: Bytes,
    all: BytesMut,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn add(&mut self, frame: Bytes, expected: usize) {
        if self.len() == 0 {
            self.first = frame;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(expected.max(self.first.len() + frame.len()));
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&frame);
    }

    fn finish(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}
