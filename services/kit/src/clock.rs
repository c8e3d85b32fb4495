//! Time as a parameter.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Tells the time. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved, for tests. Clones move together.
    #[must_use]
    pub fn manual(unix_micros: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(unix_micros))))
    }

    /// Moves a manual clock forward; does nothing to the machine's.
    pub fn advance(&self, by: std::time::Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The time of a manual clock, in microseconds since 1970-01-01 UTC; `None` for the machine's clock. For what lies on
    /// another machine, whose own clock is better than this one's.
    #[must_use]
    pub fn set_by_hand(&self) -> Option<i64> {
        match &self.0 {
            Source::System => None,
            Source::Manual(now) => Some(now.load(Ordering::SeqCst)),
        }
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn unix_micros(&self) -> i64 {
        match &self.0 {
            Source::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
            Source::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_millis(&self) -> i64 {
        self.unix_micros() / 1000
    }
}
