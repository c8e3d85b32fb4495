//! Every metric of the router. Labels have a fixed set of values; handles are looked up once.

use headgate_kit::metrics::register;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::record::v1::Outcome;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::record::Terminal;

const OUTCOMES: [&str; 6] =
    ["unspecified", "succeeded", "failed", "cancelled", "deadline_exceeded", "abandoned"];
const OPERATIONS: [Operation; 3] = [Operation::Unspecified, Operation::Chat, Operation::Embeddings];
const SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

pub(crate) struct Metrics {
    requests: [[IntCounter; 6]; 3],
    refused: IntCounterVec,
    duration: Histogram,
    ttft: Histogram,
    prompt_tokens: IntCounter,
    completion_tokens: IntCounter,
    cost: IntCounter,
    pub(crate) lost_intents: IntCounter,
    pub(crate) stale_authentications: IntCounter,
    pub(crate) unlimited_requests: IntCounter,
    pub(crate) unreleased_admissions: IntCounter,
    pub(crate) opened_breakers: IntCounter,
    pub(crate) running: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let requests = counters(
            registry,
            "headgate_router_requests_total",
            "Admitted requests that ended, by operation and outcome.",
            &["operation", "outcome"],
        );
        let tokens = counters(registry, "headgate_router_tokens_total", "Tokens billed, by kind.", &["kind"]);
        Self {
            requests: OPERATIONS.map(|operation| {
                let name = crate::models::operation_name(operation);
                OUTCOMES.map(|outcome| requests.with_label_values(&[name, outcome]))
            }),
            refused: counters(
                registry,
                "headgate_router_refused_requests_total",
                "Requests that ended before they were admitted, by reason.",
                &["reason"],
            ),
            duration: histogram(registry, "headgate_router_request_duration_seconds", "From arrival to end."),
            ttft: histogram(
                registry,
                "headgate_router_time_to_first_token_seconds",
                "From arrival to first content.",
            ),
            prompt_tokens: tokens.with_label_values(&["prompt"]),
            completion_tokens: tokens.with_label_values(&["completion"]),
            cost: counter(registry, "headgate_router_cost_nano_usd_total", "Cost billed, in nano-USD."),
            lost_intents: counter(
                registry,
                "headgate_router_spool_errors_total",
                "Records that could not be written to the spool.",
            ),
            stale_authentications: counter(
                registry,
                "headgate_router_stale_authentications_total",
                "Requests let in by what was last heard of auth, which was away.",
            ),
            unlimited_requests: counter(
                registry,
                "headgate_router_unlimited_requests_total",
                "Requests without a budget that went on without limits, because budget was away.",
            ),
            unreleased_admissions: counter(
                registry,
                "headgate_router_unreleased_admissions_total",
                "Unused admissions that could not be given back, and hold their share until their leases end.",
            ),
            opened_breakers: counter(
                registry,
                "headgate_router_opened_breakers_total",
                "Times that a target had failed so often in a row that others are tried before it.",
            ),
            running: gauge(
                registry,
                "headgate_router_running_requests",
                "Admitted requests that have not ended.",
            ),
        }
    }

    pub(crate) fn refused(&self, reason: headgate_kit::error::ErrorReason) {
        self.refused.with_label_values(&[headgate_kit::error::reason_name(reason)]).inc();
    }

    pub(crate) fn ended(&self, record: &Terminal<'_>) {
        let operation = OPERATIONS.iter().position(|o| *o == record.subject.operation).unwrap_or(0);
        let outcome = usize::try_from(i32::from(record.outcome)).unwrap_or(0);
        if let Some(counter) = self.requests[operation].get(outcome) {
            counter.inc();
        }
        self.duration.observe(f64::from(record.latency_ms) / 1000.0);
        if let (Some(ttft), Outcome::Succeeded) = (record.ttft_ms, record.outcome) {
            self.ttft.observe(f64::from(ttft) / 1000.0);
        }
        self.prompt_tokens.inc_by(record.usage.prompt_tokens.into());
        self.completion_tokens.inc_by(record.usage.completion_tokens.into());
        self.cost.inc_by(u64::try_from(record.cost_nano_usd).unwrap_or(0));
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    match IntCounterVec::new(Opts::new(name, help), labels) {
        Ok(metric) => register(registry, metric),
        Err(cause) => unreachable!("metric {name}: {cause}"),
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    match IntCounter::new(name, help) {
        Ok(metric) => register(registry, metric),
        Err(cause) => unreachable!("metric {name}: {cause}"),
    }
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    match IntGauge::new(name, help) {
        Ok(metric) => register(registry, metric),
        Err(cause) => unreachable!("metric {name}: {cause}"),
    }
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Histogram {
    match Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())) {
        Ok(metric) => register(registry, metric),
        Err(cause) => unreachable!("metric {name}: {cause}"),
    }
}
