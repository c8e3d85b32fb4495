//! What the service knows of tenants and keys, and how the contract shows it.

use headgate_proto::auth::v1::{self as proto, TenantStatus};

use crate::key::SecretHmac;

/// A tenant, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub id: String,
    pub name: String,
    pub status: TenantStatus,
    pub created_ms: i64,
}

/// An API key, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub id: String,
    pub tenant_id: String,
    pub name: String,
    pub prefix: String,
    pub secret_hmac: SecretHmac,
    pub scopes: Vec<String>,
    pub expires_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
    pub created_ms: i64,
}

impl Tenant {
    pub(crate) fn to_proto(&self) -> proto::Tenant {
        proto::Tenant {
            id: self.id.clone(),
            name: self.name.clone(),
            status: self.status.into(),
            create_time: Some(timestamp(self.created_ms)),
        }
    }
}

impl Key {
    pub(crate) fn to_proto(&self) -> proto::ApiKey {
        proto::ApiKey {
            id: self.id.clone(),
            tenant_id: self.tenant_id.clone(),
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            scopes: self.scopes.clone(),
            expire_time: self.expires_ms.map(timestamp),
            revoke_time: self.revoked_ms.map(timestamp),
            create_time: Some(timestamp(self.created_ms)),
        }
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
            revoked: self.revoked_ms.is_some(),
            tenant_status: tenant_status.into(),
        }
    }
}

fn timestamp(unix_ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(unix_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1000), nanos }
}
