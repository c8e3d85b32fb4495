//! What was measured.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::target::Target;

/// Two minutes, in microseconds: everything slower counts as that.
const MAX_MICROS: u64 = 120_000_000;

/// What one task measured; merged at the end, so that recording takes no lock.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) latency: Micros,
    pub(crate) ttft: Micros,
    pub(crate) gap: Micros,
    pub(crate) transit: Micros,
    pub(crate) ok: u64,
    pub(crate) chunks: u64,
    pub(crate) http_errors: u64,
    pub(crate) io_errors: u64,
    pub(crate) short_streams: u64,
    pub(crate) reconnects: u64,
    first_error: Option<String>,
}

impl Tally {
    /// Keeps the first of all errors, so that a failed run says why.
    pub(crate) fn remember(&mut self, error: String) {
        self.first_error.get_or_insert(error);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latency.merge(&other.latency);
        self.ttft.merge(&other.ttft);
        self.gap.merge(&other.gap);
        self.transit.merge(&other.transit);
        self.ok += other.ok;
        self.chunks += other.chunks;
        self.http_errors += other.http_errors;
        self.io_errors += other.io_errors;
        self.short_streams += other.short_streams;
        self.reconnects += other.reconnects;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    pub(crate) fn report(&self, target: &Target, seconds: f64) -> Value {
        json!({
            "connections": target.args.connections, "seconds": seconds, "rps_asked": target.args.rps,
            "stream": target.args.stream, "body_bytes": target.body.len(),
            "ok": self.ok, "rps": self.ok as f64 / seconds, "chunks": self.chunks,
            "http_errors": self.http_errors, "io_errors": self.io_errors, "short_streams": self.short_streams,
            "reconnects": self.reconnects, "first_error": self.first_error,
            "latency_us": self.latency.summary(), "ttft_us": self.ttft.summary(),
            "gap_us": self.gap.summary(), "transit_us": self.transit.summary(),
        })
    }
}

/// A distribution of times in microseconds, to three digits. Nothing is allocated before the first.
#[derive(Default)]
pub(crate) struct Micros(Option<Histogram<u64>>);

impl Micros {
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_micros(u64::try_from(time.as_micros()).unwrap_or(MAX_MICROS));
    }

    pub(crate) fn record_micros(&mut self, micros: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, MAX_MICROS, 3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros.max(1));
        }
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (None, Some(theirs)) => self.0 = Some(theirs.clone()),
            // All have the same bounds, so adding cannot fail.
            (Some(ours), Some(theirs)) => ours.add(theirs).unwrap_or_default(),
            (_, None) => {}
        }
    }

    fn summary(&self) -> Option<Value> {
        let times = self.0.as_ref()?;
        Some(json!({
            "n": times.len(), "mean": times.mean().round(), "p50": times.value_at_quantile(0.5),
            "p90": times.value_at_quantile(0.9), "p99": times.value_at_quantile(0.99), "max": times.max(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_tallies_count_together_and_keep_the_first_error() {
        let mut sum = Tally::default();
        for (micros, error) in [(100, "one"), (300, "two")] {
            let mut tally = Tally { ok: 2, ..Tally::default() };
            tally.latency.record_micros(micros);
            tally.remember(error.into());
            sum.merge(tally);
        }
        let latency = sum.latency.summary().unwrap_or_default();
        assert_eq!((sum.ok, sum.first_error.as_deref()), (4, Some("one")));
        assert_eq!(
            (&latency["n"], &latency["mean"], &latency["max"]),
            (&json!(2), &json!(200.0), &json!(300))
        );
        assert_eq!(sum.gap.summary(), None);
    }
}
