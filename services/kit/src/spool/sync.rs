//! Bringing what was written to the disk, in groups.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;

const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sync_off_thread(shared).await;
    }
    sync_off_thread(shared).await;
}

async fn sync_off_thread(shared: &Arc<Shared>) {
    if shared.log.lock().is_synced() {
        return;
    }
    let shared = Arc::clone(shared);
    match tokio::task::spawn_blocking(move || sync(&shared)).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::error!(%cause, "spool not synced, records would not survive a power loss"),
        Err(cause) => tracing::error!(%cause, "spool sync did not run"),
    }
}

/// Syncs what was written since the last call.
fn sync(shared: &Shared) -> io::Result<()> {
    let unsynced = shared.log.lock().take_unsynced();
    let files = unsynced.files.iter().try_for_each(|(_, file)| file.sync_data());
    let synced = files.and_then(|()| if unsynced.dir { shared.dir.sync() } else { Ok(()) });
    if synced.is_err() {
        shared.log.lock().put_unsynced(unsynced);
    }
    synced
}
