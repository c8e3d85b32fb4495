//! How far a consumer is behind, for those who only look on.

use std::fmt;
use std::sync::Weak;

use super::shared::Shared;

/// Tells how far one consumer is behind while its reader is at work elsewhere. Cheap to clone and to ask. Does not keep
/// the spool open.
#[derive(Clone)]
pub struct LagHandle {
    pub(super) shared: Weak<Shared>,
    pub(super) consumer: usize,
}

impl LagHandle {
    /// Outcomes written and not yet acknowledged by the consumer. 0 once the spool is closed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.shared.upgrade().map_or(0, |shared| {
            let acked = shared.consumers[self.consumer].acked();
            shared.log.lock().lag(acked)
        })
    }
}

impl fmt::Debug for LagHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagHandle").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}
