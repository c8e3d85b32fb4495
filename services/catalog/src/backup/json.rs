//! A backup as text: the contract's own JSON, with the contract's names.

use headgate_proto::catalog::v1::Backup;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};

const MESSAGE: &str = "headgate.catalog.v1.Backup";

/// Why a text is no backup, or a backup cannot be written as one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is not JSON, or has other fields or values than a backup.
    #[error("it is no backup: {0}")]
    Json(#[from] serde_json::Error),
    /// The contract does not know backups, which is a fault of the build.
    #[error("the contract cannot be read: {0}")]
    Contract(String),
}

/// Reads a backup.
///
/// # Errors
/// When it is none.
pub fn parse(text: &[u8]) -> Result<Backup, BackupError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor()?, &mut json, &options)?;
    json.end()?;
    message.transcode_to().map_err(contract)
}

/// Writes a backup.
///
/// # Errors
/// When the contract does not know it, which is a fault of the build.
pub fn write(backup: &Backup) -> Result<String, BackupError> {
    let mut message = DynamicMessage::new(descriptor()?);
    message.transcode_from(backup).map_err(contract)?;
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::pretty(&mut text);
    message.serialize_with_options(&mut json, &SerializeOptions::new().use_proto_field_name(true))?;
    String::from_utf8(text).map_err(contract)
}

fn descriptor() -> Result<MessageDescriptor, BackupError> {
    let pool = headgate_proto::descriptors().map_err(contract)?;
    pool.get_message_by_name(MESSAGE).ok_or_else(|| contract(MESSAGE))
}

fn contract(cause: impl std::fmt::Display) -> BackupError {
    BackupError::Contract(cause.to_string())
}
