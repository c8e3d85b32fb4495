//! Whom a call answers, for people and for tools.

use serde_json::{Map, Value, json};

use crate::transcode::contract::Access;

/// A sentence; empty where the proto does not say.
pub(super) fn in_words(access: &Access) -> String {
    match access.audience.as_str() {
        "AUDIENCE_PUBLIC" => "Answers anyone.".to_owned(),
        "AUDIENCE_CONSUMER" => "Answers API keys.".to_owned(),
        "AUDIENCE_USER" => "Answers who is logged in; not the operator token.".to_owned(),
        "AUDIENCE_SUPER_ADMIN" => "Answers super admins and the operator token.".to_owned(),
        "AUDIENCE_TENANT" => {
            let role = access.role.trim_start_matches("ROLE_").to_lowercase();
            let greater = if role == "owner" { "" } else { " or more" };
            format!("Answers who is {role}{greater} in the tenant, super admins and the operator token.")
        }
        _ => String::new(),
    }
}

/// The names that the proto gives; `None` where it gives none.
pub(super) fn as_said(access: &Access) -> Option<Value> {
    let said = [("audience", &access.audience), ("role", &access.role)];
    let said: Map<_, _> = said
        .into_iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(key, name)| (key.to_owned(), json!(name)))
        .collect();
    (!said.is_empty()).then_some(Value::Object(said))
}
