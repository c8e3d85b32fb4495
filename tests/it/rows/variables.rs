//! What earlier answers told, and where later lines use it.

use std::collections::HashMap;

use serde_json::Value;

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(HashMap<String, Value>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_else(|| panic!("the variable {name} is no text"))
    }

    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no line before keeps a variable {name}"))
    }

    /// The first variable within a value that nobody set.
    pub(super) fn missing<'a>(&self, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::String(text) => {
                let names = text.split("${").skip(1).filter_map(|part| part.split('}').next());
                names.into_iter().find(|name| !self.has(name))
            }
            Value::Array(items) => items.iter().find_map(|item| self.missing(item)),
            Value::Object(fields) => fields.values().find_map(|field| self.missing(field)),
            _ => None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Remembers what stands at `path` of an answer, e.g. "providers.0.id".
    pub(super) fn keep(&mut self, name: &str, path: &str, answer: &Value) {
        let found = path.split('.').try_fold(answer, |at, step| match step.parse::<usize>() {
            Ok(index) => at.get(index),
            Err(_) => at.get(step),
        });
        let found = found.unwrap_or_else(|| panic!("nothing to keep at {path} of {answer}"));
        self.set(name, found.clone());
    }

    /// The value with `${name}` replaced: by whatever it is where a text is nothing else, by its text within one.
    pub(super) fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.filled_text(text),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), self.filled(field))).collect()
            }
            other => other.clone(),
        }
    }

    fn filled_text(&self, text: &str) -> Value {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = inner.filter(|inner| !inner.contains('$')) {
            return self.get(name).clone();
        }
        let mut parts = text.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a variable's end");
            filled.push_str(self.text(name));
            filled.push_str(rest);
        }
        Value::String(filled)
    }
}
