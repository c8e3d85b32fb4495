//! Everything this service counts.

use headgate_kit::metrics::register;
use prometheus::{IntCounterVec, IntGauge, Opts};

use crate::state::State;

/// Handles of the service's metrics.
pub(crate) struct Metrics {
    revision: Option<IntGauge>,
    unhealthy: Option<IntGauge>,
    probes: Option<IntCounterVec>,
}

impl Metrics {
    pub(crate) fn new(registry: &prometheus::Registry) -> Self {
        // The names are constants, so none of this fails in a build that has passed a test.
        let gauge = |name, help| IntGauge::new(name, help).ok().map(|gauge| register(registry, gauge));
        let probes = Opts::new("headgate_catalog_probes_total", "Probes of providers, by what they found.");
        let probes = IntCounterVec::new(probes, &["status"]).ok();
        Self {
            revision: gauge("headgate_catalog_revision", "The revision the catalog is at."),
            unhealthy: gauge("headgate_catalog_unhealthy_providers", "Active providers that are unhealthy."),
            probes: probes.map(|probes| register(registry, probes)),
        }
    }

    pub(crate) fn at(&self, state: &State) {
        if let Some(gauge) = &self.revision {
            gauge.set(i64::try_from(state.revision()).unwrap_or(i64::MAX));
        }
        if let Some(gauge) = &self.unhealthy {
            let providers = state.providers_after("").map(|provider| &provider.shown);
            let unhealthy = providers.filter(|shown| shown.is_active && !shown.is_healthy).count();
            gauge.set(i64::try_from(unhealthy).unwrap_or(i64::MAX));
        }
    }

    /// Counts a probe by the word for what it found.
    pub(crate) fn probed(&self, status: &str) {
        if let Some(probes) = &self.probes {
            probes.with_label_values(&[status]).inc();
        }
    }
}
