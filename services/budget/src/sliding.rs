//! A sliding window: no more than so many requests in any span of so long, exactly, by a log of when they came.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// No more than `requests` in any span of `seconds`, wherever it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlidingWindow {
    /// Requests, 1 to 10,000: each one's time is kept.
    pub requests: u32,
    /// Seconds, 1 to 86,400.
    pub seconds: u32,
}

impl SlidingWindow {
    /// Why it cannot be one.
    pub(crate) fn problem(self) -> Option<&'static str> {
        let fits = (1..=10_000).contains(&self.requests) && (1..=86_400).contains(&self.seconds);
        (!fits).then_some("must have 1 to 10000 requests and 1 to 86400 seconds")
    }

    /// The span in microseconds.
    pub(crate) fn micros(self) -> i64 {
        i64::from(self.seconds) * 1_000_000
    }
}

/// When requests were let through, in microseconds.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    /// The latest ones, the oldest first: as many as the window lets through.
    Latest(VecDeque<i64>),
    /// Of a log that lies elsewhere, only the one that must have left the window before another comes.
    Deciding(i64),
}

impl Log {
    /// How long until another request fits, in microseconds. 0 when it does now.
    pub(crate) fn wait(&self, window: SlidingWindow, now: i64) -> i64 {
        let deciding = match self {
            Self::Latest(times) => {
                let before = times.len().checked_sub(requests(window));
                before.and_then(|at| times.get(at)).copied()
            }
            Self::Deciding(at) => Some(*at),
        };
        deciding.map_or(0, |at| at.saturating_add(window.micros()).saturating_sub(now).max(0))
    }

    /// Lets a request through, whether it fits or not.
    pub(crate) fn take(&mut self, window: SlidingWindow, now: i64) {
        if let Self::Latest(times) = self {
            times.push_back(now);
            while times.len() > requests(window) {
                times.pop_front();
            }
        }
    }

    /// A request that was let through at that millisecond did not run.
    pub(crate) fn give_back(&mut self, since_ms: i64) {
        if let Self::Latest(times) = self
            && let Some(at) = times.iter().position(|at| at.div_euclid(1000) == since_ms)
        {
            times.remove(at);
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::Latest(VecDeque::new())
    }
}

fn requests(window: SlidingWindow) -> usize {
    usize::try_from(window.requests.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In no span of the window's length more pass than it says; and none is refused for whom there is room.
        #[test]
        fn no_span_has_more_and_none_less_than_it_may(
            requests in 1u32..20,
            seconds in 1u32..5,
            gaps in prop::collection::vec(0i64..2_000_000, 1..200),
        ) {
            let window = SlidingWindow { requests, seconds };
            let (mut log, mut now, mut passed) = (Log::default(), 0, Vec::<i64>::new());
            for gap in gaps {
                now += gap;
                let within = |now: i64| passed.iter().filter(|at| **at > now - window.micros()).count();
                let wait = log.wait(window, now);
                prop_assert_eq!(wait == 0, within(now) < super::requests(window));
                if wait > 0 {
                    prop_assert!(within(now + wait - 1) >= super::requests(window));
                    prop_assert!(within(now + wait) < super::requests(window));
                } else {
                    log.take(window, now);
                    passed.push(now);
                }
            }
        }
    }

    #[test]
    fn a_smaller_window_counts_the_latest() {
        let wide = SlidingWindow { requests: 4, seconds: 10 };
        let narrow = SlidingWindow { requests: 2, ..wide };
        let mut log = Log::default();
        for at in [1, 2, 3, 4] {
            log.take(wide, at);
        }
        assert_eq!((log.wait(wide, 4), log.wait(narrow, 4)), (10_000_001 - 4, 10_000_003 - 4));
    }
}
