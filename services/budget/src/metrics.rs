//! Every metric of the budget service.

use headgate_kit::error::{ErrorReason, reason_name};
use headgate_kit::metrics::register;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::limits::Reached;

/// Handles to the metrics; the frequent ones are looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    decisions: IntCounterVec,
    admitted: IntCounter,
    limited: IntCounterVec,
    /// Leases that run.
    pub(crate) open_leases: IntGauge,
    /// Leases that expired.
    pub(crate) expired_leases: IntCounter,
    /// Records that could not be read and were passed over.
    pub(crate) unreadable_records: IntCounter,
    /// Requests that ran without limits, because the counters could not be asked.
    pub(crate) ungoverned_requests: IntCounter,
    /// Tenants whose counters were lost and rebuilt.
    pub(crate) rebuilt_tenants: IntCounter,
    /// Responses that will not be replayed after a restart, because the store did not keep up.
    pub(crate) unpersisted_responses: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str| IntCounter::new(name, help).map(|counter| register(registry, counter));
        let decisions = Opts::new("headgate_budget_decisions_total", "Decided admissions by reason.");
        let decisions = register(registry, IntCounterVec::new(decisions, &["decision", "reason"])?);
        let limited = Opts::new(
            "headgate_budget_limited_requests_total",
            "Requests refused by the limit that was reached.",
        );
        let limited = register(registry, IntCounterVec::new(limited, &["limit", "scope"])?);
        let open = IntGauge::new("headgate_budget_open_leases", "Admitted requests that have not ended.")?;
        Ok(Self {
            admitted: decisions.with_label_values(&["admitted", ""]),
            decisions,
            limited,
            open_leases: register(registry, open),
            expired_leases: counter(
                "headgate_budget_expired_leases_total",
                "Leases that expired and were accounted for by an estimate.",
            )?,
            unreadable_records: counter(
                "headgate_budget_unreadable_records_total",
                "Records that could not be read and were passed over.",
            )?,
            ungoverned_requests: counter(
                "headgate_budget_ungoverned_requests_total",
                "Requests without a budget that ran without limits while the counters were away.",
            )?,
            rebuilt_tenants: counter(
                "headgate_budget_rebuilt_tenants_total",
                "Tenants whose counters were lost and rebuilt from the stored spend.",
            )?,
            unpersisted_responses: counter(
                "headgate_budget_unpersisted_responses_total",
                "Responses that will not be replayed after a restart.",
            )?,
        })
    }

    pub(crate) fn admitted(&self) {
        self.admitted.inc();
    }

    pub(crate) fn replayed(&self) {
        self.decided("replay", "");
    }

    pub(crate) fn refused(&self, reason: ErrorReason) {
        self.decided("refused", reason_name(reason));
    }

    /// Which limit refused a request; every one is a field of `Limits`, so there are few.
    pub(crate) fn limited(&self, Reached { limit, whom }: Reached) {
        self.limited.with_label_values(&[limit, whom]).inc();
    }

    fn decided(&self, decision: &str, reason: &str) {
        self.decisions.with_label_values(&[decision, reason]).inc();
    }
}
