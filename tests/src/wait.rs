//! Waiting for what happens soon, without sleeping longer than it takes.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// What `check` finds, asked again and again until it finds something.
///
/// # Panics
/// When it still finds nothing after `within`; `what` says what was waited for.
pub async fn eventually<T, F>(within: Duration, what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
