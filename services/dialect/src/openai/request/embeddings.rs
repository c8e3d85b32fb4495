//! What only an embeddings body has.

use crate::Invalid;

/// Whether `encoding_format` asks for base64.
pub(super) fn is_base64(raw: &str) -> Result<bool, Invalid> {
    match serde_json::from_str::<Option<&str>>(raw) {
        Ok(Some("base64")) => Ok(true),
        Ok(Some("float") | None) => Ok(false),
        _ => Err(Invalid::field("encoding_format", "must be \"float\" or \"base64\"")),
    }
}
