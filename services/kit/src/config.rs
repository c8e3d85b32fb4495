//! Configuration: one YAML file, every value overridable by `HEADGATE__SECTION__KEY`, every fault reported at once.

mod faults;
mod read;
mod redact;

use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Serialized};
use figment::util::nest;
use figment::value::Dict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use faults::Faults;

use crate::Failure;

/// The prefix of environment variables that override values; `__` separates the levels.
pub const ENV_PREFIX: &str = "HEADGATE__";

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where, e.g. `edge.listen`. Empty when it is the file itself.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// A fault at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl From<Failure> for Problem {
    /// What a check of values says, at the field it names.
    fn from(failure: Failure) -> Self {
        let path = failure.metadata.get("field").cloned().unwrap_or_default();
        let message = match failure.message.strip_prefix(path.as_str()) {
            Some(rest) => rest.trim_start_matches([':', ' ']).to_owned(),
            None => failure.message,
        };
        Self { path, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Reads the file (if one is named), then `variables`, then the environment over the defaults of `T`. `variables` are
/// named and read as those of the environment.
///
/// `judge` is given the values that could be read and the paths of those that could not and now have their default.
///
/// # Errors
/// Every unknown key, every value of the wrong type, and whatever `judge` says of the rest, sorted by path. None of
/// them shows a value that stands below `bootstrap` or below a name that speaks of a secret.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    variables: &[(String, String)],
    judge: impl FnOnce(&T, &[String]) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| vec![Problem::new("", format!("cannot read {}: {e}", path.display()))])?,
    };
    parse(&text, variables, Env::prefixed(ENV_PREFIX).split("__"), judge)
}

/// The value that a variable sets, at its place, as figment would read it of the environment.
fn of_variable((name, text): &(String, String)) -> Option<Dict> {
    let path = name.strip_prefix(ENV_PREFIX)?.to_ascii_lowercase().replace("__", ".");
    // Every text is a value: what is no number, boolean or list is itself.
    let value = text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
    nest(&path, value).into_dict()
}

fn parse<T: DeserializeOwned>(
    yaml: &str,
    variables: &[(String, String)],
    env: Env,
    judge: impl FnOnce(&T, &[String]) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let file = match from_yaml(yaml).map_err(|problem| vec![problem])? {
        Value::Null => Value::Object(serde_json::Map::new()),
        file @ Value::Object(_) => file,
        _ => return Err(vec![Problem::new("", "the configuration must be a mapping of sections")]),
    };
    let figment = variables
        .iter()
        .filter_map(of_variable)
        .fold(Figment::from(Serialized::defaults(file)), |figment, set| {
            figment.merge(Serialized::defaults(set))
        });
    let merged: Value = figment.merge(env).extract().map_err(|e| {
        let problem = |e: figment::Error| {
            let path = e.path.join(".");
            let message = redact::message(&path, None, &e.kind.to_string());
            Problem { path, message }
        };
        e.into_iter().map(problem).collect::<Vec<_>>()
    })?;
    read::read(merged, judge)
}

/// Says where a text is no YAML, but shows nothing of it: what stands there may be a secret.
fn from_yaml(yaml: &str) -> Result<Value, Problem> {
    if yaml.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(yaml).map_err(|error| {
        let what = match error.without_snippet() {
            serde_saphyr::Error::DuplicateMappingKey { .. } => "not valid YAML: a key stands twice",
            _ => "not valid YAML",
        };
        let at = error.location().map(|at| format!(", line {}, column {}", at.line(), at.column()));
        Problem::new("", format!("{what}{}", at.unwrap_or_default()))
    })
}

/// A configuration as YAML.
///
/// # Errors
/// When a value has no YAML form, which no configuration here has.
pub fn to_yaml<T: Serialize>(config: &T) -> Result<String, String> {
    serde_saphyr::to_string(config).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
