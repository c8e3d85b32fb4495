//! A thing as the log shows it. Pure.

use headgate_kit::Failure;
use headgate_proto::descriptors;
use prost::Name;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions};
use prost_types::Struct;
use serde_json::{Map, Value as Json, json};

use crate::json::object;

const SENSITIVE: &str = "headgate.common.v1.sensitive";
/// What stands for a secret.
const MASK: &str = "[redacted]";
/// Names the fields that were left out.
const CUT: &str = "[cut]";
/// How large a thing may be as JSON, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// A thing as it was or became, without secrets and of bounded size.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown(pub(crate) Struct);

impl Shown {
    /// A message of the contract, whose secrets are masked.
    ///
    /// # Errors
    /// INTERNAL for a message that is not the contract's.
    pub fn of<M: Name>(message: &M) -> Result<Self, Failure> {
        let pool = descriptors().map_err(Failure::internal)?;
        let descriptor = pool.get_message_by_name(&M::full_name());
        let descriptor =
            descriptor.ok_or_else(|| Failure::internal(format!("no message {}", M::full_name())))?;
        let bytes = message.encode_to_vec();
        let dynamic =
            DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).map_err(Failure::internal)?;
        let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
        let shown = dynamic.serialize_with_options(serde_json::value::Serializer, &options);
        let Json::Object(mut shown) = shown.map_err(Failure::internal)? else {
            return Err(Failure::internal(format!("{} is no object", M::full_name())));
        };
        mask(&mut shown, &descriptor);
        Ok(Self::bounded(shown))
    }

    /// Facts that are no message of the contract. They must hold no secret.
    #[must_use]
    pub fn facts(facts: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        Self::bounded(facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect())
    }

    /// The same thing but for one field, e.g. one that changes with every change.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        self.0.fields.remove(field);
        self
    }

    fn bounded(mut shown: Map<String, Json>) -> Self {
        let mut cut = Vec::new();
        let mut sizes: Vec<_> =
            shown.iter().map(|(name, json)| (json.to_string().len(), name.clone())).collect();
        sizes.sort_unstable();
        let mut total: usize = sizes.iter().map(|(size, name)| size + name.len() + 4).sum();
        while total > MAX_BYTES
            && let Some((size, name)) = sizes.pop()
        {
            shown.remove(&name);
            total -= size;
            cut.push(name);
        }
        if !cut.is_empty() {
            shown.insert(CUT.to_owned(), json!(cut));
        }
        Self(object(shown))
    }
}

fn mask(shown: &mut Map<String, Json>, message: &MessageDescriptor) {
    for field in message.fields() {
        let Some(json) = shown.get_mut(field.name()) else { continue };
        if !is_sensitive(&field) {
            mask_within(json, &field);
        } else if !is_empty(json) {
            *json = json!(MASK);
        }
    }
}

fn mask_within(json: &mut Json, field: &FieldDescriptor) {
    let Kind::Message(inner) = field.kind() else { return };
    match json {
        Json::Object(entries) if field.is_map() => {
            let Some(value) = inner.get_field_by_name("value") else { return };
            entries.values_mut().for_each(|json| mask_within(json, &value));
        }
        Json::Object(object) => mask(object, &inner),
        Json::Array(items) => {
            for object in items.iter_mut().filter_map(Json::as_object_mut) {
                mask(object, &inner);
            }
        }
        _ => {}
    }
}

fn is_sensitive(field: &FieldDescriptor) -> bool {
    let extension = field.parent_pool().get_extension_by_name(SENSITIVE);
    extension.is_some_and(|extension| field.options().get_extension(&extension).as_bool() == Some(true))
}

/// Whether there is nothing to hide.
fn is_empty(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}
