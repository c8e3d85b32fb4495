//! How far the ledger is behind its sources.

use std::sync::Arc;

use headgate_kit::records::{Lag, RecordSource};
use parking_lot::Mutex;

/// The lag of every source together. Clones share the sources.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<Vec<Lag>>>);

impl Pending {
    pub(crate) fn add(&self, source: &RecordSource) {
        self.0.lock().push(source.lag());
    }

    /// Records that are written but not yet in the ledger.
    pub(crate) fn records(&self) -> u64 {
        self.0.lock().iter().map(Lag::records).sum()
    }
}
