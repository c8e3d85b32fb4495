//! Waiting for what happens soon, without sleeping longer than it takes.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Fails when even the shortest of five tries takes longer than `limit`. A busy machine may hold back one or the other,
/// so a single one says nothing of the code; each try checks everything else by itself.
///
/// # Panics
/// When all tries take longer; `what` says what took so long.
pub async fn at_best(limit: Duration, what: &str, mut attempt: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 5 {
        took.push(attempt().await);
        if took.last().is_some_and(|took| *took < limit) {
            return;
        }
    }
    panic!("{what} takes longer than {limit:?}: {took:?}");
}

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
