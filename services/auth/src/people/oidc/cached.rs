//! What a provider says of itself, kept for a while.

use std::sync::Arc;
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use tokio::sync::Mutex;

/// How long it is kept before it is asked for again.
const KEPT_MS: i64 = 60 * 60 * 1000;
/// How long is waited before it is asked for again because it does not do, or cannot be had.
const PAUSE_MS: i64 = 10 * 1000;
/// How long whoever needs it waits, for others who ask too.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thing that a provider says. Of many who need it at the same time one asks.
pub(super) struct Cached<T> {
    kept: Mutex<Option<Kept<T>>>,
    clock: Clock,
}

struct Kept<T> {
    value: Arc<T>,
    asked_ms: i64,
    /// When it was asked for although it was not old, or in vain.
    again_ms: Option<i64>,
}

impl<T> Cached<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self { kept: Mutex::new(None), clock }
    }

    /// What is kept, asked for where it is old, or `does_not_do`. What is old is better than nothing.
    pub(super) async fn get(
        &self,
        does_not_do: bool,
        ask: impl AsyncFnOnce() -> Result<T, Failure>,
    ) -> Result<Arc<T>, Failure> {
        let answer = tokio::time::timeout(PATIENCE, self.get_in_turn(does_not_do, ask)).await;
        answer.unwrap_or_else(|late| Err(Failure::unavailable("the login provider", late)))
    }

    async fn get_in_turn(
        &self,
        does_not_do: bool,
        ask: impl AsyncFnOnce() -> Result<T, Failure>,
    ) -> Result<Arc<T>, Failure> {
        let mut kept = self.kept.lock().await;
        let now_ms = self.clock.unix_millis();
        if let Some(kept) = kept.as_mut() {
            let rested = kept.again_ms.is_none_or(|again_ms| now_ms >= again_ms + PAUSE_MS);
            let is_old = now_ms >= kept.asked_ms + KEPT_MS;
            if !rested || !(is_old || does_not_do) {
                return Ok(Arc::clone(&kept.value));
            }
            kept.again_ms = Some(now_ms);
        }
        let again_ms = kept.as_ref().and_then(|kept| kept.again_ms);
        match (ask().await, kept.as_ref()) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                *kept = Some(Kept { value: Arc::clone(&value), asked_ms: now_ms, again_ms });
                Ok(value)
            }
            (Err(_), Some(old)) if !does_not_do => Ok(Arc::clone(&old.value)),
            (Err(failure), _) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn get(cached: &Cached<u32>, does_not_do: bool, answer: Option<u32>) -> (Option<u32>, bool) {
        let asked = Cell::new(false);
        let got = cached.get(does_not_do, async || {
            asked.set(true);
            answer.ok_or_else(|| Failure::unavailable("a test's provider", "away"))
        });
        (got.await.ok().map(|value| *value), asked.get())
    }

    #[tokio::test]
    async fn it_is_asked_for_when_it_is_old_or_does_not_do_and_not_all_the_time() {
        let clock = Clock::manual(0);
        let cached = Cached::new(clock.clone());
        assert_eq!(get(&cached, false, None).await, (None, true));
        assert_eq!(get(&cached, false, Some(1)).await, (Some(1), true));
        assert_eq!(get(&cached, false, Some(2)).await, (Some(1), false));
        assert_eq!(get(&cached, true, Some(2)).await, (Some(2), true), "a rotation is noticed at once");
        assert_eq!(get(&cached, true, Some(3)).await, (Some(2), false), "strangers cannot have it asked for");
        clock.advance(Duration::from_secs(10));
        assert_eq!(get(&cached, true, Some(3)).await, (Some(3), true));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(get(&cached, false, None).await, (Some(3), true), "the old one is better than none");
        assert_eq!(get(&cached, false, Some(4)).await, (Some(3), false));
        clock.advance(Duration::from_secs(10));
        assert_eq!(get(&cached, false, Some(4)).await, (Some(4), true));
    }
}
