//! Every metric of records over NATS.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::metrics::register;
use crate::spool::LagHandle;
use parking_lot::Mutex;
use std::sync::Arc;

/// Handles to the metrics. Labels are names of spools and consumers, which are fixed.
#[derive(Clone)]
pub(super) struct Metrics {
    /// 1 while there is a connection.
    pub(super) connected: IntGauge,
    /// By spool.
    pub(super) forwarded: IntCounterVec,
    /// By spool.
    pub(super) publish_failures: IntCounterVec,
    /// By spool.
    pub(super) set_aside: IntCounterVec,
    /// By consumer, in messages.
    pub(super) pending: IntGaugeVec,
    /// By consumer.
    pub(super) malformed: IntCounterVec,
    unforwarded: Unforwarded,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, label: &str| {
            let made = IntCounterVec::new(Opts::new(name, help), &[label]);
            register(registry, made.unwrap_or_else(|cause| unreachable!("metric {name}: {cause}")))
        };
        let gauges = |name: &str, help: &str, label: &str| {
            let made = IntGaugeVec::new(Opts::new(name, help), &[label]);
            made.unwrap_or_else(|cause| unreachable!("metric {name}: {cause}"))
        };
        let connected = IntGauge::new("headgate_nats_connected", "1 while there is a connection to NATS.");
        let connected = connected.unwrap_or_else(|cause| unreachable!("metric: {cause}"));
        let unforwarded = Unforwarded {
            gauges: gauges(
                "headgate_records_unforwarded_records",
                "Records that lie in a spool and are not known to be stored by NATS.",
                "spool",
            ),
            spools: Arc::default(),
        };
        Self {
            connected: register(registry, connected),
            forwarded: counters(
                "headgate_records_forwarded_total",
                "Records that NATS has stored, by spool.",
                "spool",
            ),
            publish_failures: counters(
                "headgate_records_publish_failures_total",
                "Times that records could not be forwarded and waited to be tried again, by spool.",
                "spool",
            ),
            set_aside: counters(
                "headgate_records_set_aside_total",
                "Records larger than NATS takes, which lie in files beside the spool.",
                "spool",
            ),
            pending: register(
                registry,
                gauges(
                    "headgate_records_pending_messages",
                    "Messages in NATS that a consumer has not acknowledged, each a batch of records.",
                    "consumer",
                ),
            ),
            malformed: counters(
                "headgate_records_malformed_messages_total",
                "Messages that were no batch of records and were given up, by consumer.",
                "consumer",
            ),
            unforwarded: register(registry, unforwarded),
        }
    }

    /// Shows the lag of a spool from now on.
    pub(super) fn watch_spool(&self, name: &'static str, lag: LagHandle) {
        self.unforwarded.spools.lock().push((name, lag));
    }
}

/// Asks the spools at every scrape, so that the gauge is never stale.
#[derive(Clone)]
struct Unforwarded {
    gauges: IntGaugeVec,
    spools: Arc<Mutex<Vec<(&'static str, LagHandle)>>>,
}

impl Collector for Unforwarded {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (name, lag) in &*self.spools.lock() {
            self.gauges.with_label_values(&[name]).set(i64::try_from(lag.records()).unwrap_or(i64::MAX));
        }
        self.gauges.collect()
    }
}
