//! The live counters of one scope's limits.

use headgate_kit::error::ErrorReason;
use headgate_kit::gcra::{MINUTE, Meter, Rate, SECOND};

use crate::policy::Limits;
use crate::sliding::Log;

/// When to come back where only the end of another request helps, in milliseconds: nobody knows when that is.
const PARALLEL_RETRY_MS: u32 = 1000;

/// A limit whose name says less than it should.
const SLIDING_WINDOW: &str = "sliding_window";

/// Why a request may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: ErrorReason,
    /// Which limit of whose, where a limit refuses.
    pub(crate) limit: Option<Reached>,
    /// For the consumer.
    pub(crate) message: String,
    /// 0 when waiting does not help.
    pub(crate) retry_after_ms: u32,
}

/// A limit that is reached, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The field of [`Limits`].
    pub(crate) limit: &'static str,
    /// "key" or "tenant".
    pub(crate) whom: &'static str,
}

impl Refusal {
    pub(crate) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, limit: None, message: message.into(), retry_after_ms: 0 }
    }

    fn reached(
        limit: &'static str,
        n: u32,
        limits: &Limits,
        whom: &'static str,
        retry_after_ms: u32,
    ) -> Self {
        let what = match limits.sliding_window {
            Some(window) if limit == SLIDING_WINDOW => format!("requests in any {} seconds", window.seconds),
            _ => limit.replace('_', " "),
        };
        let message = format!("limit of {n} {what} for this {whom} is reached");
        let limit = Some(Reached { limit, whom });
        Self { reason: ErrorReason::RateLimited, limit, message, retry_after_ms }
    }
}

/// What a request takes of the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Of prompt and answer, as far as they are known.
    pub(crate) tokens: u32,
    /// Whether its response is a stream.
    pub(crate) streamed: bool,
}

/// What one scope has running and has used of its rates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    running: u32,
    /// How many of those that run are streams.
    streams: u32,
    second: Meter,
    minute: Meter,
    tokens: Meter,
    /// Boxed, and not there before there is a sliding window: few scopes have one.
    log: Option<Box<Log>>,
}

fn per_second(limits: &Limits) -> Option<Rate> {
    let rate = limits.requests_per_second.map(|n| Rate::new(n, SECOND))?;
    Some(Rate { burst: limits.request_burst.unwrap_or(rate.limit), ..rate })
}

fn per_minute(limit: u32) -> Rate {
    Rate::new(limit, MINUTE)
}

impl Counters {
    /// Counters as text has them: how many run and how many of them are streams, and the meters of requests per second
    /// and minute and of tokens, and what decides the sliding window. What is not there is 0. `None` for a text that is
    /// no counter.
    pub(crate) fn read(
        running: [Option<&str>; 2],
        meters: [Option<&str>; 3],
        deciding: Option<&str>,
    ) -> Option<Self> {
        let count = |text: Option<&str>| text.map_or(Some(0), |text| text.parse().ok());
        let meter = |text: Option<&str>, period| match text {
            Some(text) => Meter::read(text, period),
            None => Some(Meter::default()),
        };
        let [second, minute, tokens] = meters;
        let [running, streams] = [count(running[0])?, count(running[1])?];
        Some(Self {
            running,
            streams: streams.min(running),
            second: meter(second, SECOND)?,
            minute: meter(minute, MINUTE)?,
            tokens: meter(tokens, MINUTE)?,
            log: match deciding {
                Some(at) => Some(Box::new(Log::Deciding(at.parse().ok()?))),
                None => None,
            },
        })
    }

    /// Whether another request may run at the same time. `whom` is "key" or "tenant".
    pub(crate) fn parallel_refusal(
        &self,
        limits: &Limits,
        load: Load,
        whom: &'static str,
    ) -> Option<Refusal> {
        let refusal = |limit, n| Refusal::reached(limit, n, limits, whom, PARALLEL_RETRY_MS);
        if let Some(n) = limits.parallel_requests.filter(|n| self.running >= *n) {
            return Some(refusal("parallel_requests", n));
        }
        let n = limits.parallel_streams.filter(|n| load.streamed && self.streams >= *n)?;
        Some(refusal("parallel_streams", n))
    }

    /// Whether the rates let a request pass; the one that takes longest speaks. `now` is in microseconds.
    pub(crate) fn rate_refusal(
        &self,
        limits: &Limits,
        load: Load,
        now: i64,
        whom: &'static str,
    ) -> Option<(i64, Refusal)> {
        let second = per_second(limits)
            .map(|rate| (self.second.wait(rate, now, 1), rate.limit, "requests_per_second"));
        let minute = limits
            .requests_per_minute
            .map(|n| (self.minute.wait(per_minute(n), now, 1), n, "requests_per_minute"));
        let tokens = limits
            .tokens_per_minute
            .map(|n| (self.tokens.wait(per_minute(n), now, load.tokens), n, "tokens_per_minute"));
        let window = limits.sliding_window.map(|window| {
            let wait = self.log.as_ref().map_or(0, |log| log.wait(window, now));
            (wait, window.requests, SLIDING_WINDOW)
        });
        let slowest = [second, minute, tokens, window].into_iter().flatten().max_by_key(|(wait, ..)| *wait);
        let (wait, n, limit) = slowest.filter(|(wait, ..)| *wait > 0)?;
        let retry_after_ms = u32::try_from((wait + 999) / 1000).unwrap_or(u32::MAX);
        Some((wait, Refusal::reached(limit, n, limits, whom, retry_after_ms)))
    }

    /// Lets a request pass and tells how many tokens it was charged; `None` without a token limit. What runs is counted
    /// without a limit, too, so that one that is set later finds it counted.
    pub(crate) fn take(&mut self, limits: &Limits, load: Load, now: i64) -> Option<u32> {
        self.running += 1;
        self.streams += u32::from(load.streamed);
        if let Some(rate) = per_second(limits) {
            self.second.take(rate, now, 1);
        }
        if let Some(n) = limits.requests_per_minute {
            self.minute.take(per_minute(n), now, 1);
        }
        if let Some(window) = limits.sliding_window {
            self.log.get_or_insert_default().take(window, now);
        }
        limits.tokens_per_minute.map(|n| self.tokens.take(per_minute(n), now, load.tokens))
    }

    /// A request runs that was let pass by an earlier process.
    pub(crate) fn resume(&mut self, streamed: bool) {
        self.running += 1;
        self.streams += u32::from(streamed);
    }

    /// A request ended.
    pub(crate) fn finish(&mut self, streamed: bool) {
        self.running = self.running.saturating_sub(1);
        self.streams = self.streams.saturating_sub(streamed.into());
    }

    /// A request that was let pass at `since` did not run: gives back what its rates were charged, but not where a whole
    /// period has passed and refilled it. Times are in microseconds.
    pub(crate) fn give_back(&mut self, tokens: Option<u32>, since: i64, now: i64) {
        let tokens = tokens.unwrap_or(0);
        let meters = [
            (&mut self.second, SECOND, 1),
            (&mut self.minute, MINUTE, 1),
            (&mut self.tokens, MINUTE, tokens),
        ];
        for (meter, period, cells) in meters {
            if now.saturating_sub(since) < period {
                meter.give_back(period, cells);
            }
        }
        if let Some(log) = &mut self.log {
            log.give_back(since.div_euclid(1000));
        }
    }

    /// Replaces the tokens a request was charged by those it took.
    pub(crate) fn correct(&mut self, limits: &Limits, charged: u32, took: u32, now: i64) {
        if let Some(n) = limits.tokens_per_minute {
            self.tokens.adjust(per_minute(n), now, i64::from(took) - i64::from(charged));
        }
    }
}
