//! Targets that asked to be left alone: `Retry-After` cools that target and no other.

use std::time::{Duration, Instant};

use dashmap::DashMap;

/// Until when each target is left alone. Bounded by the number of targets.
#[derive(Debug, Default)]
pub(crate) struct Cooldowns(DashMap<String, Instant>);

impl Cooldowns {
    /// Leaves a target alone for a while.
    pub(crate) fn cool(&self, target_id: &str, now: Instant, wait: Duration) {
        self.0.insert(target_id.to_owned(), now + wait);
    }

    /// How long a target is still left alone. `None` when it can be tried.
    pub(crate) fn remaining(&self, target_id: &str, now: Instant) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        let until = *self.0.get(target_id)?;
        let remaining = until.checked_duration_since(now).filter(|d| !d.is_zero());
        if remaining.is_none() {
            self.0.remove_if(target_id, |_, until| *until <= now);
        }
        remaining
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
}
