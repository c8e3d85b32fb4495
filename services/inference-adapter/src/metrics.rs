//! What the adapter counts. Every label's value is from a closed list, and every handle is made at the start.

use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::error::{ErrorReason, reason_name};
use headgate_kit::metrics::register;
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

/// The families, by `provider_kind`.
#[derive(Debug)]
pub(crate) struct Metrics {
    attempts: IntCounterVec,
    durations: HistogramVec,
}

/// The handles of one kind of provider.
#[derive(Debug)]
pub(crate) struct KindMetrics {
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
        let attempts = IntCounterVec::new(attempts, &["provider_kind", "outcome"])?;
        let durations = HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["provider_kind"])?;
        Ok(Self { attempts: register(registry, attempts), durations: register(registry, durations) })
    }

    /// The handles of one kind.
    pub(crate) fn kind(&self, kind: &'static str) -> Arc<KindMetrics> {
        let counter = |outcome: &str| self.attempts.with_label_values(&[kind, outcome]);
        Arc::new(KindMetrics {
            ok: counter("ok"),
            cancelled: counter("cancelled"),
            failed: REASONS.map(|reason| counter(&reason_name(reason).to_lowercase())),
            duration: self.durations.with_label_values(&[kind]),
        })
    }
}

impl KindMetrics {
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
    metrics: Arc<KindMetrics>,
    begun: tokio::time::Instant,
    outcome: Outcome,
}

impl Attempt {
    /// An attempt that begins now.
    pub(crate) fn begin(metrics: &Arc<KindMetrics>) -> Self {
        Self { metrics: Arc::clone(metrics), begun: tokio::time::Instant::now(), outcome: Outcome::Cancelled }
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
