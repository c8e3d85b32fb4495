//! What a probe says of a provider's health. Pure.

use headgate_proto::adapter::v1::{ProbeResponse, ProbeStatus};
use headgate_proto::catalog::v1::Provider;
use prost_types::Timestamp;

/// The part of a provider that probes and operators change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Health {
    pub status: String,
    pub latency_ms: u32,
    pub last_tested_at: Option<Timestamp>,
    pub consecutive_failures: u32,
    pub is_healthy: bool,
}

impl Health {
    /// Of a provider that nobody has asked yet.
    pub(crate) fn unknown() -> Self {
        Self {
            status: String::new(),
            latency_ms: 0,
            last_tested_at: None,
            consecutive_failures: 0,
            is_healthy: true,
        }
    }

    pub(crate) fn of(shown: &Provider) -> Self {
        Self {
            status: shown.status.clone(),
            latency_ms: shown.latency_ms,
            last_tested_at: shown.last_tested_at,
            consecutive_failures: shown.consecutive_failures,
            is_healthy: shown.is_healthy,
        }
    }

    pub(crate) fn show(self, shown: &mut Provider) {
        shown.status = self.status;
        shown.latency_ms = self.latency_ms;
        shown.last_tested_at = self.last_tested_at;
        shown.consecutive_failures = self.consecutive_failures;
        shown.is_healthy = self.is_healthy;
    }

    /// How it is after a probe. So many failures in a row as `unhealthy_after` make it unhealthy; whatever else it
    /// answers shows that it is there.
    pub(crate) fn probed(self, found: &ProbeResponse, unhealthy_after: u32, at: Timestamp) -> Self {
        let failures = if is_failure(found) { self.consecutive_failures.saturating_add(1) } else { 0 };
        Self {
            status: word(found.status()).to_owned(),
            latency_ms: found.latency_ms,
            last_tested_at: Some(at),
            consecutive_failures: failures,
            is_healthy: failures == 0 || self.is_healthy && failures < unhealthy_after,
        }
    }

    /// How it is when an operator says so.
    pub(crate) fn overridden(self, is_healthy: bool) -> Self {
        Self { consecutive_failures: 0, is_healthy, ..self }
    }
}

/// What went wrong on its side: 5xx, and the credential, without which no request gets through. Other answers of 4xx
/// say only that there is nothing at the place that was asked.
fn is_failure(found: &ProbeResponse) -> bool {
    match found.status() {
        ProbeStatus::Online => false,
        ProbeStatus::Degraded => matches!(found.status_code, 401 | 403 | 500..),
        ProbeStatus::Unspecified | ProbeStatus::Timeout | ProbeStatus::Unreachable | ProbeStatus::Error => {
            true
        }
    }
}

/// As the contract shows it.
pub(crate) fn word(status: ProbeStatus) -> &'static str {
    match status {
        ProbeStatus::Online => "online",
        ProbeStatus::Degraded => "degraded",
        ProbeStatus::Timeout => "timeout",
        ProbeStatus::Unreachable => "unreachable",
        ProbeStatus::Unspecified | ProbeStatus::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(status: ProbeStatus, status_code: u32) -> ProbeResponse {
        ProbeResponse { status: status.into(), status_code, latency_ms: 7, ..ProbeResponse::default() }
    }

    fn after(health: Health, found: &ProbeResponse) -> Health {
        health.probed(found, 3, Timestamp { seconds: 1, nanos: 0 })
    }

    #[test]
    fn the_third_failure_in_a_row_makes_it_unhealthy_and_a_success_healthy() {
        let mut health = Health::unknown();
        let mut seen = Vec::new();
        for status in [ProbeStatus::Timeout, ProbeStatus::Unreachable, ProbeStatus::Error] {
            health = after(health, &found(status, 0));
            seen.push((health.status.clone(), health.consecutive_failures, health.is_healthy));
        }
        let wanted = [("timeout", 1, true), ("unreachable", 2, true), ("error", 3, false)];
        assert_eq!(seen, wanted.map(|(status, failures, well)| (status.to_owned(), failures, well)));
        assert!(!after(health.clone(), &found(ProbeStatus::Timeout, 0)).is_healthy);
        let back = after(health, &found(ProbeStatus::Online, 200));
        assert_eq!((back.consecutive_failures, back.is_healthy, back.latency_ms), (0, true, 7));
    }

    #[test]
    fn of_answers_5xx_and_refused_credentials_are_failures() {
        for (code, fails) in [(302, 0), (400, 0), (404, 0), (429, 0), (401, 1), (403, 1), (500, 1), (503, 1)]
        {
            let health = after(Health::unknown(), &found(ProbeStatus::Degraded, code));
            assert_eq!((health.status.as_str(), health.consecutive_failures), ("degraded", fails), "{code}");
        }
    }

    #[test]
    fn an_operator_s_word_stands_until_probes_say_otherwise() {
        let down = Health::unknown().overridden(false);
        assert!(
            !after(down.clone(), &found(ProbeStatus::Timeout, 0)).is_healthy,
            "one failure makes nothing well"
        );
        assert!(after(down, &found(ProbeStatus::Degraded, 404)).is_healthy);
        let failed = Health { consecutive_failures: 9, is_healthy: false, ..Health::unknown() };
        let up = failed.overridden(true);
        assert_eq!((up.consecutive_failures, up.is_healthy), (0, true));
        assert!(after(up, &found(ProbeStatus::Timeout, 0)).is_healthy);
    }
}
