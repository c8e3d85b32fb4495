//! Messages that do nothing but hold a list or a map, so that none can be told from an empty one. JSON can tell these
//! apart by itself, so there the list or the map may stand in the message's place.

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::Value;

/// What the only field of such a message is called.
pub(crate) const VALUES: &str = "values";

/// The only field of such a message; `None` for any other.
pub(crate) fn content(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let mut fields = message.fields();
    let only = fields.next().filter(|field| field.name() == VALUES && (field.is_list() || field.is_map()))?;
    fields.next().is_none().then_some(only)
}

/// Whether a value is the list or the map itself. A map whose one entry is an object named `values` is the message.
pub(super) fn is_bare(content: &FieldDescriptor, value: &Value) -> bool {
    match value {
        Value::Array(_) => content.is_list(),
        Value::Object(entries) => {
            let values = entries.get(VALUES).filter(|_| entries.len() == 1);
            content.is_map() && !matches!(values, Some(Value::Object(_) | Value::Null))
        }
        _ => false,
    }
}
