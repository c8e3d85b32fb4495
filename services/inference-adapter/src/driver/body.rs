//! Bodies of answers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use headgate_kit::Failure;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::deadlines::Watch;
use crate::failure;
use crate::provider::LocalBody;

/// Where a stream's bytes come from.
pub(crate) enum Source {
    /// An upstream.
    Upstream(Incoming),
    /// A provider that is built in.
    Local(LocalBody),
    /// Nowhere any more; the connection is closed or given back.
    Closed,
}

impl Source {
    /// The next read; `None` at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match self {
            Self::Upstream(body) => poll_data(body, cx).map_err(|cause| failure::broken_body(&cause)),
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

/// The next data of a body, trailers left out.
pub(super) fn poll_data(
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
            Some(Err(cause)) => return Poll::Ready(Some(Err(cause))),
            None => return Poll::Ready(None),
        }
    }
}

/// A whole body of at most `limit` bytes, before a deadline passes.
pub(super) async fn read_whole(
    mut body: Incoming,
    limit: usize,
    watch: &mut Watch,
) -> Result<Bytes, Failure> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
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
pub(super) async fn read_some(mut body: Incoming, limit: usize, watch: &mut Watch) -> Bytes {
    let mut some = BytesMut::new();
    while some.len() < limit {
        let Ok(Some(frame)) = next(&mut body, watch).await else { break };
        some.extend_from_slice(&frame);
    }
    some.truncate(limit);
    some.freeze()
}

async fn next(body: &mut Incoming, watch: &mut Watch) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            failure = watch.passed() => return Err(failure),
        };
        match frame {
            None => return Ok(None),
            Some(Err(cause)) => return Err(failure::broken_body(&cause)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
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
