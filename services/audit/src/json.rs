//! JSON as text, and as the contract carries it. Pure.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number, Value as Json};

/// As text. What is no number of JSON's is null.
#[must_use]
pub fn to_json(object: &Struct) -> String {
    json_object(object).to_string()
}

/// From text. `None` for what is no object of JSON's.
#[must_use]
pub fn from_json(text: &str) -> Option<Struct> {
    Some(object(serde_json::from_str(text).ok()?))
}

pub(crate) fn object(map: Map<String, Json>) -> Struct {
    Struct { fields: map.into_iter().map(|(name, json)| (name, value(json))).collect() }
}

fn value(json: Json) -> Value {
    Value {
        kind: Some(match json {
            Json::Null => Kind::NullValue(0),
            Json::Bool(yes) => Kind::BoolValue(yes),
            Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
            Json::String(text) => Kind::StringValue(text),
            Json::Array(items) => {
                Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
            }
            Json::Object(map) => Kind::StructValue(object(map)),
        }),
    }
}

fn json_object(object: &Struct) -> Json {
    Json::Object(object.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect())
}

fn json(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(yes)) => Json::Bool(*yes),
        Some(Kind::NumberValue(n)) => number(*n).map_or(Json::Null, Json::Number),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(json).collect()),
        Some(Kind::StructValue(object)) => json_object(object),
    }
}

/// Whole ones without a fraction, as they came.
fn number(number: f64) -> Option<Number> {
    let text = number.to_string();
    text.parse::<i64>().map(Number::from).ok().or_else(|| Number::from_f64(number))
}
