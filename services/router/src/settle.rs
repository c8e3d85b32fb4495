//! Frees a lease when its request has ended.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_kit::scope::carried;
use headgate_proto::budget::v1::SettleRequest;
use uuid::Uuid;

use crate::router::Parts;

const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Settles without waiting. A budget service in this process is done before this returns, so that a consumer who has
/// the answer finds its slot free; one elsewhere is told by a task. If that fails, the record does the same later.
pub(crate) fn settle(parts: &Arc<Parts>, lease: Uuid, message: SettleRequest) {
    let of = parts.clone();
    let mut call = Box::pin(async move {
        match of.admission.settle(message).await {
            Ok(_) => {}
            Err(status) => tracing::warn!(lease_id = %lease, cause = status.message(), "lease not settled"),
        }
    });
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(()) => {}
        Poll::Pending => parts.tasks.spawn(carried(async move {
            if tokio::time::timeout(CALL_DEADLINE, call).await.is_err() {
                tracing::warn!("a lease was not settled in time");
            }
        })),
    }
}
