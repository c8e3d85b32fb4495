//! Everything this service counts.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::metrics::register;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Handles of the service's metrics, looked up once.
#[derive(Clone)]
pub(crate) struct Metrics {
    valid: Option<IntCounter>,
    invalid: Option<IntCounter>,
    disabled: Option<IntCounter>,
}

impl Metrics {
    pub(crate) fn new(registry: &prometheus::Registry) -> Self {
        let opts = Opts::new("headgate_auth_verifications_total", "API keys verified by call, by outcome.");
        // The name and label are constants, so this fails in no build that has passed a test.
        let by_outcome = IntCounterVec::new(opts, &["outcome"]).ok().map(|v| register(registry, v));
        let outcome = |name| by_outcome.as_ref().map(|v| v.with_label_values(&[name]));
        Self { valid: outcome("valid"), invalid: outcome("invalid"), disabled: outcome("tenant_disabled") }
    }

    /// Counts one verification.
    pub(crate) fn verified<T>(&self, result: &Result<T, Failure>) {
        let counter = match result {
            Ok(_) => &self.valid,
            Err(f) if f.reason == ErrorReason::TenantDisabled => &self.disabled,
            Err(_) => &self.invalid,
        };
        if let Some(counter) = counter {
            counter.inc();
        }
    }
}
