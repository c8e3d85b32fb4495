//! Step six: one target after the other, until one answers or none is left.

use std::time::{Duration, Instant};
use std::vec;

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::adapter::v1::Target;
use tonic::Status;

use crate::error::is_retryable;
use crate::headers::Headers;
use crate::lease::Lease;

/// When a consumer may come back for a target that does not ask to be left alone.
const SOON: Duration = Duration::from_secs(1);

/// A request that may run.
pub(crate) struct Run {
    pub(crate) lease: Lease,
    pub(crate) headers: Headers,
    /// Positions among the model's candidates that were not tried yet, best first.
    pub(crate) targets: vec::IntoIter<usize>,
    /// What replaces the request's output limit: what is left in a budget, or the model's default.
    pub(crate) output_token_cap: Option<u32>,
}

/// One attempt.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    /// The target's position among the model's candidates.
    pub(crate) at: usize,
    pub(crate) since: Instant,
}

impl Run {
    /// Begins an attempt at the next target, and bills at its price from here on.
    pub(crate) fn next_attempt(&mut self) -> Option<Attempt> {
        let at = self.targets.next()?;
        self.lease.attempt(at);
        Some(Attempt { at, since: Instant::now() })
    }

    /// Whether no other target is left to try.
    pub(crate) fn is_last(&self) -> bool {
        self.targets.as_slice().is_empty()
    }

    /// Where an attempt goes.
    pub(crate) fn target(&self, attempt: Attempt) -> Option<Target> {
        Some(self.lease.subject.entry.candidates.get(attempt.at)?.target.clone())
    }

    /// Notes a failed attempt. `Err` when no other target may be tried for it: what the consumer is told.
    pub(crate) fn failed(&mut self, attempt: Attempt, status: &Status) -> Result<(), Failure> {
        let failure = self.broke(attempt, status);
        if is_retryable(&failure) && !self.is_last() { Ok(()) } else { Err(self.soonest(attempt, failure)) }
    }

    /// A consumer who is told to wait need not wait for longer than for the first target that takes requests again,
    /// and hardly at all when there is one that was not tried.
    fn soonest(&self, attempt: Attempt, mut failure: Failure) -> Failure {
        let Some(wait) = failure.retry_after else { return failure };
        let (cooldowns, now) = (&self.lease.parts().cooldowns, Instant::now());
        let candidates = self.lease.subject.entry.candidates.iter().enumerate();
        let others = candidates
            .filter(|(at, _)| *at != attempt.at)
            .map(|(_, other)| cooldowns.remaining(&other.target.target_id, now).unwrap_or(SOON));
        failure.retry_after = Some(others.fold(wait, Duration::min));
        failure
    }

    /// Notes an attempt that failed after its first byte.
    pub(crate) fn broke(&mut self, attempt: Attempt, status: &Status) -> Failure {
        let failure = Failure::from_status(status);
        let target_id = self.lease.subject.entry.candidates.get(attempt.at).map(|c| &*c.target.target_id);
        tracing::debug!(target_id, reason = failure.reason.as_str_name(), "attempt failed");
        self.lease.attempted(attempt, Some(&failure));
        let cools = matches!(failure.reason, ErrorReason::UpstreamRateLimited | ErrorReason::UpstreamFailed);
        if let (true, Some(wait)) = (cools, failure.retry_after) {
            self.cool(attempt, wait);
        }
        failure
    }

    /// Leaves a target alone for as long as it asked.
    fn cool(&self, attempt: Attempt, wait: Duration) {
        let parts = self.lease.parts();
        let most = Duration::from_millis(parts.config.max_cooldown_ms);
        if let Some(candidate) = self.lease.subject.entry.candidates.get(attempt.at) {
            parts.cooldowns.cool(&candidate.target.target_id, Instant::now(), wait.min(most));
        }
    }

    /// Ends the request with a failure.
    pub(crate) fn fail(&mut self, failure: Failure) -> Status {
        self.lease.fail(&failure);
        std::mem::take(&mut self.headers).refuse(failure)
    }
}
