//! The four deadlines of an attempt, watched by one timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::quiet::Quiet;
use headgate_proto::adapter::v1::Deadlines;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Config;

/// Where an attempt is. Each phase has its own deadline; the whole has one beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No connection stands yet.
    Connect,
    /// The request is under way, no content has come.
    FirstByte,
    /// Content came; the next piece is awaited.
    InterChunk,
    /// Only the whole attempt's deadline counts.
    Rest,
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    connect: Duration,
    first_byte: Duration,
    inter_chunk: Duration,
    total: Duration,
}

impl Limits {
    /// The target's deadlines; where it sets none, the configured ones.
    pub(crate) fn new(config: &Config, own: Option<&Deadlines>) -> Self {
        let own = own.copied().unwrap_or_default();
        let pick =
            |own: u32, default: u64| Duration::from_millis(if own == 0 { default } else { u64::from(own) });
        Self {
            connect: pick(own.connect_ms, config.connect_ms),
            first_byte: pick(own.first_byte_ms, config.first_byte_ms),
            inter_chunk: pick(own.inter_chunk_ms, config.inter_chunk_ms),
            total: pick(own.total_ms, config.total_ms),
        }
    }

    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Connect => self.connect,
            Phase::FirstByte => self.first_byte,
            Phase::InterChunk => self.inter_chunk,
            Phase::Rest => self.total,
        }
    }
}

/// Tells when a deadline has passed. A sign of life costs one look at the clock: the timer is set anew only when it
/// fires too early, or when a phase ends sooner than the timer would.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    begun: Instant,
    phase: Phase,
    since: Instant,
    timer: Quiet<Sleep>,
}

impl Watch {
    /// Begins an attempt in [`Phase::Connect`].
    pub(crate) fn begin(limits: Limits) -> Self {
        let begun = Instant::now();
        let timer = Quiet::new(sleep_until(begun + limits.connect.min(limits.total)));
        Self { limits, begun, phase: Phase::Connect, since: begun, timer }
    }

    /// Enters a phase, whose time begins now.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.alive();
        let due = self.due();
        if due < self.timer.get().deadline() {
            self.timer.get_mut().reset(due);
        }
    }

    /// How long a phase may take.
    pub(crate) fn limit(&self, phase: Phase) -> Duration {
        self.limits.of(phase)
    }

    /// The phase the attempt is in.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Begins the phase's time again.
    pub(crate) fn alive(&mut self) {
        self.since = Instant::now();
    }

    /// Ready with the failure when a deadline has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            let due = self.due();
            if due <= Instant::now() {
                return Poll::Ready(self.failure());
            }
            self.timer.get_mut().reset(due);
        }
    }

    /// Waits for the deadline to pass.
    pub(crate) async fn passed(&mut self) -> Failure {
        std::future::poll_fn(|cx| self.poll_passed(cx)).await
    }

    fn due(&self) -> Instant {
        (self.since + self.limits.of(self.phase)).min(self.begun + self.limits.total)
    }

    fn failure(&self) -> Failure {
        let whole = self.begun.elapsed() >= self.limits.total;
        let (name, limit) = match self.phase {
            _ if whole => ("total", self.limits.total),
            Phase::Connect => ("connect", self.limits.connect),
            Phase::FirstByte => ("first_byte", self.limits.first_byte),
            Phase::InterChunk => ("inter_chunk", self.limits.inter_chunk),
            Phase::Rest => ("total", self.limits.total),
        };
        let ms = limit.as_millis();
        let message = match name {
            "connect" => format!("no connection to the upstream within {ms} ms"),
            "first_byte" => format!("the upstream did not begin to answer within {ms} ms"),
            "inter_chunk" => format!("the upstream's stream fell silent for {ms} ms"),
            _ => format!("the upstream did not finish within {ms} ms"),
        };
        Failure::new(ErrorReason::UpstreamTimeout, message).with("deadline", name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let own = Deadlines { connect_ms: 10, first_byte_ms: 100, inter_chunk_ms: 20, total_ms: 1000 };
        Limits::new(&Config::default(), Some(&own))
    }

    async fn name_and_time(mut watch: Watch) -> (String, u128) {
        let failure = watch.passed().await;
        (failure.metadata["deadline"].clone(), watch.begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline() {
        assert_eq!(name_and_time(Watch::begin(limits())).await, ("connect".into(), 10));
        for (phase, name, after) in [
            (Phase::FirstByte, "first_byte", 100),
            (Phase::InterChunk, "inter_chunk", 20),
            (Phase::Rest, "total", 1000),
        ] {
            let mut watch = Watch::begin(limits());
            watch.enter(phase);
            let (found, at) = name_and_time(watch).await;
            assert_eq!(found, name);
            // A timer of tokio fires up to a millisecond late.
            assert!((after..=after + 1).contains(&at), "{name} after {at} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn life_puts_the_phase_off_but_not_the_whole() {
        let mut watch = Watch::begin(limits());
        watch.enter(Phase::InterChunk);
        let mut lived = 0;
        let failure = loop {
            tokio::select! {
                biased;
                failure = watch.passed() => break failure,
                () = tokio::time::sleep(Duration::from_millis(15)) => { watch.alive(); lived += 1 }
            }
        };
        assert_eq!((failure.metadata["deadline"].as_str(), lived), ("total", 66));
    }

    #[test]
    fn zero_means_the_default() {
        let limits =
            Limits::new(&Config::default(), Some(&Deadlines { total_ms: 7, ..Deadlines::default() }));
        assert_eq!((limits.total, limits.connect), (Duration::from_millis(7), Duration::from_secs(5)));
    }
}
