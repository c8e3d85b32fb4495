//! Requests that were turned away because nobody heard what Redis decided: it may hold something for them. Left alone,
//! such a lease would expire and be accounted for, though nothing ran.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Fault, SCRIPTS, Shared};
use crate::live::Live;

/// Leases that wait to be taken back, at most. What does not fit expires by itself.
pub(super) const QUEUE: usize = 4096;
/// How long to wait after a failure.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long a request to admit may still be on its way after it was given up, in milliseconds.
const ON_ITS_WAY_MS: i64 = 60_000;

/// A lease in doubt.
#[derive(Debug)]
pub(crate) struct Doubtful {
    tenant_id: String,
    id: Uuid,
}

impl Shared {
    pub(super) fn doubt(&self, tenant_id: &str, id: Uuid) {
        if self.doubtful.try_send(Doubtful { tenant_id: tenant_id.to_owned(), id }).is_err() {
            tracing::debug!(lease_id = %id, "a lease in doubt is left to expire");
        }
    }

    async fn undo(&self, doubtful: &Doubtful) -> Result<(), Fault> {
        let names = self.names.tenant(&doubtful.tenant_id);
        let mut call = SCRIPTS.undo.prepare_invoke();
        call.key(names.lease(doubtful.id)).key(names.open());
        call.arg(names.prefix()).arg(doubtful.id.to_string()).arg(ON_ITS_WAY_MS);
        self.link.call(&call).await
    }
}

/// Takes back what is in doubt, however often it takes, until the process stops.
pub(crate) async fn take_back(
    engine: Arc<Live>,
    mut queue: mpsc::Receiver<Doubtful>,
    stop: CancellationToken,
) {
    let Live::Shared(shared) = &*engine else { return };
    loop {
        let doubtful = tokio::select! {
            () = stop.cancelled() => return,
            next = queue.recv() => match next {
                Some(doubtful) => doubtful,
                None => return,
            },
        };
        while let Err(cause) = shared.undo(&doubtful).await {
            tracing::debug!(%cause, "a lease in doubt cannot be taken back yet");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(BACK_OFF) => {}
            }
        }
    }
}
