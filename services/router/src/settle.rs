//! Frees a lease when its request has ended.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_kit::scope::carried;
use headgate_kit::warn_seldom;
use headgate_proto::budget::v1::SettleRequest;
use uuid::Uuid;

use crate::router::Parts;

/// How long budget may take for a call that nobody waits for.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Settles without waiting. A budget service in this process is done before this returns, so that a consumer who has
/// the answer finds its slot free; one elsewhere is told by a task. If that fails, the record does the same later.
pub(crate) fn settle(parts: &Arc<Parts>, lease: Uuid, message: SettleRequest) {
    let of = parts.clone();
    promptly(parts, CALL_DEADLINE, async move {
        if let Err(status) = of.admission.settle(message).await {
            warn_seldom!(lease_id = %lease, cause = status.message(), "lease not settled");
        }
    });
}

/// Goes as far as possible at once, and the rest of the way in a task, which has so much time.
pub(crate) fn promptly(parts: &Parts, patience: Duration, call: impl Future<Output = ()> + Send + 'static) {
    let mut call = Box::pin(call);
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(()) => {}
        Poll::Pending => parts.tasks.spawn(carried(async move {
            if tokio::time::timeout(patience, call).await.is_err() {
                warn_seldom!("budget was not told in time how a lease ended");
            }
        })),
    }
}
