//! Step six: one target after the other, until one answers or none is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::error::{ErrorReason, Failure};
use tonic::Status;

use crate::call::Run;
use crate::error::is_retryable;
use crate::models::Candidate;

impl Run {
    /// Takes the next target to try, and bills at its price from here on.
    pub(crate) fn next_candidate(&mut self) -> Option<Arc<Candidate>> {
        let candidate = self.candidates.pop_front()?;
        self.lease.attempt(&candidate);
        Some(candidate)
    }

    /// Notes a failed attempt. `Err` when no other target may be tried for it: what the consumer is told.
    pub(crate) fn failed(
        &mut self,
        candidate: &Candidate,
        since: Instant,
        status: &Status,
    ) -> Result<(), Failure> {
        let failure = Failure::from_status(status);
        self.note(candidate, since, &failure);
        if is_retryable(&failure) && !self.candidates.is_empty() { Ok(()) } else { Err(failure) }
    }

    /// Notes an attempt that failed after its first byte.
    pub(crate) fn broke(&mut self, candidate: &Candidate, since: Instant, status: &Status) -> Failure {
        let failure = Failure::from_status(status);
        self.note(candidate, since, &failure);
        failure
    }

    fn note(&mut self, candidate: &Candidate, since: Instant, failure: &Failure) {
        self.lease.attempted(candidate, since, Some(failure));
        let cools = matches!(failure.reason, ErrorReason::UpstreamRateLimited | ErrorReason::UpstreamFailed);
        if let (true, Some(wait)) = (cools, failure.retry_after) {
            let most = Duration::from_millis(self.parts.config.max_cooldown_ms);
            self.parts.cooldowns.cool(&candidate.target.target_id, Instant::now(), wait.min(most));
        }
    }
}
