//! What rows of tenants and keys tell. Pure.

use headgate_access::Author;
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::Failure;
use serde_json::Value;

use crate::directory::{Batch, Directory};
use crate::model::{Key, Tenant};
use crate::signing::SigningKey;

/// The entries of a batch that is yet to be taken in.
pub(crate) fn of_batch(
    by: &Author,
    now_ms: i64,
    batch: &Batch,
    directory: &Directory,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::with_capacity(batch.tenants.len() + batch.keys.len());
    for tenant in &batch.tenants {
        let shown = |tenant: &Tenant| Shown::of(&tenant.to_proto());
        let before = directory.tenant(&tenant.id).map(shown).transpose()?;
        let thing = Thing::of(tenant.id.as_str(), "tenant", tenant.id.as_str());
        entries.extend(Entry::of_change(by, now_ms, thing, before, Some(shown(tenant)?)));
    }
    for key in &batch.keys {
        let shown = |key: &Key| Shown::of(&key.to_proto(None, now_ms));
        let before = directory.key(&key.id).map(shown).transpose()?;
        let thing = Thing::of(key.tenant_id.as_str(), "api_key", key.id.as_str());
        entries.extend(Entry::of_change(by, now_ms, thing, before, Some(shown(key)?)));
    }
    entries.extend(batch.signing_keys.iter().filter_map(|key| of_signing_key(by, now_ms, key)));
    Ok(entries)
}

fn of_signing_key(by: &Author, now_ms: i64, key: &SigningKey) -> Option<Entry> {
    let facts =
        [("id", Value::from(key.id.as_str())), ("signs_from_unix_ms", Value::from(key.signs_from_ms))];
    Entry::of_change(
        by,
        now_ms,
        Thing::common("signing_key", key.id.as_str()),
        None,
        Some(Shown::facts(facts)),
    )
}
