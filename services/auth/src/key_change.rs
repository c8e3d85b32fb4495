//! What can be done to a key: each a plan, made on the directory as it is. Pure.

use std::collections::{BTreeMap, HashMap};

use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, etag};
use headgate_proto::auth::v1::{StringList, StringMap, UpdateApiKeyRequest};

use crate::directory::{Batch, Directory};
use crate::key::{self, SecretHmac};
use crate::model::{Key, PreviousSecret};
use crate::rpc::no_such;
use crate::validate;

/// How long a secret may outlive its rotation.
const LONGEST_OVERLAP_SECONDS: u32 = 30 * 86_400;

/// What to change of a key, found good. What is `None` stays.
#[derive(Debug, Default)]
pub(crate) struct KeyChange {
    name: Option<String>,
    scopes: Option<Vec<String>>,
    models: Option<Vec<String>>,
    ip_allowlist: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
    disabled: Option<bool>,
    /// `Some(None)`: it shall never expire.
    expires_ms: Option<Option<i64>>,
    user_id: Option<String>,
}

impl KeyChange {
    /// Takes the changes out of a request.
    pub(crate) fn take(request: &mut UpdateApiKeyRequest, now_ms: i64) -> Result<Self, Failure> {
        let list = |list: Option<StringList>,
                    check: fn(&str, &[String]) -> Result<Vec<String>, Failure>,
                    field| { list.map(|list| check(field, &list.values)).transpose() };
        let name = request.name.take();
        if let Some(name) = &name {
            validate::label("name", name)?;
        }
        Ok(Self {
            name,
            scopes: list(request.scopes.take(), validate::scopes, "scopes.values")?,
            models: list(request.models.take(), validate::models, "models.values")?,
            ip_allowlist: list(request.ip_allowlist.take(), validate::networks, "ip_allowlist.values")?,
            metadata: request.metadata.take().map(notes).transpose()?,
            disabled: request.disabled,
            expires_ms: expiry(request, now_ms)?,
            user_id: request.user_id.take().map(|id| validate::user_id("user_id", id)).transpose()?,
        })
    }

    /// The key as it shall be.
    fn apply(self, old: Key) -> Key {
        Key {
            name: self.name.unwrap_or(old.name),
            scopes: self.scopes.unwrap_or(old.scopes),
            models: self.models.unwrap_or(old.models),
            ip_allowlist: self.ip_allowlist.unwrap_or(old.ip_allowlist),
            metadata: self.metadata.unwrap_or(old.metadata),
            disabled: self.disabled.unwrap_or(old.disabled),
            expires_ms: self.expires_ms.unwrap_or(old.expires_ms),
            user_id: self.user_id.unwrap_or(old.user_id),
            ..old
        }
    }
}

fn notes(given: StringMap) -> Result<BTreeMap<String, String>, Failure> {
    metadata("metadata.values", given.values)
}

fn expiry(request: &UpdateApiKeyRequest, now_ms: i64) -> Result<Option<Option<i64>>, Failure> {
    match (&request.expire_time, request.never_expires) {
        (Some(_), true) => {
            Err(Failure::invalid("never_expires", "never_expires must not be set beside expire_time"))
        }
        (None, true) => Ok(Some(None)),
        (Some(time), false) => Ok(Some(Some(validate::future("expire_time", time, now_ms)?))),
        (None, false) => Ok(None),
    }
}

/// Notes of a key, found good.
pub(crate) fn metadata(
    field: &str,
    given: HashMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let metadata = given.into_iter().collect();
    validate::metadata(field, &metadata)?;
    Ok(metadata)
}

/// For how long the old secret works after a rotation, in milliseconds.
pub(crate) fn overlap_ms(seconds: u32) -> Result<i64, Failure> {
    if seconds > LONGEST_OVERLAP_SECONDS {
        let text = format!("overlap_seconds must be at most {LONGEST_OVERLAP_SECONDS}");
        return Err(Failure::invalid("overlap_seconds", text));
    }
    Ok(i64::from(seconds) * 1000)
}

/// A new key. Its prefix is drawn again where it is taken.
pub(crate) fn create(directory: &Directory, mut key: Key) -> Result<(Batch, Key), Failure> {
    directory.tenant(&key.tenant_id).ok_or_else(|| no_such("tenant"))?;
    while directory.key_with_prefix(&key.prefix).is_some() {
        key.prefix = key::random_prefix();
    }
    Ok(planned(directory, key))
}

/// Changes a key, unless nothing changes.
pub(crate) fn update(
    directory: &Directory,
    id: &str,
    read: &str,
    change: KeyChange,
) -> Result<(Batch, Key), Failure> {
    let old = changeable(directory, id, read)?;
    let key = change.apply(old.clone());
    if key.personal && key.user_id != old.user_id {
        return Err(Failure::invalid("user_id", "a personal API key stays its owner's"));
    }
    if key == *old { Ok((Batch::default(), key)) } else { Ok(planned(directory, key)) }
}

/// Gives a key another secret. The present one works until `overlap_ms` after `now_ms`.
pub(crate) fn rotate(
    directory: &Directory,
    id: &str,
    read: &str,
    secret_hmac: SecretHmac,
    overlap_ms: i64,
    now_ms: i64,
) -> Result<(Batch, Key), Failure> {
    let old = changeable(directory, id, read)?;
    let previous = PreviousSecret { hmac: old.secret_hmac, expires_ms: now_ms.saturating_add(overlap_ms) };
    let previous = Some(previous).filter(|_| overlap_ms > 0);
    Ok(planned(directory, Key { secret_hmac, previous, ..old.clone() }))
}

/// Ends a key. One that has ended stays as it is.
pub(crate) fn revoke(
    directory: &Directory,
    id: &str,
    read: &str,
    now_ms: i64,
) -> Result<(Batch, Key), Failure> {
    let old = directory.key(id).ok_or_else(|| no_such("API key"))?;
    if old.revoked_ms.is_some() {
        return Ok((Batch::default(), old.clone()));
    }
    etag::check(read, &old.etag())?;
    Ok(planned(directory, Key { revoked_ms: Some(now_ms), ..old.clone() }))
}

fn changeable<'a>(directory: &'a Directory, id: &str, read: &str) -> Result<&'a Key, Failure> {
    let key = directory.key(id).ok_or_else(|| no_such("API key"))?;
    etag::check(read, &key.etag())?;
    if key.revoked_ms.is_some() {
        return Err(Failure::new(ErrorReason::Conflict, "a revoked API key stays as it is"));
    }
    Ok(key)
}

fn planned(directory: &Directory, key: Key) -> (Batch, Key) {
    let key = Key { revision: directory.next_revision(), ..key };
    (Batch::key(key.clone()), key)
}
