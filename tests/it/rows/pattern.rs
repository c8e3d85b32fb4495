//! What an answer must be: every field of it, by its value or its type.

use serde_json::{Map, Value};

use super::table::SHAPES;

/// The name of a pattern that this one is like, in all but what it says itself.
const LIKE: &str = "like";
/// A list that has this among its items.
const HAS: &str = "has";
/// A list all items of which are this, and which has some.
const EACH: &str = "each";

/// Whether an answer is as expected.
///
/// # Errors
/// Where it is not, and why.
pub(super) fn check(expected: &Value, got: &Value) -> Result<(), String> {
    check_at(expected, got, "")
}

fn check_at(expected: &Value, got: &Value, at: &str) -> Result<(), String> {
    match (expected, got) {
        (Value::Object(expected), Value::Array(items)) => check_items(expected, items, at),
        (Value::Object(expected), Value::Object(fields)) => check_fields(&spelled_out(expected), fields, at),
        (Value::Array(expected), Value::Array(items)) if expected.len() == items.len() => {
            let mut pairs = expected.iter().zip(items).enumerate();
            pairs
                .try_for_each(|(index, (expected, item))| check_at(expected, item, &format!("{at}[{index}]")))
        }
        (Value::String(expected), got) => {
            let expected = expected.strip_suffix("?>").map_or(expected.clone(), |kind| format!("{kind}>"));
            if is(&expected, got) { Ok(()) } else { Err(format!("{at} is {got}, not {expected}")) }
        }
        _ if expected == got => Ok(()),
        _ => Err(format!("{at} is {got}, not {expected}")),
    }
}

fn check_items(expected: &Map<String, Value>, items: &[Value], at: &str) -> Result<(), String> {
    if let Some(each) = expected.get(EACH) {
        if items.is_empty() {
            return Err(format!("{at} is empty"));
        }
        return items.iter().try_for_each(|item| check_at(each, item, &format!("{at}[]")));
    }
    let Some(has) = expected.get(HAS) else { return Err(format!("{at} is a list")) };
    let faults: Vec<_> =
        items.iter().map_while(|item| check_at(has, item, &format!("{at}[]")).err()).collect();
    if faults.len() < items.len() { Ok(()) } else { Err(format!("{at} has none such: {faults:?}")) }
}

fn check_fields(expected: &Map<String, Value>, fields: &Map<String, Value>, at: &str) -> Result<(), String> {
    for (name, expected) in expected {
        let at = format!("{at}.{name}");
        match fields.get(name) {
            Some(_) if is_absent(expected) => return Err(format!("{at} is told")),
            Some(field) => check_at(expected, field, &at)?,
            None if is_absent(expected) || is_optional(expected) => {}
            None => return Err(format!("{at} is not told")),
        }
    }
    match fields.keys().find(|name| !expected.contains_key(*name)) {
        Some(more) => Err(format!("{at}.{more} is told, too, of which the line says nothing")),
        None => Ok(()),
    }
}

/// A pattern with what it is like in its place.
pub(super) fn spelled_out(pattern: &Map<String, Value>) -> Map<String, Value> {
    let Some(name) = pattern.get(LIKE).and_then(Value::as_str) else { return pattern.clone() };
    let shape = SHAPES.get(name).and_then(Value::as_object);
    let mut whole = spelled_out(shape.unwrap_or_else(|| panic!("shapes.yaml has no {name}")));
    whole.extend(
        pattern.iter().filter(|(key, _)| *key != LIKE).map(|(key, value)| (key.clone(), value.clone())),
    );
    whole
}

/// What a pattern says of a list's items.
pub(super) fn of_items(pattern: &Value) -> Vec<&Value> {
    match pattern {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => [HAS, EACH].into_iter().filter_map(|key| fields.get(key)).collect(),
        _ => Vec::new(),
    }
}

/// Whether it is said that a field is not there.
pub(super) fn is_absent(pattern: &Value) -> bool {
    pattern == "<absent>"
}

/// Whether a field may be left out.
pub(super) fn is_optional(pattern: &Value) -> bool {
    pattern.as_str().is_some_and(|text| text.ends_with("?>"))
}

/// Whether a value is of a kind, or a text like another with `*` in it.
fn is(expected: &str, got: &Value) -> bool {
    match (expected, got) {
        ("<any>", _) | ("<number>", Value::Number(_)) | ("<bool>", Value::Bool(_)) => true,
        ("<text>", Value::String(text)) => !text.is_empty(),
        ("<int>", Value::String(text)) => text.parse::<i128>().is_ok(),
        ("<time>", Value::String(text)) => is_time(text),
        (pattern, Value::String(text)) => is_like(pattern, text),
        _ => false,
    }
}

/// Whether it is a time in UTC as RFC 3339 has it.
fn is_time(text: &str) -> bool {
    let digits = |part: Option<&str>| part.is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let at = |index: usize, expected: u8| text.as_bytes().get(index) == Some(&expected);
    digits(text.get(..4)) && at(4, b'-') && at(10, b'T') && at(13, b':') && text.ends_with('Z')
}

fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The types of an answer's values, and nothing of what they are.
pub(super) fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), shape(field))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let expected = json!({"id": "key_*", "n": "<int>", "list": {"has": {"a": 1}}, "more": "<time?>"});
        let got = |id: &str, n: &str, a: u8| json!({"id": id, "n": n, "list": [{"a": 7}, {"a": a}]});
        assert_eq!(check(&expected, &got("key_1", "-12", 1)), Ok(()));
        for (got, fault) in [
            (got("user_1", "1", 1), ".id is"),
            (got("key_1", "x", 1), ".n is"),
            (got("key_1", "1", 2), ".list has none"),
            (json!({"id": "key_1"}), "is not told"),
        ] {
            let found = check(&expected, &got).unwrap_err();
            assert!(found.contains(fault), "{found}");
        }
        let mut more = got("key_1", "1", 1);
        more["new"] = json!(1);
        assert!(check(&expected, &more).unwrap_err().starts_with(".new is told"));
        more["more"] = json!("yesterday");
        assert!(check(&expected, &more).unwrap_err().starts_with(".more is"));
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(is_like("a*b*c", "a-b-c") && is_like("*", "") && is_like("a*", "a") && is_like("abc", "abc"));
        assert!(!is_like("a*b", "a-c") && !is_like("abc", "abcd") && !is_like("a*a", "a"));
    }
}
