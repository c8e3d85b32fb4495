//! What can be configured.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::alerts;
pub use crate::policy::{Limits, SlidingWindow};
use crate::window::Months;

/// The budget service's part of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a request that is neither extended nor settled keeps its hold, in milliseconds. At least 1000.
    pub lease_ttl_ms: u64,
    /// The IANA time zone whose calendar months are the budget windows, e.g. `Europe/Berlin`.
    pub time_zone: String,
    /// What holds for a key where nothing was set for it. Unset limits are none.
    pub default_key_limits: Limits,
    /// What holds for a tenant where nothing was set for it. Unset limits are none.
    pub default_tenant_limits: Limits,
    /// From which share of a budget responses carry a warning where the budget does not say, in percent: 1 to 100.
    pub warning_percent: u32,
    /// What alerts are sealed under in the database, 64 hexadecimal digits; the same for every replica. Unset: made on the
    /// first start and kept in `<data_dir>/budget.key`.
    #[serde(skip_serializing)]
    pub sealing_key: Option<SecretString>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_ttl_ms: 120_000,
            time_zone: "UTC".into(),
            default_key_limits: Limits::default(),
            default_tenant_limits: Limits::default(),
            warning_percent: 80,
            sealing_key: None,
        }
    }
}

impl Config {
    /// Everything that is wrong: the field, and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1000..=86_400_000).contains(&self.lease_ttl_ms) {
            problems.push(("lease_ttl_ms", "must be from 1000 to 86400000".into()));
        }
        if Months::of(&self.time_zone).is_err() {
            problems.push(("time_zone", format!("`{}` is no IANA time zone", self.time_zone)));
        }
        if !(1..=100).contains(&self.warning_percent) {
            problems.push(("warning_percent", "must be from 1 to 100".into()));
        }
        if self.sealing_key.as_ref().is_some_and(|key| !alerts::is_key(key)) {
            problems.push(("sealing_key", "must be 64 hexadecimal digits".into()));
        }
        let defaults = [
            ("default_key_limits", self.default_key_limits),
            ("default_tenant_limits", self.default_tenant_limits),
        ];
        for (field, limits) in defaults {
            problems.extend(
                limits.problems().into_iter().map(|(name, wrong)| (field, format!("{name} {wrong}"))),
            );
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_together() {
        assert!(Config::default().problems().is_empty());
        let limits = Limits { parallel_requests: Some(0), request_burst: Some(1), ..Limits::default() };
        let bad = Config {
            lease_ttl_ms: 0,
            time_zone: "Mars/Olympus".into(),
            default_key_limits: limits,
            default_tenant_limits: limits,
            warning_percent: 101,
            sealing_key: Some("ab".into()),
        };
        assert_eq!(bad.problems().len(), 8);
    }
}
