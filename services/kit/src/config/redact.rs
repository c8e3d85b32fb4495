//! What may be said of a value that cannot be read, when it may be a secret.

use serde_json::Value;

/// Sections whose lists and maps hold secrets at some place or other.
const SECTIONS: [&str; 2] = ["bootstrap", "nats"];
/// What the names of secrets end with.
const SECRETS: [&str; 11] =
    ["key", "keys", "token", "tokens", "secret", "secrets", "password", "passwords", "url", "urls", "pepper"];
const LONGEST_NAME: usize = 40;

/// serde's message on what stands at `path`, without the value wherever that may be a secret.
pub(super) fn message(path: &str, value: Option<&Value>, message: &str) -> String {
    if !is_private(path) || is_missing_field(message) {
        return message.to_owned();
    }
    let kind = value.map_or("this", kind);
    // The value comes first and may hold anything, so what was expected stands after the last of these.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{kind} cannot stand here, expected {expected}"),
        // A rule of our own, which is told in words.
        None if !quotes(message, value) => message.to_owned(),
        None => format!("{kind} cannot stand here"),
    }
}

/// The name of an unknown key of the section at `path`. What is no name may be a secret in the wrong place.
pub(super) fn name<'a>(path: &str, key: &'a str) -> &'a str {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let shown = !is_private(path) || (key.len() <= LONGEST_NAME && key.bytes().all(plain));
    if shown { key } else { "[redacted]" }
}

/// The field that is missing, when that is the fault.
pub(super) fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn is_missing_field(message: &str) -> bool {
    missing_field(message).is_some_and(|field| !field.contains('`'))
}

/// Whether secrets may stand at a path or below: also at the root, where everything is below.
fn is_private(path: &str) -> bool {
    path.is_empty()
        || path.split(['.', '[']).any(|part| {
            let name = part.to_ascii_lowercase();
            SECTIONS.contains(&part) || SECRETS.iter().any(|end| name.ends_with(end))
        })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn quotes(message: &str, value: Option<&Value>) -> bool {
    let shows = match value {
        Some(Value::String(text)) => !text.is_empty() && message.contains(text.as_str()),
        Some(Value::Number(number)) => message.contains(&number.to_string()),
        _ => true,
    };
    shows || message.contains('`')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_a_secret_is_told_by_its_kind() {
        let secret = json!("sk-a.planted, expected x");
        for path in ["bootstrap.api_keys", "bootstrap.providers[0]", "bootstrap", "operator_token[0]", ""] {
            let quoted = r#"invalid type: string "sk-a.planted, expected x", expected a sequence"#;
            let said = message(path, Some(&secret), quoted);
            assert_eq!(said, "a string cannot stand here, expected a sequence", "{path}");
        }
        let said =
            message("master_key", Some(&json!(4711)), "invalid type: integer `4711`, expected a string");
        assert_eq!(said, "a number cannot stand here, expected a string");
        assert_eq!(message("bootstrap.x", None, "odd: `planted`"), "this cannot stand here");
        assert_eq!(
            message("bootstrap.x", Some(&secret), "no: sk-a.planted, expected x"),
            "a string cannot stand here, expected x"
        );
    }

    #[test]
    fn a_rule_in_words_and_a_missing_field_are_told() {
        let places = "a price may have at most 6 decimal places";
        assert_eq!(message("bootstrap.x", Some(&json!("0.1234567")), places), places);
        assert_eq!(message("bootstrap.x", Some(&json!("at most 6")), places), "a string cannot stand here");
        assert_eq!(message("bootstrap.x", Some(&json!({})), "missing field `key`"), "missing field `key`");
    }

    #[test]
    fn other_values_are_shown() {
        let said = r#"invalid type: string "big", expected u32"#;
        assert_eq!(message("edge.size", Some(&json!("big")), said), said);
    }

    #[test]
    fn an_unknown_key_is_named_unless_it_may_be_a_secret() {
        assert_eq!(name("bootstrap.api_keys[0]", "tenant"), "tenant");
        assert_eq!(name("bootstrap.api_keys[0]", "sk-a.planted"), "[redacted]");
        assert_eq!(name("edge", "Listen-To"), "Listen-To");
    }
}
