//! Messages and fields as JSON Schema.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor,
};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::transcode::wrapper;

const SENSITIVE: &str = "headgate.common.v1.sensitive";

/// Writes schemas, and keeps those that are referred to.
pub(super) struct Schemas {
    pub(super) comments: Comments,
    sensitive: Option<ExtensionDescriptor>,
    /// Messages that answers show, where nothing is for writing only.
    shown: BTreeSet<String>,
    components: BTreeMap<String, Value>,
}

impl Schemas {
    /// `outputs` are what calls answer with.
    pub(super) fn new(
        pool: &DescriptorPool,
        comments: Comments,
        outputs: impl Iterator<Item = MessageDescriptor>,
    ) -> Self {
        let mut shown = BTreeSet::new();
        outputs.for_each(|output| reach(&output, &mut shown));
        let sensitive = pool.get_extension_by_name(SENSITIVE);
        Self { comments, sensitive, shown, components: BTreeMap::new() }
    }

    /// All that were referred to.
    pub(super) fn into_components(self) -> Map<String, Value> {
        self.components.into_iter().collect()
    }

    pub(super) fn described(&self, message: &MessageDescriptor) -> &str {
        self.comments.at(&message.parent_file(), message.path())
    }

    pub(super) fn field_described(&self, field: &FieldDescriptor) -> &str {
        self.comments.at(&field.parent_message().parent_file(), field.path())
    }

    /// A reference to a message's schema.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = message.full_name().trim_start_matches("headgate.").to_owned();
        if !self.components.contains_key(&name) {
            // Held open, as a message may contain itself.
            self.components.insert(name.clone(), Value::Null);
            let schema = self.component(message);
            self.components.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn component(&mut self, message: &MessageDescriptor) -> Value {
        let schema = self.object(message, |_| true);
        // What such a message holds may stand in its place.
        let Some(content) = wrapper::content(message) else { return schema };
        let mut either = json!({"anyOf": [self.field(&content), schema]});
        describe(&mut either, self.described(message));
        either
    }

    /// A schema of those of a message's fields that are wanted.
    pub(super) fn object(
        &mut self,
        message: &MessageDescriptor,
        wanted: impl Fn(&FieldDescriptor) -> bool,
    ) -> Value {
        let fields = message.fields().filter(|field| wanted(field));
        let properties: Map<_, _> =
            fields.map(|field| (field.name().to_owned(), self.property(&field))).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        describe(&mut schema, self.described(message));
        schema
    }

    /// A field's schema with what its comment says.
    pub(super) fn property(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = self.field(field);
        if self.is_sensitive(field) {
            schema["format"] = json!("password");
            if !self.shown.contains(field.parent_message().full_name()) {
                schema["writeOnly"] = json!(true);
            }
        }
        describe(&mut schema, self.field_described(field));
        schema
    }

    fn is_sensitive(&self, field: &FieldDescriptor) -> bool {
        self.sensitive
            .as_ref()
            .is_some_and(|sensitive| field.options().get_extension(sensitive).as_bool() == Some(true))
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let value = field.kind().as_message().and_then(|entry| entry.get_field_by_name("value"));
            let value = value.map_or(json!({}), |value| self.kind(&value.kind()));
            return json!({"type": "object", "additionalProperties": value});
        }
        let schema = self.kind(&field.kind());
        match field.cardinality() {
            Cardinality::Repeated => json!({"type": "array", "items": schema}),
            Cardinality::Optional | Cardinality::Required => schema,
        }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"})
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"})
            }
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(names) => self.names(names),
            Kind::Message(message) => self.message(message),
        }
    }

    fn names(&mut self, names: &EnumDescriptor) -> Value {
        let name = names.full_name().trim_start_matches("headgate.").to_owned();
        if !self.components.contains_key(&name) {
            let file = names.parent_file();
            let mut text = self.comments.at(&file, names.path()).to_owned();
            for value in names.values() {
                text.push_str(&format!("\n- `{}`: {}", value.name(), self.comments.at(&file, value.path())));
            }
            let values: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
            self.components
                .insert(name.clone(), json!({"type": "string", "enum": values, "description": text}));
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Adds every message that one contains.
fn reach(message: &MessageDescriptor, reached: &mut BTreeSet<String>) {
    if reached.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                reach(&inner, reached);
            }
        }
    }
}

/// Adds a description. Beside a reference it stands too, as OpenAPI 3.1 allows.
pub(super) fn describe(schema: &mut Value, text: &str) {
    if !text.is_empty() {
        schema["description"] = json!(text);
    }
}

/// The JSON form of messages that have one of their own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    Some(match message.full_name().strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"}),
        "FieldMask" | "StringValue" => json!({"type": "string"}),
        "BytesValue" => json!({"type": "string", "contentEncoding": "base64"}),
        "BoolValue" => json!({"type": "boolean"}),
        "DoubleValue" | "FloatValue" => json!({"type": "number"}),
        "Int32Value" | "UInt32Value" => json!({"type": "integer"}),
        "Int64Value" | "UInt64Value" => json!({"type": "string", "pattern": "^-?[0-9]{1,20}$"}),
        "ListValue" => json!({"type": "array"}),
        "Value" => json!({}),
        _ => json!({"type": "object"}),
    })
}
