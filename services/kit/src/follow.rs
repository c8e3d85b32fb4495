//! The client side of a watch: connects, applies, and begins anew when the stream breaks, for ever.

use std::time::Duration;

use tonic::{Response, Status, Streaming};

use crate::seldom::Seldom;
use crate::tasks::Tasks;

/// A heartbeat comes every 250 ms: a stream that is silent for this long is broken.
const SILENCE: Duration = Duration::from_secs(2);
const BACKOFF: Duration = Duration::from_millis(100);

/// Runs until the tasks are stopped. `open` begins a stream (whose first message is a snapshot), `apply` takes what
/// comes.
pub fn follow<M, Open, Opening, Apply>(tasks: &Tasks, what: &'static str, open: Open, apply: Apply)
where
    M: Send + Sync + 'static,
    Open: Fn() -> Opening + Send + Sync + 'static,
    Opening: Future<Output = Result<Response<Streaming<M>>, Status>> + Send,
    Apply: Fn(M) + Send + Sync + 'static,
{
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        let told = Seldom::new();
        while !stopping.is_cancelled() {
            tokio::select! {
                // First: a peer that stops with us is no news.
                biased;
                () = stopping.cancelled() => return,
                cause = read(&open, &apply) => if let Some(left_out) = told.due() {
                    tracing::warn!(what, %cause, left_out, "watch broke, connecting anew");
                },
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(BACKOFF) => {}
            }
        }
    });
}

async fn read<M, Open, Opening, Apply>(open: &Open, apply: &Apply) -> Status
where
    Open: Fn() -> Opening,
    Opening: Future<Output = Result<Response<Streaming<M>>, Status>>,
    Apply: Fn(M),
{
    let mut stream = match tokio::time::timeout(SILENCE, open()).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return status,
        Err(_) => return Status::unavailable("no answer"),
    };
    loop {
        match tokio::time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(message))) => apply(message),
            Ok(Ok(None)) => return Status::unavailable("the stream ended"),
            Ok(Err(status)) => return status,
            Err(_) => return Status::unavailable("no heartbeat"),
        }
    }
}
