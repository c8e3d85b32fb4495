//! What operators set.

use serde::{Deserialize, Serialize};

/// The router's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many targets one request may try: 1 to 10.
    pub max_attempts: u32,
    /// How long a stream's head waits for the first event, in milliseconds: then it is sent without one.
    pub head_wait_ms: u64,
    /// The longest a target is left alone after an upstream's `Retry-After`, in milliseconds.
    pub max_cooldown_ms: u64,
    /// After how many failures in a row a target is tried only when no other is left: at least 1.
    pub breaker_failures: u32,
    /// For how long, in milliseconds; then one failure is enough.
    pub breaker_open_ms: u64,
    /// The largest message a gRPC consumer may send, in bytes.
    pub max_message_bytes: usize,
    /// The longest response that is kept for an idempotency key, in bytes.
    pub max_replay_bytes: usize,
    /// How long keys and catalog as last heard are gone by while auth or catalog is away, in milliseconds.
    pub max_snapshot_age_ms: u64,
    /// The spool's size at which new requests are refused, in bytes.
    pub spool_cap_bytes: u64,
    /// The size of one file of the spool, in bytes.
    pub spool_segment_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            head_wait_ms: 15_000,
            max_cooldown_ms: 3_600_000,
            breaker_failures: 3,
            breaker_open_ms: 300_000,
            max_message_bytes: 64 << 20,
            max_replay_bytes: 1 << 20,
            max_snapshot_age_ms: 3_600_000,
            spool_cap_bytes: 4 << 30,
            spool_segment_bytes: 64 << 20,
        }
    }
}

impl Config {
    /// What is wrong with the values, by field.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1..=10).contains(&self.max_attempts) {
            problems.push(("max_attempts", "must be 1 to 10".into()));
        }
        if self.breaker_failures == 0 {
            problems.push(("breaker_failures", "must be at least 1".into()));
        }
        if self.spool_segment_bytes < 1 << 16 {
            problems.push(("spool_segment_bytes", "must be at least 65536".into()));
        }
        if self.spool_cap_bytes < self.spool_segment_bytes {
            problems.push(("spool_cap_bytes", "must be at least spool_segment_bytes".into()));
        }
        problems
    }
}
