//! Responses kept for idempotency keys: the messages themselves, each with its length.

use bytes::Bytes;
use headgate_kit::error::Failure;
use prost::Message;

/// Adds one message.
pub(crate) fn push<M: Message>(kept: &mut Vec<u8>, message: &M) {
    // A Vec grows, so there is always room.
    if let Err(cause) = message.encode_length_delimited(kept) {
        tracing::error!(%cause, "response not kept");
    }
}

/// Reads all messages back.
pub(crate) fn read<M: Message + Default>(mut kept: Bytes) -> Result<Vec<M>, Failure> {
    let mut messages = Vec::new();
    while !kept.is_empty() {
        messages.push(M::decode_length_delimited(&mut kept).map_err(Failure::internal)?);
    }
    Ok(messages)
}
