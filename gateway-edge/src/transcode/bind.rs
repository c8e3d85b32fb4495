//! The message that a request asks with: its body, its query and its path put together.

use std::borrow::Cow;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::contract::{Binding, BodyRule, FieldPath};
use super::names::Names;
use super::{etag, json, unique};

/// What a request brings.
pub(crate) struct Given<'a> {
    /// What stands in the holes of the path, still escaped.
    pub(crate) captures: &'a [String],
    /// `None` where there is no question mark.
    pub(crate) query: Option<&'a str>,
    /// Empty where there is none.
    pub(crate) body: &'a [u8],
    /// The version that `If-Match` asks for, of a call that takes one.
    pub(crate) etag: Option<String>,
}

/// Puts a message together.
///
/// # Errors
/// INVALID_REQUEST that names the field at fault as it was written.
pub(crate) fn message(
    binding: &Binding,
    given: Given<'_>,
    names: &mut Names,
) -> Result<DynamicMessage, Failure> {
    let input = binding.method.input();
    let object = from_body(binding, &input, given.body, names);
    let as_written = |failure| names.as_written(failure);
    let mut object = object.map_err(as_written)?;
    if let Some(query) = given.query {
        from_query(binding, &input, query, &mut object)?;
    }
    for (path, escaped) in binding.holes.iter().zip(given.captures) {
        let name = path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".");
        let text = percent_decode_str(escaped)
            .decode_utf8()
            .map_err(|_| Failure::invalid(&name, format!("{name} must be UTF-8")))?;
        let value = value(&path[path.len() - 1], text.into_owned());
        json::put(&mut object, path, value).map_err(as_written)?;
    }
    if let (Some(etag), Some(field)) = (given.etag, etag::field(&input)) {
        json::put(&mut object, &[field], Value::String(etag))?;
    }
    json::read(&input, object).map_err(as_written)
}

fn from_body(
    binding: &Binding,
    input: &MessageDescriptor,
    body: &[u8],
    names: &mut Names,
) -> Result<Map<String, Value>, Failure> {
    let malformed =
        |what: &str| Failure::new(ErrorReason::InvalidRequest, format!("the request body {what}"));
    let body = match body.trim_ascii() {
        b"" => None,
        body => Some(unique::read(body)?),
    };
    match (&binding.body, body) {
        (_, None) => Ok(Map::new()),
        (BodyRule::Whole, Some(Value::Object(object))) => json::named(input, object, "", names),
        (BodyRule::Whole, Some(_)) => Err(malformed("must be a JSON object")),
        (BodyRule::Field(field), Some(value)) => {
            let object = Map::from_iter([(field.name().to_owned(), value)]);
            json::named(input, object, "", names)
        }
        (BodyRule::None, Some(Value::Object(object))) if object.is_empty() => Ok(object),
        (BodyRule::None, Some(_)) => Err(malformed("must be empty: this path takes none")),
    }
}

fn from_query(
    binding: &Binding,
    input: &MessageDescriptor,
    query: &str,
    object: &mut Map<String, Value>,
) -> Result<(), Failure> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, text) = (unescaped(name)?, unescaped(text)?);
        let Some(path) = field_path(input, &name) else {
            if binding.open {
                continue;
            }
            return Err(json::unknown(&name));
        };
        // What the body is said to hold must stand there, or one request could say two things.
        let elsewhere = match &binding.body {
            BodyRule::Whole => true,
            BodyRule::Field(field) => path[0] == *field,
            BodyRule::None => false,
        };
        if elsewhere {
            return Err(Failure::invalid(&name, format!("{name} belongs into the request body")));
        }
        let last = &path[path.len() - 1];
        let value = value(last, text);
        if last.is_list() {
            push(object, &path, value)?;
        } else {
            json::put(object, &path, value)?;
        }
    }
    Ok(())
}

/// The field that a name in a query means; those of messages within are named behind dots.
fn field_path(input: &MessageDescriptor, name: &str) -> Option<FieldPath> {
    let (mut within, mut path) = (Some(input.clone()), FieldPath::new());
    for part in name.split('.') {
        let message = within?;
        let field = message.get_field_by_name(part).or_else(|| message.get_field_by_json_name(part))?;
        within = match field.kind() {
            Kind::Message(inner) if !json::is_well_known(&inner) && !field.is_list() => Some(inner),
            _ => None,
        };
        path.push(field);
    }
    // A message as a whole, or a map, has no form in a query.
    (within.is_none() && !path.last()?.is_map()).then_some(path)
}

/// Adds to a list.
fn push(object: &mut Map<String, Value>, path: &FieldPath, value: Value) -> Result<(), Failure> {
    let [outer @ .., last] = path.as_slice() else { return Ok(()) };
    let mut holder = &mut *object;
    for field in outer {
        let inner = holder.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return Err(json::unknown(field.name())) };
        holder = inner;
    }
    match holder.entry(last.name()).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(items) => items.push(value),
        _ => return Err(Failure::invalid(last.name(), format!("{} must be a list", last.name()))),
    }
    Ok(())
}

/// Text as JSON has it for a field. What does not fit stays text, and is refused by the reader.
fn value(field: &FieldDescriptor, text: String) -> Value {
    match field.kind() {
        Kind::Bool => bool_value(text),
        Kind::Enum(_) => match text.parse::<i32>() {
            Ok(number) => number.into(),
            Err(_) => Value::String(text),
        },
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.BoolValue" => bool_value(text),
            "google.protobuf.FieldMask" => Value::String(camel(&text)),
            _ => Value::String(text),
        },
        _ => Value::String(text),
    }
}

fn bool_value(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::String(text),
    }
}

/// Field names as field masks have them in JSON.
fn camel(text: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.extend(letter.to_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

/// Undoes `application/x-www-form-urlencoded`.
pub(crate) fn unescaped(text: &str) -> Result<String, Failure> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded =
        decoded.map_err(|_| Failure::new(ErrorReason::InvalidRequest, "the query must be UTF-8"))?;
    Ok(decoded.into_owned())
}
