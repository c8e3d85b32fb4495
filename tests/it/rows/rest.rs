//! A line over REST.

use headgate_tests::http::{Client, Reply};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::table::{Line, NOBODY};
use super::variables::Variables;

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Sends what a line says to one of its paths.
pub(super) async fn ask(anonymous: &Client, line: &Line, path: &str, variables: &Variables) -> Reply {
    let client = match line.by.as_str() {
        NOBODY => anonymous.clone(),
        name => anonymous.with_key(variables.text(name)),
    };
    let says = line.rest.as_ref().map_or(&line.says, |side| &side.says);
    let mut says = variables.filled(says).as_object().cloned().unwrap_or_default();
    let (method, path) = path.split_once(' ').expect("a method and a path");
    let mut url = filled_in(path, &mut says);
    let method: Method = method.parse().expect("a method of HTTP");
    let body = match (&line.body, &method) {
        (Some(field), _) => take(&mut says, field).unwrap_or_else(|| Map::new().into()),
        (None, &Method::GET | &Method::DELETE) => Value::Null,
        (None, _) => Value::Object(std::mem::take(&mut says)),
    };
    let mut query = Vec::new();
    flatten("", &Value::Object(says), &mut query);
    if !query.is_empty() {
        url = format!("{url}?{}", query.join("&"));
    }
    client.send_json(method, &url, &body).await
}

/// What an answer tells: JSON, nothing, or a text.
pub(super) fn told(reply: &Reply) -> Value {
    match reply.header("content-type") {
        Some("application/json") => reply.json(),
        _ if reply.body.is_empty() => Map::new().into(),
        _ => reply.text().into(),
    }
}

/// A path whose holes are filled with what the request says there, which it then says no more.
fn filled_in(template: &str, says: &mut Map<String, Value>) -> String {
    let mut parts = template.split('{');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (hole, rest) = part.split_once('}').expect("the end of a hole");
        let name = hole.split('=').next().unwrap_or_default();
        let value = take(says, name)
            .unwrap_or_else(|| panic!("the line does not say {name}, which {template} needs"));
        let value = value.as_str().expect("a text in a path").to_owned();
        let escaped: Vec<_> = match hole.ends_with("=**") {
            true => value.split('/').map(escape).collect(),
            false => vec![escape(&value)],
        };
        path += &escaped.join("/");
        path += rest;
    }
    path
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Removes what stands at a path of fields, and what it leaves empty.
fn take(says: &mut Map<String, Value>, path: &str) -> Option<Value> {
    let Some((outer, rest)) = path.split_once('.') else { return says.remove(path) };
    let inner = says.get_mut(outer)?.as_object_mut()?;
    let taken = take(inner, rest);
    if inner.is_empty() {
        says.remove(outer);
    }
    taken
}

fn flatten(name: &str, value: &Value, query: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, query);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(name, item, query)),
        Value::String(text) => query.push(format!("{name}={}", escape(text))),
        other => query.push(format!("{name}={other}")),
    }
}
