//! Configuration: one YAML file, every value overridable by `HEADGATE__SECTION__KEY`, every fault reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Serialized};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Reads the file (if one is named) and the environment over the defaults of `T`.
///
/// # Errors
/// Every unknown key, every value of the wrong type, and whatever `judge` says of the rest, sorted by path.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    judge: impl FnOnce(&T) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| vec![Problem::new("", format!("cannot read {}: {e}", path.display()))])?,
    };
    parse(&text, Env::prefixed(ENV_PREFIX).split("__"), judge)
}

fn parse<T: DeserializeOwned>(
    yaml: &str,
    env: Env,
    judge: impl FnOnce(&T) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let file: Value = if yaml.trim().is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_saphyr::from_str(yaml).map_err(|e| vec![Problem::new("", format!("not valid YAML: {e}"))])?
    };
    if !file.is_object() && !file.is_null() {
        return Err(vec![Problem::new("", "the configuration must be a mapping of sections")]);
    }
    let merged: Value = Figment::from(Serialized::defaults(if file.is_null() {
        Value::Object(Default::default())
    } else {
        file
    }))
    .merge(env)
    .extract()
    .map_err(|e| {
        e.into_iter().map(|e| Problem::new(e.path.join("."), e.kind.to_string())).collect::<Vec<_>>()
    })?;
    check(merged, judge)
}

/// Reads `value`, taking out one fault after the other until what is left can be read: so all of them are known.
fn check<T: DeserializeOwned>(
    mut value: Value,
    judge: impl FnOnce(&T) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let mut problems = BTreeMap::new();
    loop {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&value, &mut track);
        let read: Result<T, _> = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
        for path in unknown {
            problems.insert(path, "unknown key".to_owned());
        }
        match read {
            Ok(config) => {
                // What was taken out has its default now, so this judges the rest.
                let judged = judge(&config).into_iter().map(|p| (p.path, p.message));
                problems.extend(judged);
                if problems.is_empty() {
                    return Ok(config);
                }
                break;
            }
            Err(error) => {
                let mut path = track.path().to_string();
                // An unknown key of a strict section is reported at the section: name the key itself.
                if let Some(key) = unknown_field(&error.to_string()) {
                    path =
                        if path == "." || path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    path = path.replace(&format!("{key}.{key}"), key);
                    problems.insert(path.clone(), "unknown key".to_owned());
                } else {
                    problems.insert(path.clone(), without_secret(&path, error.to_string()));
                }
                if !remove(&mut value, &path) {
                    break;
                }
            }
        }
    }
    Err(problems.into_iter().map(|(path, message)| Problem { path, message }).collect())
}

/// serde quotes a value of the wrong type, which must not be shown where the value is a secret.
fn without_secret(path: &str, message: String) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let secret = ["key", "token", "secret", "password"].iter().any(|word| name.ends_with(word));
    if secret { "must be a string".to_owned() } else { message }
}

fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// Takes the value at `a.b[0].c` out. False when there is none.
fn remove(value: &mut Value, path: &str) -> bool {
    let path = path.replace('[', ".").replace(']', "");
    let mut parts: Vec<&str> = path.split('.').filter(|p| !p.is_empty()).collect();
    let Some(last) = parts.pop() else { return false };
    let mut at = value;
    for part in parts {
        let next = match at {
            Value::Object(map) => map.get_mut(part),
            Value::Array(list) => part.parse::<usize>().ok().and_then(|i| list.get_mut(i)),
            _ => None,
        };
        match next {
            Some(inner) => at = inner,
            None => return false,
        }
    }
    match at {
        Value::Object(map) => map.remove(last).is_some(),
        Value::Array(list) => match last.parse::<usize>() {
            Ok(i) if i < list.len() => {
                list.remove(i);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// A configuration as YAML.
///
/// # Errors
/// When a value has no YAML form, which no configuration here has.
pub fn to_yaml<T: Serialize>(config: &T) -> Result<String, String> {
    serde_saphyr::to_string(config).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Root {
        edge: Section,
        list: Vec<Section>,
    }

    #[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        listen: String,
        size: u32,
    }

    fn read(yaml: &str) -> Result<Root, Vec<Problem>> {
        parse(yaml, Env::prefixed("HEADGATE_TEST_NOTHING__"), |root: &Root| {
            let odd = root.list.iter().any(|section| section.size % 2 == 1);
            odd.then(|| Problem::new("list", "sizes must be even")).into_iter().collect()
        })
    }

    #[test]
    fn values_are_read_over_defaults() {
        let root = read("edge:\n  size: 7\n").unwrap();
        assert_eq!(root.edge, Section { listen: String::new(), size: 7 });
        assert_eq!(read("").unwrap(), Root::default());
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_quoted() {
        assert_eq!(
            without_secret("bootstrap.api_keys[0].key", "invalid type: integer `4711`".into()),
            "must be a string"
        );
        assert_eq!(without_secret("edge.size", "invalid type".into()), "invalid type");
    }

    #[test]
    fn every_fault_is_reported_with_its_path() {
        let faults =
            read("edge:\n  size: big\n  lisen: x\nbogus: 1\nlist:\n  - size: -1\n  - size: 3\n").unwrap_err();
        let paths: Vec<_> = faults.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["bogus", "edge.lisen", "edge.size", "list", "list[0].size"], "{faults:?}");
    }
}
