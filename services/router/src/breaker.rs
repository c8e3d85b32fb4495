//! Targets that keep failing: for a while they are tried only when no other is left.
//!
//! A breaker takes no target away for good: where all of a model's targets fail, one of them is asked still, since nobody
//! could tell otherwise that it is back. What an upstream refuses with `Retry-After` is not its failure
//! ([`crate::cooldown`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use headgate_kit::error::ErrorReason;
use parking_lot::RwLock;

/// The breakers of all targets. Bounded by the number of targets.
#[derive(Debug)]
pub(crate) struct Breakers {
    failures: u32,
    pause: Duration,
    failing: RwLock<HashMap<String, Failing>>,
    /// Whether any target failed of late, for the many requests that meet none.
    any: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    in_a_row: u32,
    open_until: Option<Instant>,
}

impl Breakers {
    /// Open after so many failures in a row, for so long.
    pub(crate) fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause, failing: RwLock::default(), any: AtomicBool::new(false) }
    }

    /// Whether some target failed of late.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether others are to be tried before a target.
    pub(crate) fn is_open(&self, target_id: &str, now: Instant) -> bool {
        self.failing.read().get(target_id).is_some_and(|f| f.open_until.is_some_and(|until| now < until))
    }

    /// Notes how an attempt ended, `None` when well. Returns whether that opened the target's breaker.
    pub(crate) fn note(&self, target_id: &str, reason: Option<ErrorReason>, now: Instant) -> bool {
        match reason {
            None | Some(ErrorReason::UpstreamRejected) => {
                if self.any() {
                    self.well(target_id);
                }
                false
            }
            Some(
                ErrorReason::UpstreamFailed
                | ErrorReason::UpstreamTimeout
                | ErrorReason::UpstreamInvalid
                | ErrorReason::UpstreamCredential,
            ) => self.failed(target_id, now),
            // It says nothing of the target.
            Some(_) => false,
        }
    }

    fn failed(&self, target_id: &str, now: Instant) -> bool {
        let mut failing = self.failing.write();
        let target = match failing.get_mut(target_id) {
            Some(target) => target,
            None => failing.entry(target_id.to_owned()).or_default(),
        };
        target.in_a_row = target.in_a_row.saturating_add(1);
        let was_open = target.open_until.is_some_and(|until| now < until);
        let opens = !was_open && target.in_a_row >= self.failures;
        if opens {
            // Once it is over, a single failure opens it again.
            target.open_until = Some(now + self.pause);
        }
        self.any.store(true, Ordering::Release);
        opens
    }

    fn well(&self, target_id: &str) {
        if !self.failing.read().contains_key(target_id) {
            return;
        }
        let mut failing = self.failing.write();
        failing.remove(target_id);
        self.any.store(!failing.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(300);
    const BROKEN: Option<ErrorReason> = Some(ErrorReason::UpstreamFailed);

    #[test]
    fn failures_in_a_row_open_it_for_a_while_and_a_success_closes_it() {
        let (breakers, now) = (Breakers::new(3, PAUSE), Instant::now());
        assert!(!breakers.any());
        for (reason, opens) in
            [(BROKEN, false), (BROKEN, false), (None, false), (BROKEN, false), (BROKEN, false)]
        {
            assert_eq!(breakers.note("a", reason, now), opens);
        }
        assert!(breakers.any() && !breakers.is_open("a", now));
        assert!(breakers.note("a", Some(ErrorReason::UpstreamTimeout), now));
        assert!(breakers.is_open("a", now) && !breakers.is_open("b", now));
        assert!(!breakers.note("a", BROKEN, now), "it is open");

        let later = now + PAUSE;
        assert!(!breakers.is_open("a", later));
        assert!(breakers.note("a", BROKEN, later), "one more failure is enough");
        assert!(breakers.is_open("a", later));
        assert!(!breakers.note("a", None, later) && !breakers.any());
        assert!(!breakers.is_open("a", later));
    }

    #[test]
    fn what_is_not_the_targets_fault_counts_for_nothing() {
        let (breakers, now) = (Breakers::new(1, PAUSE), Instant::now());
        for reason in
            [ErrorReason::UpstreamRateLimited, ErrorReason::UpstreamRejected, ErrorReason::Unavailable]
        {
            assert!(!breakers.note("a", Some(reason), now));
        }
        assert!(!breakers.any());
        assert!(breakers.note("a", BROKEN, now));
        assert!(!breakers.note("a", Some(ErrorReason::UpstreamRateLimited), now) && breakers.any());
        assert!(
            !breakers.note("a", Some(ErrorReason::UpstreamRejected), now) && !breakers.any(),
            "it answers"
        );
    }
}
