//! What a task came to: JSON as REST has it, or a table for people.

use comfy_table::{ContentArrangement, Table, presets};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use super::TaskError;

/// A column of a table.
pub(super) struct Column {
    /// Its head.
    pub(super) title: &'static str,
    /// Where its value stands in a row, a JSON pointer (RFC 6901).
    pub(super) at: &'static str,
}

/// The result of a task.
pub(super) enum Shown {
    /// Rows of one kind.
    Rows(Vec<Value>, &'static [Column]),
    /// One thing, all of it.
    One(Value),
}

impl Shown {
    pub(super) fn rows<M: Message + Name>(rows: &[M], columns: &'static [Column]) -> Result<Self, TaskError> {
        Ok(Self::Rows(rows.iter().map(json_of).collect::<Result<_, _>>()?, columns))
    }

    pub(super) fn one<M: Message + Name>(message: Option<&M>) -> Result<Self, TaskError> {
        Ok(Self::One(json_of(message.ok_or(TaskError::Incomplete)?)?))
    }

    /// For scripts.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Rows(rows, _) => format!("{:#}", Value::from(rows.clone())),
            Self::One(value) => format!("{value:#}"),
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        match self {
            Self::Rows(rows, columns) => {
                table.set_header(columns.iter().map(|column| column.title));
                for row in rows {
                    table.add_row(
                        columns.iter().map(|column| word(row.pointer(column.at).unwrap_or(&Value::Null))),
                    );
                }
            }
            Self::One(value) => {
                for (name, value) in fields(value) {
                    table.add_row([name, value]);
                }
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

/// What is set of a thing, field by field; things within it by their path.
fn fields(value: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = value else { return vec![(String::new(), word(value))] };
    let mut fields = Vec::new();
    for (name, value) in map {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let below =
                    self::fields(value).into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value));
                fields.extend(below);
            }
            value => {
                let word = word(value);
                if !word.is_empty() {
                    fields.push((name.clone(), word));
                }
            }
        }
    }
    fields
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => String::new(),
        other => other.to_string(),
    }
}

/// A message as REST has it: names of the contract, 64-bit integers as text, and what is unset where it has a default.
fn json_of<M: Message + Name>(message: &M) -> Result<Value, TaskError> {
    let contract = headgate_proto::descriptors().map_err(|_| TaskError::Incomplete)?;
    let descriptor = contract.get_message_by_name(&M::full_name());
    let mut dynamic = DynamicMessage::new(descriptor.ok_or(TaskError::Incomplete)?);
    dynamic.transcode_from(message).map_err(|_| TaskError::Incomplete)?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).map_err(|_| TaskError::Incomplete)
}

#[cfg(test)]
mod tests {
    use headgate_proto::auth::v1::{Tenant, TenantStatus};
    use serde_json::json;

    use super::*;

    fn tenant() -> Tenant {
        let status = TenantStatus::Active.into();
        Tenant { id: "tenant_1".into(), name: "Acme".into(), status, ..Tenant::default() }
    }

    #[test]
    fn rows_stand_in_columns_and_json_is_as_rest_has_it() {
        const COLUMNS: &[Column] =
            &[Column { title: "ID", at: "/id" }, Column { title: "STATUS", at: "/status" }];
        let shown = Shown::rows(&[tenant()], COLUMNS).unwrap();
        let lines: Vec<_> =
            shown.table().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, ["ID STATUS", "tenant_1 TENANT_STATUS_ACTIVE"]);
        let rows: Value = serde_json::from_str(&shown.json()).unwrap();
        assert_eq!(rows[0]["status"], "TENANT_STATUS_ACTIVE");
    }

    #[test]
    fn one_thing_shows_what_is_set_of_it() {
        let told = fields(&json!({"id": "a", "empty": "", "none": null, "list": ["x", "y"], "in": {"n": 0}}));
        let told: Vec<_> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(told, [("id", "a"), ("in.n", "0"), ("list", "x, y")]);
        assert!(Shown::one(Some(&tenant())).unwrap().table().contains("Acme"));
        assert!(Shown::one::<Tenant>(None).is_err());
    }
}
