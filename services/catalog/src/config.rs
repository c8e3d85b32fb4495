//! Settings of the service.

use serde::{Deserialize, Serialize};

/// A day, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// The section `catalog` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often each active provider is probed, in milliseconds. 0: never but when somebody asks.
    pub probe_interval_ms: u64,
    /// How long a probe may take, in milliseconds.
    pub probe_timeout_ms: u32,
    /// So many probes that fail in a row make a provider unhealthy.
    pub unhealthy_after: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { probe_interval_ms: 60_000, probe_timeout_ms: 5_000, unhealthy_after: 3 }
    }
}

impl Config {
    /// What is wrong, as field and reason. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.probe_interval_ms != 0 && !(100..=DAY_MS).contains(&self.probe_interval_ms) {
            problems.push(("probe_interval_ms", format!("must be 0, or 100 to {DAY_MS}")));
        }
        if !(1..=60_000).contains(&self.probe_timeout_ms) {
            problems.push(("probe_timeout_ms", "must be 1 to 60000".to_owned()));
        }
        if !(1..=1000).contains(&self.unhealthy_after) {
            problems.push(("unhealthy_after", "must be 1 to 1000".to_owned()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        assert!(Config::default().problems().is_empty());
        assert!(Config { probe_interval_ms: 0, ..Config::default() }.problems().is_empty());
        let bad = Config { probe_interval_ms: 1, probe_timeout_ms: 0, unhealthy_after: 0 };
        let fields: Vec<_> = bad.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["probe_interval_ms", "probe_timeout_ms", "unhealthy_after"]);
    }
}
