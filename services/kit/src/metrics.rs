//! Prometheus metrics: one registry a process, handed to whoever counts.

use prometheus::core::Collector;
use prometheus::{Encoder as _, Registry, TextEncoder};

/// Registers a metric and returns it. Registering twice under one name keeps the first and is logged: a metric must
/// never stop a service.
pub fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    if let Err(cause) = registry.register(Box::new(metric.clone())) {
        tracing::error!(%cause, "metric not registered");
    }
    metric
}

/// The registry in Prometheus' text format.
#[must_use]
pub fn render(registry: &Registry) -> String {
    let mut out = Vec::new();
    if let Err(cause) = TextEncoder::new().encode(&registry.gather(), &mut out) {
        tracing::error!(%cause, "metrics not rendered");
    }
    String::from_utf8_lossy(&out).into_owned()
}
