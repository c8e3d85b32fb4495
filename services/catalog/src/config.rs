//! Settings of the service.

use serde::{Deserialize, Serialize};

/// The section `catalog` of the configuration. There is nothing to set yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// What is wrong, as field and reason. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
