//! Leases of which no use is made: given back by who asked for them, or turned away because nobody heard what Redis
//! decided, which may hold something for them. Left alone, such a lease would expire and be accounted for, though
//! nothing ran.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Fault, SCRIPTS, Shared};
use crate::engine::released::remembered_ms;
use crate::live::Live;

/// Leases that wait to be taken back, at most.
pub(super) const QUEUE: usize = 4096;
/// How long to wait after a failure.
const BACK_OFF: Duration = Duration::from_secs(1);

/// A lease to take back.
#[derive(Debug)]
pub(crate) struct Unused {
    tenant_id: String,
    id: Uuid,
}

impl Shared {
    /// Gives a lease back, now or as soon as Redis answers. Fails where neither can be promised.
    pub(crate) async fn release(&self, id: Uuid, tenant_id: &str) -> Result<(), Fault> {
        match self.release_now(id, tenant_id).await {
            Err(fault) if !self.release_soon(id, tenant_id) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Has a lease taken back. False where too many wait already: then it is left to expire.
    pub(super) fn release_soon(&self, id: Uuid, tenant_id: &str) -> bool {
        let queued = self.unused.try_send(Unused { tenant_id: tenant_id.to_owned(), id });
        if queued.is_err() {
            tracing::debug!(lease_id = %id, "too many leases wait to be taken back");
        }
        queued.is_ok()
    }

    async fn release_now(&self, id: Uuid, tenant_id: &str) -> Result<(), Fault> {
        let names = self.names.tenant(tenant_id);
        let mut call = SCRIPTS.release.prepare_invoke();
        call.key(names.lease(id)).key(names.open());
        call.arg(self.time()).arg(names.prefix()).arg(id.to_string());
        call.arg(self.ttl_ms).arg(remembered_ms(self.ttl_ms));
        self.link.call(&call).await
    }
}

/// Takes back what waits for it, however often it takes, until the process stops.
pub(crate) async fn take_back(engine: Arc<Live>, mut queue: mpsc::Receiver<Unused>, stop: CancellationToken) {
    let Live::Shared(shared) = &*engine else { return };
    loop {
        let unused = tokio::select! {
            () = stop.cancelled() => return,
            next = queue.recv() => match next {
                Some(unused) => unused,
                None => return,
            },
        };
        while let Err(cause) = shared.release_now(unused.id, &unused.tenant_id).await {
            tracing::debug!(%cause, "a lease cannot be taken back yet");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(BACK_OFF) => {}
            }
        }
    }
}
