//! What runs beside the requests: ending what expired, writing responses behind, forgetting what is old.

use std::sync::Arc;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::spool::{Spool, SpoolError};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::replays::Entry;
use crate::shared::Fault;
use crate::store::Store;

const REAP_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const RESPONSES_AT_ONCE: usize = 64;
/// How often the store is asked to take responses before they are given up.
const ATTEMPTS: u32 = 5;

/// Ends expired leases, each second.
pub(crate) async fn reap(engine: Arc<Live>, outbox: Spool, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REAP_EVERY) => {}
        }
        if let Err(cause) = reap_in_turn(&engine, &outbox).await {
            tracing::warn!(%cause, "expired leases cannot be written, trying again");
        }
    }
}

/// Of several replicas with the same counters one is enough.
async fn reap_in_turn(engine: &Live, outbox: &Spool) -> Result<(), ReapError> {
    if let Live::Shared(shared) = engine
        && !shared.is_turn(REAP_EVERY).await?
    {
        return Ok(());
    }
    reap_once(engine, outbox).await
}

/// Why expired leases could not be ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReapError {
    #[error(transparent)]
    Counters(#[from] Fault),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Writes a record for every lease that expired. What could not be written comes again the next time, and counts as
/// spent meanwhile.
pub(crate) async fn reap_once(engine: &Live, outbox: &Spool) -> Result<(), ReapError> {
    for overdue in engine.overdue().await? {
        outbox.end(overdue.id, &overdue.record.encode_to_vec())?;
        headgate_kit::warn_seldom!(
            lease_id = %overdue.id,
            request_id = overdue.record.request_id,
            "lease expired, accounted for by an estimate"
        );
        engine.written(&overdue).await?;
    }
    Ok(())
}

/// Stores responses to replay as they come, and at the end what is left.
pub(crate) async fn write_behind(
    store: Store,
    mut entries: mpsc::Receiver<Entry>,
    given_up: prometheus::IntCounter,
    stop: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = entries.recv_many(&mut batch, RESPONSES_AT_ONCE) => {
                if count == 0 {
                    return;
                }
            }
            () = stop.cancelled(), if !entries.is_closed() => entries.close(),
        }
        save(&store, &mut batch, &given_up).await;
    }
}

async fn save(store: &Store, batch: &mut Vec<Entry>, given_up: &prometheus::IntCounter) {
    // The last response of a key is the one that counts, and a statement may name it once.
    let mut latest: Vec<Entry> = Vec::with_capacity(batch.len());
    for entry in batch.drain(..).rev() {
        if !latest.iter().any(|(key, _)| *key == entry.0) {
            latest.push(entry);
        }
    }
    for attempt in 1..=ATTEMPTS {
        if latest.is_empty() {
            return;
        }
        match store.save_replays(&latest).await {
            Ok(()) => return,
            Err(cause) => tracing::warn!(%cause, attempt, "responses to replay cannot be stored"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    given_up.inc_by(latest.len() as u64);
}

/// Forgets old leases and responses, now and then.
pub(crate) async fn prune(store: Store, clock: Clock, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
        let now_ms = clock.unix_millis();
        if let Err(cause) = store.prune_replays(now_ms).await {
            tracing::warn!(%cause, "old responses cannot be forgotten");
        }
        if let Err(cause) = store.prune_leases(now_ms).await {
            tracing::warn!(%cause, "old leases cannot be forgotten");
        }
    }
}
