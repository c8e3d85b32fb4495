//! Targets that asked to be left alone: `Retry-After` cools that target and no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use parking_lot::RwLock;

/// Until when each target is left alone. Bounded by the number of targets.
#[derive(Debug, Default)]
pub(crate) struct Cooldowns {
    until: RwLock<HashMap<String, Instant>>,
    /// Whether there are any, for the many requests that meet none.
    any: AtomicBool,
}

impl Cooldowns {
    /// Leaves a target alone for a while.
    pub(crate) fn cool(&self, target_id: &str, now: Instant, wait: Duration) {
        let mut until = self.until.write();
        until.insert(target_id.to_owned(), now + wait);
        self.any.store(true, Ordering::Release);
    }

    /// Whether some target may have to be left alone.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// How long a target is still left alone. `None` when it can be tried.
    pub(crate) fn remaining(&self, target_id: &str, now: Instant) -> Option<Duration> {
        let until = *self.until.read().get(target_id)?;
        let remaining = until.checked_duration_since(now).filter(|d| !d.is_zero());
        if remaining.is_none() {
            self.forget(target_id, now);
        }
        remaining
    }

    /// Forgets a target whose time is over.
    fn forget(&self, target_id: &str, now: Instant) {
        let mut until = self.until.write();
        // It may have been told to cool down again meanwhile.
        if until.get(target_id).is_some_and(|until| *until <= now) {
            until.remove(target_id);
        }
        self.any.store(!until.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_cools_alone_and_comes_back() {
        let (cooldowns, now) = (Cooldowns::default(), Instant::now());
        cooldowns.cool("a", now, Duration::from_secs(7));
        assert_eq!(cooldowns.remaining("a", now + Duration::from_secs(2)), Some(Duration::from_secs(5)));
        assert_eq!(cooldowns.remaining("b", now), None);
        assert_eq!(cooldowns.remaining("a", now + Duration::from_secs(7)), None);
    }

    #[test]
    fn there_are_cooldowns_until_the_last_is_over() {
        let (cooldowns, now) = (Cooldowns::default(), Instant::now());
        assert!(!cooldowns.any());
        cooldowns.cool("a", now, Duration::from_secs(1));
        cooldowns.cool("b", now, Duration::from_secs(2));
        assert_eq!(cooldowns.remaining("a", now + Duration::from_secs(1)), None);
        assert!(cooldowns.any(), "one is left");
        assert_eq!(cooldowns.remaining("b", now + Duration::from_secs(2)), None);
        assert!(!cooldowns.any());
    }
}
