//! What the adapter counts. Labels' values are from closed lists and the catalog, and handles are made once.

use std::collections::HashMap;
use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::error::{ErrorReason, reason_name};
use headgate_kit::metrics::register;
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// How an attempt can fail; anything else is counted as INTERNAL.
const REASONS: [ErrorReason; 10] = [
    ErrorReason::Internal,
    ErrorReason::InvalidRequest,
    ErrorReason::Unsupported,
    ErrorReason::UpstreamRateLimited,
    ErrorReason::UpstreamRejected,
    ErrorReason::UpstreamCredential,
    ErrorReason::UpstreamFailed,
    ErrorReason::UpstreamTimeout,
    ErrorReason::UpstreamInvalid,
    ErrorReason::Unavailable,
];

/// Seconds: from a cached answer to a long generation.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Providers that are told apart; those beyond are counted together, so that metrics stay bounded.
const MAX_PROVIDERS: usize = 1000;
const OTHERS: &str = "other";

/// The families, by `provider`: the provider's id.
#[derive(Debug)]
pub(crate) struct Metrics {
    attempts: IntCounterVec,
    durations: HistogramVec,
    known: RwLock<HashMap<String, Arc<ProviderMetrics>>>,
}

/// The handles of one provider.
#[derive(Debug)]
pub(crate) struct ProviderMetrics {
    ok: IntCounter,
    cancelled: IntCounter,
    failed: [IntCounter; REASONS.len()],
    duration: Histogram,
}

impl Metrics {
    /// # Errors
    /// When a name is not a metric's, which the tests exclude.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let attempts =
            Opts::new("headgate_adapter_attempts_total", "Attempts at upstreams, by how they ended.");
        let durations = HistogramOpts::new(
            "headgate_adapter_upstream_duration_seconds",
            "Time from an attempt's begin to its end, streams included.",
        );
        let attempts = IntCounterVec::new(attempts, &["provider", "outcome"])?;
        let durations = HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["provider"])?;
        let (attempts, durations) = (register(registry, attempts), register(registry, durations));
        Ok(Self { attempts, durations, known: RwLock::default() })
    }

    /// The handles of one provider.
    pub(crate) fn provider(&self, id: &str) -> Arc<ProviderMetrics> {
        if let Some(known) = self.known.read().get(id) {
            return Arc::clone(known);
        }
        let mut known = self.known.write();
        let id = if known.len() < MAX_PROVIDERS { id } else { OTHERS };
        let made = known.entry(id.to_owned()).or_insert_with(|| self.make(id));
        Arc::clone(made)
    }

    fn make(&self, id: &str) -> Arc<ProviderMetrics> {
        let counter = |outcome: &str| self.attempts.with_label_values(&[id, outcome]);
        Arc::new(ProviderMetrics {
            ok: counter("ok"),
            cancelled: counter("cancelled"),
            failed: REASONS.map(|reason| counter(&reason_name(reason).to_lowercase())),
            duration: self.durations.with_label_values(&[id]),
        })
    }
}

impl ProviderMetrics {
    fn count(&self, outcome: &Outcome, seconds: f64) {
        let counter = match outcome {
            Outcome::Ok => &self.ok,
            Outcome::Cancelled => &self.cancelled,
            Outcome::Failed(reason) => {
                let at = REASONS.iter().position(|known| known == reason).unwrap_or(0);
                self.failed.get(at).unwrap_or(&self.cancelled)
            }
        };
        counter.inc();
        self.duration.observe(seconds);
    }
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Ok,
    Cancelled,
    Failed(ErrorReason),
}

/// Counts one attempt when it is dropped; one that told no end was cancelled.
#[derive(Debug)]
pub(crate) struct Attempt {
    metrics: Arc<ProviderMetrics>,
    begun: tokio::time::Instant,
    outcome: Outcome,
}

impl Attempt {
    /// An attempt that begins now.
    pub(crate) fn begin(metrics: Arc<ProviderMetrics>) -> Self {
        Self { metrics, begun: tokio::time::Instant::now(), outcome: Outcome::Cancelled }
    }

    /// It ended well.
    pub(crate) fn done(&mut self) {
        self.outcome = Outcome::Ok;
    }

    /// It failed.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.outcome = Outcome::Failed(failure.reason);
    }

    /// It ended one way or the other.
    pub(crate) fn ended<T>(&mut self, result: &Result<T, Failure>) {
        match result {
            Ok(_) => self.done(),
            Err(failure) => self.failed(failure),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.metrics.count(&self.outcome, self.begun.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_apart_up_to_a_bound() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        for number in 0..MAX_PROVIDERS + 7 {
            Attempt::begin(metrics.provider(&format!("provider_{number}"))).done();
        }
        let text = headgate_kit::metrics::render(&registry);
        let line = |id: &str, n: usize| {
            format!("headgate_adapter_attempts_total{{outcome=\"ok\",provider=\"{id}\"}} {n}\n")
        };
        assert!(text.contains(&line("provider_0", 1)) && text.contains(&line(OTHERS, 7)));
        assert!(!text.contains(&format!("provider_{}\"", MAX_PROVIDERS + 1)));
    }
}
