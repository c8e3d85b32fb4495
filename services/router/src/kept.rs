//! Keeps what auth and catalog said last on disk, and begins with it.

use std::sync::Arc;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::snapshot::{SnapshotError, Snapshots};
use headgate_kit::tasks::Tasks;
use headgate_proto::auth::v1::WatchKeysResponse;
use headgate_proto::catalog::v1::WatchCatalogResponse;

use crate::keys::Keys;
use crate::models::Models;

const KEYS: &str = "keys";
const CATALOG: &str = "catalog";
/// How often changes are looked for, how long changes gather after some were written, and how often it is noted that
/// there were none.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const GATHER: Duration = Duration::from_secs(2);
const CONFIRM_EVERY_MS: i64 = 30_000;

/// What was written last.
#[derive(Clone, Copy, Default, PartialEq)]
struct Written {
    key_changes: u64,
    catalog_changes: u64,
    heard_unix_ms: i64,
}

/// Takes in what an earlier process heard, unless that is older than `max_age`. What cannot be read is told, and is as
/// if it were not there.
pub(crate) fn restore(snapshots: &Snapshots, keys: &Keys, models: &Models, max_age: Duration) {
    match snapshots.kept::<WatchKeysResponse>(KEYS, max_age) {
        Ok(Some(kept)) => keys.restore(kept.message, kept.heard_unix_ms),
        Ok(None) => {}
        Err(cause) => tracing::warn!(%cause, "kept keys cannot be read"),
    }
    match snapshots.kept::<WatchCatalogResponse>(CATALOG, max_age) {
        Ok(Some(kept)) => models.apply(kept.message),
        Ok(None) => {}
        Err(cause) => tracing::warn!(%cause, "the kept catalog cannot be read"),
    }
}

/// Writes what changes, until the tasks are stopped.
pub(crate) fn keep(snapshots: Snapshots, keys: Arc<Keys>, models: Arc<Models>, clock: Clock, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        let mut written = Written::default();
        loop {
            let (snapshots, keys, models, clock) =
                (snapshots.clone(), keys.clone(), models.clone(), clock.clone());
            let wrote =
                tokio::task::spawn_blocking(move || write(&snapshots, &keys, &models, &clock, written));
            let pause = match wrote.await {
                Ok(Ok(now)) if now == written => LOOK_EVERY,
                Ok(Ok(now)) => {
                    written = now;
                    GATHER
                }
                Ok(Err(cause)) => {
                    tracing::warn!(%cause, "what was heard of peers cannot be kept");
                    GATHER
                }
                Err(cause) => {
                    tracing::error!(%cause, "what was heard of peers cannot be kept");
                    GATHER
                }
            };
            if stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    });
}

fn write(
    snapshots: &Snapshots,
    keys: &Keys,
    models: &Models,
    clock: &Clock,
    mut written: Written,
) -> Result<Written, SnapshotError> {
    let (key_changes, heard_unix_ms) = keys.heard();
    let confirms = heard_unix_ms - written.heard_unix_ms >= CONFIRM_EVERY_MS;
    if keys.is_ready() && (key_changes != written.key_changes || confirms) {
        snapshots.keep(KEYS, &keys.snapshot(), heard_unix_ms)?;
        (written.key_changes, written.heard_unix_ms) = (key_changes, heard_unix_ms);
    }
    let catalog_changes = models.changes();
    if models.current().is_ready() && (catalog_changes != written.catalog_changes || confirms) {
        snapshots.keep(CATALOG, &models.snapshot(), clock.unix_millis())?;
        written.catalog_changes = catalog_changes;
    }
    Ok(written)
}
