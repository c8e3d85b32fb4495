//! A batch as a message.

use bytes::Bytes;
use headgate_proto::record::v1::RecordBatch;
use prost::Message as _;

/// The message of some records.
pub(super) fn encode(records: Vec<Bytes>) -> Bytes {
    RecordBatch { records }.encode_to_vec().into()
}

/// The records of a message, which share its memory; none when it is no batch, which is a message of nothing but
/// records.
pub(super) fn decode(message: Bytes) -> Option<Vec<Bytes>> {
    let size = message.len();
    let batch = RecordBatch::decode(message).ok()?;
    // What is skipped over as unknown is missing in the size.
    (!batch.records.is_empty() && batch.encoded_len() == size).then_some(batch.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_what_is_no_batch_does_not() {
        let records: Vec<Bytes> = vec![Bytes::from_static(b"one"), Bytes::new(), vec![7; 3000].into()];
        let message = encode(records.clone());
        assert_eq!(decode(message.clone()), Some(records));
        assert_eq!(decode(message.slice(..message.len() - 1)), None);
        for other in [&b""[..], b"hello", b"{}", b"\x0a\xff", b"\x0a\x01x\x10\x05"] {
            assert_eq!(decode(Bytes::from_static(other)), None, "{other:?}");
        }
    }
}
