//! What an operator may set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the adapter. Every default is meant for production.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Milliseconds until the connection to an upstream stands, TLS included.
    pub connect_ms: u64,
    /// Milliseconds from the request to the first content of a stream, or to the head of a whole answer.
    pub first_byte_ms: u64,
    /// Milliseconds between two pieces of a stream.
    pub inter_chunk_ms: u64,
    /// Milliseconds for a whole attempt.
    pub total_ms: u64,
    /// Milliseconds an idle connection is kept for the next request to the same upstream.
    pub pool_idle_ms: u64,
    /// Idle connections kept to one upstream.
    pub pool_idle_per_upstream: usize,
    /// Certificates (PEM) of authorities that upstreams' may come from, too, beside the public ones. Unset: none.
    pub ca_file: Option<PathBuf>,
    /// Bytes of the largest whole answer that is taken from an upstream.
    pub max_response_bytes: usize,
    /// Bytes of the largest gRPC message, in either direction.
    pub max_message_bytes: usize,
}

const MIB: usize = 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            first_byte_ms: 60_000,
            inter_chunk_ms: 30_000,
            total_ms: 600_000,
            pool_idle_ms: 90_000,
            pool_idle_per_upstream: 256,
            ca_file: None,
            max_response_bytes: 64 * MIB,
            max_message_bytes: 64 * MIB,
        }
    }
}

impl Config {
    /// What is wrong with these settings: the field and why. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let deadlines = [
            ("connect_ms", self.connect_ms),
            ("first_byte_ms", self.first_byte_ms),
            ("inter_chunk_ms", self.inter_chunk_ms),
            ("total_ms", self.total_ms),
        ];
        let mut problems: Vec<_> = deadlines
            .into_iter()
            .filter(|(_, ms)| !(1..=u64::from(u32::MAX)).contains(ms))
            .map(|(field, ms)| (field, format!("must be between 1 and {}, not {ms}", u32::MAX)))
            .collect();
        for (field, bytes) in
            [("max_response_bytes", self.max_response_bytes), ("max_message_bytes", self.max_message_bytes)]
        {
            if bytes < 1024 {
                problems.push((field, format!("must be at least 1024, not {bytes}")));
            }
        }
        problems.extend(headgate_kit::trust::problem(self.ca_file.as_deref()));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        assert!(Config::default().problems().is_empty());
        let bad = Config { connect_ms: 0, max_message_bytes: 3, ..Config::default() };
        let fields: Vec<_> = bad.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["connect_ms", "max_message_bytes"]);
    }
}
