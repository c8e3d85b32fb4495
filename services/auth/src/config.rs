//! Settings of the service.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::pepper::Pepper;

/// The section `auth` of the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the secrets of API keys are hashed under, 64 hexadecimal digits; the same for every replica. Unset: made on
    /// the first start and kept in `<data_dir>/auth.pepper`.
    #[serde(skip_serializing)]
    pub pepper: Option<SecretString>,
}

impl Config {
    /// What is wrong, as field and reason. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let bad = self.pepper.as_ref().filter(|pepper| Pepper::parse(pepper.expose_secret()).is_err());
        bad.map(|_| ("pepper", "must be 64 hexadecimal digits".to_owned())).into_iter().collect()
    }
}
