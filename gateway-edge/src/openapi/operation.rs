//! A binding as an operation.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::access;
use super::comments::first_sentence;
use super::schema::{Schemas, describe};
use crate::transcode::contract::{Binding, BodyRule, FieldPath};
use crate::transcode::etag;
use crate::transcode::json::is_well_known;

/// How deep fields of fields are shown in a query.
const DEPTH: usize = 4;
const ERROR: &str = "#/components/responses/Error";
const ETAG: &str = "#/components/headers/ETag";
const IF_MATCH: &str = "#/components/parameters/IfMatch";

/// A call as one of its bindings shows it. `names` are those of the holes of its path, and `id` is its own.
pub(super) fn operation(schemas: &mut Schemas, binding: &Binding, names: &[String], id: &str) -> Value {
    let method = &binding.method;
    let service = method.parent_service();
    let text = schemas.comments.at(&service.parent_file(), method.path()).to_owned();
    let parts = [text.as_str(), &access::in_words(&binding.access)];
    let described = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
    let mut operation = json!({
        "operationId": id,
        "tags": [service.name()],
        "summary": first_sentence(&text),
        "description": described,
        "responses": responses(schemas, binding),
    });
    let mut parameters = path_parameters(schemas, binding, names);
    if !matches!(binding.body, BodyRule::Whole) {
        let mut in_query = Vec::new();
        query_parameters(schemas, binding, &method.input(), &mut Vec::new(), &mut in_query);
        // Two parameters of one name, one of them the hole's short one, would be taken for each other.
        in_query.retain(|parameter| !names.iter().any(|name| parameter["name"] == name.as_str()));
        parameters.append(&mut in_query);
    }
    if etag::field(&method.input()).is_some() {
        parameters.push(json!({"$ref": IF_MATCH}));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = request_body(schemas, binding) {
        operation["requestBody"] = body;
    }
    operation["security"] = match &binding.access {
        access if access.is_public() => json!([]),
        access if access.is_for_consumers() => json!([{"api_key": []}]),
        _ => json!([{"token": []}, {"session": []}]),
    };
    if let Some(access) = access::as_said(&binding.access) {
        operation["x-headgate-access"] = access;
    }
    operation
}

fn path_parameters(schemas: &mut Schemas, binding: &Binding, names: &[String]) -> Vec<Value> {
    let mut parameters = Vec::new();
    for (at, (path, name)) in binding.holes.iter().zip(names).enumerate() {
        let field = &path[path.len() - 1];
        let mut text = schemas.field_described(field).to_owned();
        if binding.template.takes_slashes(at) {
            text.push_str(" May hold slashes.");
        }
        let mut schema = schemas.property(field);
        if let (Some(schema), Kind::String) = (schema.as_object_mut(), field.kind()) {
            schema.insert("minLength".to_owned(), json!(1));
            schema.remove("description");
        }
        let mut parameter = json!({"name": name, "in": "path", "required": true, "schema": schema});
        describe(&mut parameter, &text);
        parameters.push(parameter);
    }
    parameters
}

/// Adds every field that neither path nor body says, those within messages behind dots.
fn query_parameters(
    schemas: &mut Schemas,
    binding: &Binding,
    message: &MessageDescriptor,
    outer: &mut FieldPath,
    parameters: &mut Vec<Value>,
) {
    for field in message.fields() {
        outer.push(field.clone());
        let said_by_body = matches!(&binding.body, BodyRule::Field(body) if *body == outer[0]);
        let skipped = said_by_body || field.is_map() || is_said_by_path(binding, outer);
        match field.kind() {
            _ if skipped => {}
            Kind::Message(inner) if !is_well_known(&inner) => {
                if !field.is_list() && outer.len() < DEPTH {
                    query_parameters(schemas, binding, &inner, outer, parameters);
                }
            }
            _ => {
                let name: Vec<_> = outer.iter().map(FieldDescriptor::name).collect();
                let mut schema = schemas.property(&field);
                if let Some(schema) = schema.as_object_mut() {
                    schema.remove("description");
                }
                let mut parameter = json!({"name": name.join("."), "in": "query", "schema": schema});
                describe(&mut parameter, schemas.field_described(&field));
                parameters.push(parameter);
            }
        }
        outer.pop();
    }
}

/// Whether the path says a field, or another that excludes it.
fn is_said_by_path(binding: &Binding, path: &FieldPath) -> bool {
    binding.holes.iter().any(|hole| {
        let [above @ .., last] = path.as_slice() else { return false };
        let Some(said) = hole.get(above.len()).filter(|_| hole.starts_with(above)) else { return false };
        let apart = said.containing_oneof().is_some() && said.containing_oneof() == last.containing_oneof();
        said == last && hole.len() == path.len() || said != last && apart
    })
}

fn request_body(schemas: &mut Schemas, binding: &Binding) -> Option<Value> {
    let schema = match &binding.body {
        BodyRule::None => return None,
        BodyRule::Whole => {
            let input = binding.method.input();
            let in_path =
                |field: &FieldDescriptor| binding.holes.iter().any(|hole| hole[..] == [field.clone()]);
            let mut schema = schemas.object(&input, |field| !in_path(field));
            schema["additionalProperties"] = json!(false);
            schema
        }
        BodyRule::Field(field) => schemas.property(field),
    };
    Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}))
}

fn responses(schemas: &mut Schemas, binding: &Binding) -> Value {
    let output = binding.method.output();
    let text = schemas.described(&output).to_owned();
    let schema = match &binding.answer {
        Some(field) => schemas.property(field),
        None => schemas.message(&output),
    };
    let content = if binding.method.is_server_streaming() {
        json!({"text/event-stream": {"schema": {"type": "string"}}})
    } else if output.full_name() == "google.api.HttpBody" {
        json!({"*/*": {}})
    } else {
        json!({"application/json": {"schema": schema}})
    };
    let text = if text.is_empty() { "Done.".to_owned() } else { text };
    let mut responses = json!({"2XX": {"description": text, "content": content}});
    if etag::place(&output).is_some() && !binding.method.is_server_streaming() {
        responses["2XX"]["headers"] = json!({"etag": {"$ref": ETAG}});
    }
    // A service may leave out what says nothing.
    if output.fields().len() == 0 {
        responses["204"] = json!({"description": "Done."});
    }
    for status in ["400", "401", "403", "404", "409", "413", "429", "default"] {
        responses[status] = json!({"$ref": ERROR});
    }
    if !matches!(binding.body, BodyRule::None) {
        responses["415"] = json!({"$ref": ERROR});
    }
    responses
}
