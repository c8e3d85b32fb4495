//! JSON in which no object has a key twice. What a parser that keeps the last one makes of such, another may read
//! otherwise.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The value that a request body is.
///
/// # Errors
/// INVALID_REQUEST when it is no JSON, or has a key twice, which is then named.
pub(super) fn read(body: &[u8]) -> Result<Value, Failure> {
    let twice = Twice::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = Unique(&twice).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|_| match twice.path() {
        Some(path) => Failure::invalid(&path, format!("{path} is given twice")),
        None => Failure::new(ErrorReason::InvalidRequest, "the request body is not JSON"),
    })
}

/// Where a key comes for the second time, from the inside out; empty while none does.
#[derive(Default)]
struct Twice(RefCell<Vec<Step>>);

enum Step {
    Key(String),
    Item(usize),
}

impl Twice {
    /// Adds what is around, once something was found.
    fn within(&self, step: impl FnOnce() -> Step) {
        let mut steps = self.0.borrow_mut();
        if !steps.is_empty() {
            steps.push(step());
        }
    }

    fn path(&self) -> Option<String> {
        let mut path = String::new();
        for step in self.0.borrow().iter().rev() {
            // Text takes all that is written.
            let _ = match step {
                Step::Key(key) if path.is_empty() => path.write_str(key),
                Step::Key(key) => write!(path, ".{key}"),
                Step::Item(at) => write!(path, "[{at}]"),
            };
        }
        (!self.0.borrow().is_empty()).then_some(path)
    }
}

#[derive(Clone, Copy)]
struct Unique<'a>(&'a Twice);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let around = |at| move |_: &A::Error| self.0.within(|| Step::Item(at));
        while let Some(item) = items.next_element_seed(self).inspect_err(around(list.len()))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                self.0.0.borrow_mut().push(Step::Key(key));
                return Err(A::Error::custom("a key is given twice"));
            }
            let value = entries.next_value_seed(self);
            let value = value.inspect_err(|_| self.0.within(|| Step::Key(key.clone())))?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (String, Option<String>) {
        let failure = read(body.as_bytes()).unwrap_err();
        (failure.message.clone(), failure.metadata.get("field").cloned())
    }

    #[test]
    fn what_has_no_key_twice_is_read_as_it_is() {
        let body = r#"{"a":[1,-2,18446744073709551615,0.5,"x\n","y",null,true,{"a":{}}],"b":{"a":{"a":[]}}}"#;
        let plain: Value = serde_json::from_str(body).unwrap();
        assert_eq!(read(body.as_bytes()).unwrap(), plain);
        for bare in ["7", "[]", "\"x\"", "null"] {
            assert_eq!(read(bare.as_bytes()).unwrap(), serde_json::from_str::<Value>(bare).unwrap());
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_named_wherever_it_is() {
        for (body, path) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"b":2,"a":null}"#, "a"),
            (r#"{"a":1,"\u0061":2}"#, "a"),
            (r#"{"o":{"i":[{"a":1},{"a":{},"a":2}]}}"#, "o.i[1].a"),
            (r#"[[{"a":1,"a":2}]]"#, "[0][0].a"),
            (r#"{"":1,"":2}"#, ""),
            (r#"{"a":1,"a":"#, "a"),
        ] {
            assert_eq!(refused(body), (format!("{path} is given twice"), Some(path.to_owned())), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        let deep = "[".repeat(100_000);
        for body in ["{", "\u{1}", "{} {}", "nul", r#"{"a":1,}"#, "{a:1}", "1e999", &deep] {
            assert_eq!(refused(body), ("the request body is not JSON".to_owned(), None), "{body:.9}");
        }
        assert!(read(b"\"\xff\"").is_err());
    }
}
