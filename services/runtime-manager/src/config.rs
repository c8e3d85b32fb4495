//! What can be configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the runtime manager.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder that holds model files. Unset means the folder `models` below the data folder, if there is one.
    pub models_dir: Option<PathBuf>,
}

impl Config {
    /// Every value that cannot be used: its field and what is wrong with it. Whether the folder is there is seen at
    /// every scan, for it may come and go.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let empty = self.models_dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty());
        if empty { vec![("models_dir", "must not be empty".to_owned())] } else { Vec::new() }
    }
}
