//! Everything this service counts.

use headgate_kit::metrics::register;
use prometheus::IntGauge;

/// Handles of the service's metrics.
pub(crate) struct Metrics {
    revision: Option<IntGauge>,
}

impl Metrics {
    pub(crate) fn new(registry: &prometheus::Registry) -> Self {
        // The name is a constant, so this fails in no build that has passed a test.
        let gauge = IntGauge::new("headgate_catalog_revision", "The revision the catalog is at.").ok();
        Self { revision: gauge.map(|gauge| register(registry, gauge)) }
    }

    pub(crate) fn at(&self, revision: u64) {
        if let Some(gauge) = &self.revision {
            gauge.set(i64::try_from(revision).unwrap_or(i64::MAX));
        }
    }
}
