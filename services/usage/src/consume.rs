//! The task that moves records from a source to the ledger.

use std::time::Duration;

use bytes::Bytes;
use headgate_kit::records::{RecordBatch, RecordSource};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::metrics::Metrics;

#[cfg(test)]
mod tests;

const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long the last records are waited for when the process stops. They are there already, so this is only a guard.
const DRAIN_WAIT: Duration = Duration::from_millis(500);

/// Consumes one source.
pub(crate) struct Consumer {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

impl Consumer {
    /// Runs until stopped, then writes what lies in the source.
    pub(crate) async fn run(self, mut source: RecordSource) {
        while let Some(batch) = self.fetch(&mut source).await {
            let full = batch.records.len() >= self.config.batch_records;
            if !self.settle(&mut source, &batch).await {
                return;
            }
            // Gathering after a batch instead of before it: a lone record is written at once, and under load batches
            // grow to what the linger collects.
            if !full {
                self.pause(Duration::from_millis(self.config.linger_ms)).await;
            }
        }
        self.drain(&mut source).await;
    }

    /// The next batch; none when stopped.
    async fn fetch(&self, source: &mut RecordSource) -> Option<RecordBatch> {
        let mut retry = self.retry_pauses();
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                next = source.next(self.config.batch_records) => next,
            };
            match next {
                Ok(batch) => return Some(batch),
                Err(cause) => tracing::error!(%cause, "usage records cannot be read, trying again"),
            }
            self.pause(retry.next().unwrap_or(FIRST_RETRY_PAUSE)).await;
        }
    }

    /// Stores a batch, however long it takes, and acknowledges it. False when the process stops and the batch cannot
    /// be stored: it stays in the source and comes again.
    async fn settle(&self, source: &mut RecordSource, batch: &RecordBatch) -> bool {
        let mut retry = self.retry_pauses();
        while !self.store(&batch.records).await {
            if self.stop.is_cancelled() {
                return false;
            }
            self.pause(retry.next().unwrap_or(FIRST_RETRY_PAUSE)).await;
        }
        if let Err(cause) = source.ack(batch).await {
            tracing::error!(%cause, "usage records are stored but not acknowledged, they may come again");
        }
        true
    }

    async fn store(&self, records: &[Bytes]) -> bool {
        match self.ledger.apply(records).await {
            Ok(applied) => {
                for (outcome, count) in applied.written {
                    self.metrics.written(outcome, count);
                }
                if applied.rejected > 0 {
                    tracing::error!(
                        count = applied.rejected,
                        "usage records set aside, see rejected_records"
                    );
                    self.metrics.rejected(applied.rejected);
                }
                true
            }
            Err(cause) => {
                tracing::error!(%cause, count = records.len(), "usage records cannot be stored, trying again");
                false
            }
        }
    }

    /// Writes what lay in the source when the process was told to stop, and no more: whoever still writes finds it
    /// written after the next start.
    async fn drain(&self, source: &mut RecordSource) {
        let mut left = source.left_here();
        while left > 0 {
            let max = self.config.batch_records;
            let Ok(Ok(batch)) = tokio::time::timeout(DRAIN_WAIT, source.next(max)).await else {
                tracing::warn!(left, "usage records are left for the next start");
                return;
            };
            left = left.saturating_sub(batch.records.len() as u64);
            if !self.settle(source, &batch).await {
                return;
            }
        }
    }

    /// Sleeps, or less when stopped.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Doubling pauses up to the configured longest.
    fn retry_pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let longest = Duration::from_millis(self.config.max_retry_pause_ms);
        std::iter::successors(Some(FIRST_RETRY_PAUSE), move |pause| Some((*pause * 2).min(longest)))
    }
}
