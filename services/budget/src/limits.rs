//! The live counters of one scope's limits.

use headgate_kit::error::ErrorReason;

use crate::gcra::{MINUTE, Meter, Rate, SECOND};
use crate::policy::Limits;

/// When to come back where only the end of another request helps, in milliseconds: nobody knows when that is.
const PARALLEL_RETRY_MS: u32 = 1000;

/// Why a request may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: ErrorReason,
    /// For the consumer.
    pub(crate) message: String,
    /// 0 when waiting does not help.
    pub(crate) retry_after_ms: u32,
}

impl Refusal {
    pub(crate) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after_ms: 0 }
    }
}

/// What one scope has running and has used of its rates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    running: u32,
    second: Meter,
    minute: Meter,
    tokens: Meter,
}

fn per_second(limit: u32) -> Rate {
    Rate { limit, period: SECOND }
}

fn per_minute(limit: u32) -> Rate {
    Rate { limit, period: MINUTE }
}

impl Counters {
    /// Counters as text has them: how many run, and the meters of requests per second and minute and of tokens. What is
    /// not there is 0. `None` for a text that is no counter.
    pub(crate) fn read(running: Option<&str>, meters: [Option<&str>; 3]) -> Option<Self> {
        let meter = |text: Option<&str>, period| match text {
            Some(text) => Meter::read(text, period),
            None => Some(Meter::default()),
        };
        let [second, minute, tokens] = meters;
        Some(Self {
            running: running.map_or(Some(0), |text| text.parse().ok())?,
            second: meter(second, SECOND)?,
            minute: meter(minute, MINUTE)?,
            tokens: meter(tokens, MINUTE)?,
        })
    }

    /// Whether another request may run at the same time. `whom` is for the message, e.g. "key".
    pub(crate) fn parallel_refusal(&self, limits: &Limits, whom: &str) -> Option<Refusal> {
        let limit = limits.parallel_requests.filter(|limit| self.running >= *limit)?;
        let message = format!("limit of {limit} parallel requests for this {whom} is reached");
        let retry_after_ms = PARALLEL_RETRY_MS;
        Some(Refusal { reason: ErrorReason::RateLimited, message, retry_after_ms })
    }

    /// Whether the rates let a request pass; the one that takes longest speaks. `now` is in microseconds.
    pub(crate) fn rate_refusal(
        &self,
        limits: &Limits,
        tokens: u32,
        now: i64,
        whom: &str,
    ) -> Option<(i64, Refusal)> {
        let second = limits
            .requests_per_second
            .map(|n| (self.second.wait(per_second(n), now, 1), n, "requests per second"));
        let minute = limits
            .requests_per_minute
            .map(|n| (self.minute.wait(per_minute(n), now, 1), n, "requests per minute"));
        let tokens = limits
            .tokens_per_minute
            .map(|n| (self.tokens.wait(per_minute(n), now, tokens), n, "tokens per minute"));
        let slowest = [second, minute, tokens].into_iter().flatten().max_by_key(|(wait, ..)| *wait);
        let (wait, limit, unit) = slowest.filter(|(wait, ..)| *wait > 0)?;
        let message = format!("limit of {limit} {unit} for this {whom} is reached");
        let retry_after_ms = u32::try_from((wait + 999) / 1000).unwrap_or(u32::MAX);
        Some((wait, Refusal { reason: ErrorReason::RateLimited, message, retry_after_ms }))
    }

    /// Lets a request pass and tells how many tokens it was charged; `None` without a token limit.
    pub(crate) fn take(&mut self, limits: &Limits, tokens: u32, now: i64) -> Option<u32> {
        self.running += 1;
        if let Some(n) = limits.requests_per_second {
            self.second.take(per_second(n), now, 1);
        }
        if let Some(n) = limits.requests_per_minute {
            self.minute.take(per_minute(n), now, 1);
        }
        limits.tokens_per_minute.map(|n| self.tokens.take(per_minute(n), now, tokens))
    }

    /// A request runs that was let pass by an earlier process.
    pub(crate) fn resume(&mut self) {
        self.running += 1;
    }

    /// A request ended.
    pub(crate) fn finish(&mut self) {
        self.running = self.running.saturating_sub(1);
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
                meter.give_back(period, now, cells);
            }
        }
    }

    /// Replaces the tokens a request was charged by those it took.
    pub(crate) fn correct(&mut self, limits: &Limits, charged: u32, took: u32, now: i64) {
        if let Some(n) = limits.tokens_per_minute {
            self.tokens.adjust(per_minute(n), now, i64::from(took) - i64::from(charged));
        }
    }
}
