//! What the mock has seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts up only.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) connections: Counter,
    /// Chat requests.
    pub(crate) requests: Counter,
    /// Requests that were answered with an error.
    pub(crate) failed: Counter,
    /// Streams that ended in `[DONE]`.
    pub(crate) completed: Counter,
    /// Streams whose reader went away.
    pub(crate) cancelled: Counter,
    /// Content chunks.
    pub(crate) chunks: Counter,
    /// Tokens in the usage of answers and of whole streams: what a provider would bill.
    pub(crate) tokens: Counter,
}

impl Stats {
    pub(crate) fn to_json(&self) -> String {
        let get = |counter: &Counter| counter.0.load(Relaxed);
        serde_json::json!({
            "connections": get(&self.connections), "requests": get(&self.requests), "failed": get(&self.failed),
            "completed": get(&self.completed), "cancelled": get(&self.cancelled), "chunks": get(&self.chunks),
            "tokens": get(&self.tokens),
        })
        .to_string()
    }
}
