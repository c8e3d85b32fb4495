//! What can be configured.

use serde::{Deserialize, Serialize};

/// Settings of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Records written to the database in one transaction, at most. 1 to 10,000.
    pub batch_records: usize,
    /// How long, in milliseconds, records gather after a batch that was not full. Longer makes fewer and larger
    /// transactions and later rows. 0 writes at once; 10,000 at most.
    pub linger_ms: u64,
    /// The longest pause, in milliseconds, between two tries to write while the database refuses. 100 to 600,000.
    pub max_retry_pause_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { batch_records: 1000, linger_ms: 500, max_retry_pause_ms: 10_000 }
    }
}

impl Config {
    /// Every value that cannot be used: its field and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1..=10_000).contains(&self.batch_records) {
            problems.push(("batch_records", "must be 1 to 10000".to_owned()));
        }
        if self.linger_ms > 10_000 {
            problems.push(("linger_ms", "must be at most 10000".to_owned()));
        }
        if !(100..=600_000).contains(&self.max_retry_pause_ms) {
            problems.push(("max_retry_pause_ms", "must be 100 to 600000".to_owned()));
        }
        problems
    }
}
