//! Every metric of the edge.

use std::sync::OnceLock;
use std::time::Instant;

use headgate_kit::metrics::register;
use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::route::Route;

/// The statuses that are counted by themselves; an upstream's own 4xx beyond them counts as "other".
const STATUSES: [u16; 21] = [
    200,
    201,
    202,
    204,
    302,
    303,
    400,
    401,
    403,
    404,
    405,
    409,
    413,
    422,
    429,
    CLIENT_GONE,
    500,
    502,
    503,
    504,
    OTHER,
];
const OTHER: u16 = 0;
/// Counted when the client went away before the response's head.
const CLIENT_GONE: u16 = 499;
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Handles that need no lookup by label.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    /// Of every route, and behind them of every path that is transcoded.
    rows: Vec<Row>,
    /// Connections that are open.
    pub(crate) open_connections: IntGauge,
    /// Requests of addresses that failed too often.
    pub(crate) limited_strangers: IntCounter,
}

/// What is counted of one path. Filled as it is first seen, so that what never happened is not exported.
struct Row {
    label: String,
    counters: [OnceLock<IntCounter>; STATUSES.len()],
    duration: OnceLock<Histogram>,
}

impl Row {
    fn new(label: &str) -> Self {
        Self { label: label.to_owned(), counters: Default::default(), duration: OnceLock::new() }
    }
}

impl Metrics {
    /// `templates` are the paths that are transcoded.
    #[expect(clippy::expect_used, reason = "fails only on a malformed constant, which the tests would see")]
    pub(crate) fn new(registry: &Registry, templates: &[String]) -> Self {
        let requests = IntCounterVec::new(
            Opts::new("headgate_edge_requests_total", "Requests by path and status of the response's head."),
            &["route", "status"],
        )
        .expect("constant metric");
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "headgate_edge_request_duration_seconds",
                "Time from a request's head to its response's head.",
            )
            .buckets(SECONDS.to_vec()),
            &["route"],
        )
        .expect("constant metric");
        let open_connections =
            IntGauge::new("headgate_edge_open_connections", "REST connections that are open.")
                .expect("constant metric");
        let limited_strangers = IntCounter::new(
            "headgate_edge_limited_strangers_total",
            "Requests without a valid key that were told to wait, as too many of their address came before.",
        )
        .expect("constant metric");
        let routes = Route::all();
        let labels = routes.iter().map(|route| route.template());
        let labels = labels.chain(templates.iter().map(String::as_str));
        Self {
            requests: register(registry, requests),
            durations: register(registry, durations),
            rows: labels.map(Row::new).collect(),
            open_connections: register(registry, open_connections),
            limited_strangers: register(registry, limited_strangers),
        }
    }

    /// Starts the measurement of one request.
    pub(crate) fn begin(&self, route: Route) -> Measurement<'_> {
        self.measure(&self.rows[route.index()])
    }

    /// Starts the measurement of one request for the transcoded path at this place.
    pub(crate) fn begin_transcoded(&self, place: usize) -> Measurement<'_> {
        self.measure(&self.rows[Route::COUNT + place])
    }

    fn measure<'a>(&'a self, row: &'a Row) -> Measurement<'a> {
        Measurement { metrics: self, row, begun: Instant::now(), status: CLIENT_GONE }
    }

    fn counter<'a>(&self, row: &'a Row, status: u16) -> &'a IntCounter {
        let column = STATUSES.iter().position(|s| *s == status).unwrap_or(STATUSES.len() - 1);
        row.counters[column].get_or_init(|| match STATUSES[column] {
            OTHER => self.requests.with_label_values(&[&row.label, "other"]),
            known => self.requests.with_label_values(&[&*row.label, &known.to_string()]),
        })
    }

    fn duration<'a>(&self, row: &'a Row) -> &'a Histogram {
        row.duration.get_or_init(|| self.durations.with_label_values(&[&row.label]))
    }
}

/// One request being measured; counted when dropped.
pub(crate) struct Measurement<'a> {
    metrics: &'a Metrics,
    row: &'a Row,
    begun: Instant,
    status: u16,
}

impl Measurement<'_> {
    /// Says how the request was answered. Without it the client is taken to have gone away.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    pub(crate) fn elapsed_micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Measurement<'_> {
    fn drop(&mut self) {
        self.metrics.counter(self.row, self.status).inc();
        self.metrics.duration(self.row).observe(self.begun.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_a_request_without_answer_counts_as_gone() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry, &["/admin/{id}".to_owned()]);
        drop(metrics.begin(Route::Ping));
        for status in 400..500 {
            metrics.begin(Route::Model).answered(StatusCode::from_u16(status).unwrap());
        }
        metrics.begin_transcoded(0).answered(StatusCode::OK);
        let text = headgate_kit::metrics::render(&registry);
        assert!(text.contains(r#"headgate_edge_requests_total{route="/ping",status="499"} 1"#), "{text}");
        assert!(text.contains(r#"headgate_edge_requests_total{route="/v1/models/{id}",status="other"} 90"#));
        assert!(text.contains(r#"headgate_edge_requests_total{route="/admin/{id}",status="200"} 1"#));
        assert!(
            text.contains(r#"headgate_edge_request_duration_seconds_count{route="/v1/models/{id}"} 100"#)
        );
    }
}
