//! What the service knows of tenants and keys, and how the contract shows it.

use std::collections::BTreeMap;

use bytes::Bytes;
use headgate_proto::auth::v1::{self as proto, TenantStatus};
use headgate_proto::timestamp;

use crate::key::SecretHmac;

/// A tenant, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub id: String,
    pub name: String,
    pub status: TenantStatus,
    pub created_ms: i64,
    /// The change that last touched it.
    pub revision: u64,
}

/// An API key, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub id: String,
    pub tenant_id: String,
    pub name: String,
    pub prefix: String,
    pub secret_hmac: SecretHmac,
    pub previous: Option<PreviousSecret>,
    pub scopes: Vec<String>,
    pub models: Vec<String>,
    pub ip_allowlist: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    pub disabled: bool,
    pub user_id: String,
    /// Whether the user made it for themselves.
    pub personal: bool,
    /// Whether the user may not use it at present.
    pub owner_barred: bool,
    pub expires_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
    pub created_ms: i64,
    /// The change that last touched it.
    pub revision: u64,
}

/// A secret that works for a while yet, beside the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreviousSecret {
    pub hmac: SecretHmac,
    pub expires_ms: i64,
}

impl Tenant {
    pub(crate) fn to_proto(&self) -> proto::Tenant {
        proto::Tenant {
            id: self.id.clone(),
            name: self.name.clone(),
            status: self.status.into(),
            create_time: Some(timestamp(self.created_ms)),
            etag: self.etag(),
            budget: None,
        }
    }

    pub(crate) fn etag(&self) -> String {
        self.revision.to_string()
    }
}

impl Key {
    /// As the contract shows it, last used then and seen now.
    pub(crate) fn to_proto(&self, used_ms: Option<i64>, now_ms: i64) -> proto::ApiKey {
        let previous = self.previous.filter(|previous| now_ms < previous.expires_ms);
        proto::ApiKey {
            id: self.id.clone(),
            tenant_id: self.tenant_id.clone(),
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            scopes: self.scopes.clone(),
            expire_time: self.expires_ms.map(timestamp),
            revoke_time: self.revoked_ms.map(timestamp),
            create_time: Some(timestamp(self.created_ms)),
            models: self.models.clone(),
            ip_allowlist: self.ip_allowlist.clone(),
            metadata: self.metadata.clone().into_iter().collect(),
            disabled: self.disabled,
            user_id: self.user_id.clone(),
            last_used_time: used_ms.map(timestamp),
            previous_secret_expire_time: previous.map(|previous| timestamp(previous.expires_ms)),
            etag: self.etag(),
            personal: self.personal,
            owner_barred: self.owner_barred,
        }
    }

    pub(crate) fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Whether it may be used, by itself: whatever its tenant and its expiry say.
    pub(crate) fn is_let_in(&self) -> bool {
        self.revoked_ms.is_none() && !self.disabled && !self.owner_barred
    }

    /// Whether it works or may work again.
    pub(crate) fn is_left(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expiry| now_ms < expiry)
    }

    /// All that a peer needs to verify the key by itself.
    pub(crate) fn to_record(&self, tenant_status: TenantStatus) -> proto::KeyRecord {
        proto::KeyRecord {
            key_id: self.id.clone(),
            tenant_id: self.tenant_id.clone(),
            prefix: self.prefix.clone(),
            secret_hmac: self.secret_hmac.to_bytes(),
            scopes: self.scopes.clone(),
            expires_at_unix_ms: self.expires_ms.unwrap_or(0),
            // One word for all: a peer of an earlier version refuses each.
            revoked: !self.is_let_in(),
            tenant_status: tenant_status.into(),
            models: self.models.clone(),
            ip_allowlist: self.ip_allowlist.clone(),
            previous_secret_hmac: self.previous.map_or(Bytes::new(), |previous| previous.hmac.to_bytes()),
            previous_secret_expires_at_unix_ms: self.previous.map_or(0, |previous| previous.expires_ms),
        }
    }
}
