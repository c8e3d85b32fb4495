//! Logs: one JSON object a line on standard error.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// What is logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The least level, or directives as `tracing`'s `EnvFilter` takes them, e.g. `info,headgate_router=debug`.
    pub filter: String,
    /// `json` for machines, `text` for people.
    pub format: Format,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of text.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self { filter: "info".into(), format: Format::Json }
    }
}

impl Config {
    /// What is wrong with the values.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        EnvFilter::try_new(&self.filter).err().map(|e| ("filter", e.to_string())).into_iter().collect()
    }
}

/// Begins logging for the process. A second call changes nothing.
pub fn init(config: &Config) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match config.format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        Format::Text => lines.try_init(),
    };
    if begun.is_err() {
        tracing::debug!("logging had begun already");
    }
}
