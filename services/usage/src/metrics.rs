//! Every metric of the crate.

use headgate_kit::metrics::register;
use headgate_proto::record::v1::Outcome;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::pending::Pending;

/// Counts what goes into the ledger.
#[derive(Clone)]
pub(crate) struct Metrics {
    records: Option<IntCounterVec>,
    rejected: Option<IntCounter>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, pending: Pending) -> Self {
        let records = IntCounterVec::new(
            Opts::new("headgate_usage_records_total", "Usage records written, redeliveries included"),
            &["outcome"],
        );
        let rejected = IntCounter::new(
            "headgate_usage_rejected_records_total",
            "Records set aside because they could not be understood",
        );
        let gauge = IntGauge::new(
            "headgate_usage_pending_records",
            "Records that are written but not yet in the ledger",
        );
        if let Some(gauge) = logged(gauge) {
            register(registry, PendingGauge { gauge, pending });
        }
        Self {
            records: logged(records).map(|m| register(registry, m)),
            rejected: logged(rejected).map(|m| register(registry, m)),
        }
    }

    /// `outcome` is the proto's number.
    pub(crate) fn written(&self, outcome: i32, count: u64) {
        if let Some(records) = &self.records {
            records.with_label_values(&[outcome_label(outcome)]).inc_by(count);
        }
    }

    pub(crate) fn rejected(&self, count: u64) {
        if let Some(rejected) = &self.rejected {
            rejected.inc_by(count);
        }
    }
}

/// A metric must never stop the ledger.
fn logged<T>(metric: prometheus::Result<T>) -> Option<T> {
    metric.inspect_err(|cause| tracing::error!(%cause, "metric not made")).ok()
}

/// A closed list, so that no record can grow the number of series.
fn outcome_label(outcome: i32) -> &'static str {
    match Outcome::try_from(outcome) {
        Ok(Outcome::Succeeded) => "succeeded",
        Ok(Outcome::Failed) => "failed",
        Ok(Outcome::Cancelled) => "cancelled",
        Ok(Outcome::DeadlineExceeded) => "deadline_exceeded",
        Ok(Outcome::Abandoned) => "abandoned",
        Ok(Outcome::Unspecified) | Err(_) => "other",
    }
}

/// Asks the sources at every scrape, so that the gauge is never stale.
#[derive(Clone)]
struct PendingGauge {
    gauge: IntGauge,
    pending: Pending,
}

impl Collector for PendingGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::try_from(self.pending.records()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}
