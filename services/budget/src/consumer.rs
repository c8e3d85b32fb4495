//! Moves records into the durable spend, and from there into memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headgate_kit::records::{RecordBatch, RecordSource};
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::record::Ended;
use crate::shared::Fault;
use crate::store::Store;
use crate::store::spend::{self, LeaseSpend};

/// Records handled together, at most.
const BATCH: usize = 1000;
/// How long records may gather while the last batch was not full: a row in a large batch costs less.
const LINGER: Duration = Duration::from_millis(300);
/// How long to wait after a failure.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Applies records, from whichever source.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) engine: Arc<Live>,
    pub(crate) store: Store,
    /// Sources that have not yet been read up to where they stood at the start.
    pub(crate) behind: Arc<AtomicUsize>,
}

impl Consumer {
    /// Reads a source until the process stops.
    pub(crate) async fn run(self, mut source: RecordSource, stop: CancellationToken) {
        let caught_up = source.caught_up();
        let mut is_behind = true;
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = caught_up.reached(), if is_behind => {
                    is_behind = false;
                    self.behind.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                next = source.next(BATCH) => next,
            };
            let handled = match next {
                Ok(batch) => self.handle(&mut source, &batch, &stop).await,
                Err(cause) => {
                    tracing::warn!(%cause, "records cannot be read, trying again");
                    None
                }
            };
            let pause = match handled {
                None => Some(BACK_OFF),
                Some(count) => (caught_up.is_reached() && count < BATCH).then_some(LINGER),
            };
            if let Some(pause) = pause
                && sleep(pause, &stop).await.is_none()
            {
                return;
            }
        }
    }

    /// Applies and acknowledges a batch, however often it takes; `None` when the process stops first.
    async fn handle(
        &self,
        source: &mut RecordSource,
        batch: &RecordBatch,
        stop: &CancellationToken,
    ) -> Option<usize> {
        let records = self.decode(batch);
        while let Err(cause) = self.apply_records(&records).await {
            tracing::warn!(%cause, "records cannot be booked, trying again");
            sleep(BACK_OFF, stop).await?;
        }
        // Not acknowledged means that they come again, and change nothing then.
        if let Err(cause) = source.ack(batch).await {
            tracing::warn!(%cause, "records cannot be acknowledged");
        }
        Some(batch.records.len())
    }

    fn decode(&self, batch: &RecordBatch) -> Vec<Ended> {
        let decoded = batch.records.iter().filter_map(|bytes| match Ended::decode(bytes.clone()) {
            Ok(ended) => Some(ended),
            Err(cause) => {
                self.engine.metrics().unreadable_records.inc();
                tracing::error!(%cause, "unreadable record passed over");
                None
            }
        });
        decoded.collect()
    }

    /// Books records in one transaction, and then tells the live counters. Idempotent by lease id, in any order.
    pub(crate) async fn apply_records(&self, records: &[Ended]) -> Result<(), Fault> {
        let now_ms = self.engine.clock().unix_millis();
        let rows = self.once_each(records, now_ms);
        if rows.is_empty() {
            return Ok(());
        }
        let writer = self.store.writer().await;
        let changes = spend::book(&writer, &rows, now_ms).await?;
        // Kept until memory knows, so that batches of several sources cannot overtake each other. Elsewhere they may.
        let kept = self.engine.needs_order().then_some(writer);
        let told = self.engine.recorded(&rows, &changes).await;
        drop(kept);
        told
    }

    /// The record of each lease that counts, and the window that pays for it; in the order of the leases, as their
    /// index has them.
    fn once_each<'a>(&self, records: &'a [Ended], now_ms: i64) -> Vec<LeaseSpend<'a>> {
        let mut window = self.engine.months().at(now_ms);
        let row = |ended: &'a Ended| {
            // Nothing was admitted in the future, whatever another machine's clock says.
            let started = ended.started_at.min(now_ms);
            if !(window.start..window.end).contains(&started) {
                window = self.engine.months().at(started);
            }
            LeaseSpend { ended, window_start: window.start }
        };
        let mut rows: Vec<_> = records.iter().map(row).collect();
        // What is equal keeps its order: of several ends the first counts, and before it the first not abandoned.
        rows.sort_by_key(|row| (row.ended.id, &*row.ended.lease_id, row.ended.abandoned));
        rows.dedup_by_key(|row| &row.ended.lease_id);
        rows
    }
}

/// `None` when the process stops first.
async fn sleep(pause: Duration, stop: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = stop.cancelled() => None,
        () = tokio::time::sleep(pause) => Some(()),
    }
}
