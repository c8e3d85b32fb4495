//! From bytes to records, setting aside what is none.

use bytes::Bytes;
use headgate_proto::record::v1::UsageRecord;
use prost::Message;

/// A batch, understood as far as possible.
pub(crate) struct Decoded {
    pub(crate) records: Vec<UsageRecord>,
    pub(crate) rejected: Vec<Rejected>,
}

/// A record that cannot be a row.
pub(crate) struct Rejected {
    pub(crate) record: Bytes,
    pub(crate) reason: String,
}

pub(crate) fn decode(batch: &[Bytes]) -> Decoded {
    let mut decoded = Decoded { records: Vec::with_capacity(batch.len()), rejected: Vec::new() };
    for raw in batch {
        match decode_one(raw) {
            Ok(record) => decoded.records.push(record),
            Err(reason) => decoded.rejected.push(Rejected { record: raw.clone(), reason }),
        }
    }
    decoded
}

fn decode_one(raw: &Bytes) -> Result<UsageRecord, String> {
    let record = UsageRecord::decode(raw.clone()).map_err(|cause| cause.to_string())?;
    if record.lease_id.is_empty() {
        return Err("lease_id is empty".to_owned());
    }
    // The column is signed; a number beyond it can only be garbage.
    if i64::try_from(record.price_revision).is_err() {
        return Err("price_revision is out of range".to_owned());
    }
    // PostgreSQL takes none, and no client can get one here.
    if texts(&record).iter().any(|text| text.contains('\0')) {
        return Err("a text holds a NUL".to_owned());
    }
    Ok(record)
}

fn texts(record: &UsageRecord) -> [&str; 8] {
    [
        &record.lease_id,
        &record.request_id,
        &record.tenant_id,
        &record.key_id,
        &record.model,
        &record.provider_id,
        &record.target_id,
        &record.upstream_model,
    ]
}
