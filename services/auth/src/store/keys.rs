//! The rows of keys.

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::unsigned;
use crate::BuildError;
use crate::key::SecretHmac;
use crate::model::{Key, PreviousSecret};

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    name: String,
    prefix: String,
    secret_hmac: String,
    previous_secret_hmac: Option<String>,
    previous_secret_expires_at_unix_ms: Option<i64>,
    scopes: String,
    models: String,
    ip_allowlist: String,
    metadata: String,
    disabled: bool,
    user_id: String,
    personal: bool,
    owner_barred: bool,
    expires_at_unix_ms: Option<i64>,
    revoked_at_unix_ms: Option<i64>,
    created_at_unix_ms: i64,
    revision: i64,
}

/// Keys that were touched after a revision.
pub(super) async fn changed(tx: &mut Tx, revision: i64) -> Result<Vec<Key>, BuildError> {
    let rows: Vec<Row> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT id, tenant_id, name, prefix, secret_hmac, previous_secret_hmac,
                 previous_secret_expires_at_unix_ms, scopes, models, ip_allowlist, metadata, disabled, user_id,
                 personal, owner_barred, expires_at_unix_ms, revoked_at_unix_ms, created_at_unix_ms, revision
             FROM api_keys WHERE revision > $1",
        )
        .bind(revision)
        .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    rows.into_iter().map(Key::try_from).collect()
}

/// Writes a new key, or one that changed.
pub(super) async fn put(tx: &mut Tx, key: &Key, revision: i64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO api_keys (id, tenant_id, name, prefix, secret_hmac, previous_secret_hmac,
                 previous_secret_expires_at_unix_ms, scopes, models, ip_allowlist, metadata, disabled, user_id,
                 personal, owner_barred, expires_at_unix_ms, revoked_at_unix_ms, created_at_unix_ms, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, prefix = excluded.prefix,
                 secret_hmac = excluded.secret_hmac, previous_secret_hmac = excluded.previous_secret_hmac,
                 previous_secret_expires_at_unix_ms = excluded.previous_secret_expires_at_unix_ms,
                 scopes = excluded.scopes, models = excluded.models, ip_allowlist = excluded.ip_allowlist,
                 metadata = excluded.metadata, disabled = excluded.disabled, user_id = excluded.user_id,
                 personal = excluded.personal, owner_barred = excluded.owner_barred,
                 expires_at_unix_ms = excluded.expires_at_unix_ms,
                 revoked_at_unix_ms = excluded.revoked_at_unix_ms, revision = excluded.revision",
        )
        .bind(&key.id)
        .bind(&key.tenant_id)
        .bind(&key.name)
        .bind(&key.prefix)
        .bind(key.secret_hmac.to_hex())
        .bind(key.previous.map(|previous| previous.hmac.to_hex()))
        .bind(key.previous.map(|previous| previous.expires_ms))
        .bind(key.scopes.join(","))
        .bind(json(&key.models)?)
        .bind(json(&key.ip_allowlist)?)
        .bind(json(&key.metadata)?)
        .bind(key.disabled)
        .bind(&key.user_id)
        .bind(key.personal)
        .bind(key.owner_barred)
        .bind(key.expires_ms)
        .bind(key.revoked_ms)
        .bind(key.created_ms)
        .bind(revision)
        .execute(conn)
    })?;
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|cause| sqlx::Error::Encode(cause.into()))
}

impl TryFrom<Row> for Key {
    type Error = BuildError;

    fn try_from(row: Row) -> Result<Self, BuildError> {
        let hmac = |hex: &str| SecretHmac::from_hex(hex).ok_or_else(|| corrupt(&row.id, "hash"));
        let previous = row.previous_secret_hmac.as_deref().zip(row.previous_secret_expires_at_unix_ms);
        let previous =
            previous.map(|(hex, expires_ms)| hmac(hex).map(|hmac| PreviousSecret { hmac, expires_ms }));
        Ok(Self {
            secret_hmac: hmac(&row.secret_hmac)?,
            previous: previous.transpose()?,
            scopes: row.scopes.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            models: read(&row.id, "models", &row.models)?,
            ip_allowlist: read(&row.id, "ip_allowlist", &row.ip_allowlist)?,
            metadata: read(&row.id, "metadata", &row.metadata)?,
            disabled: row.disabled,
            user_id: row.user_id,
            personal: row.personal,
            owner_barred: row.owner_barred,
            expires_ms: row.expires_at_unix_ms,
            revoked_ms: row.revoked_at_unix_ms,
            created_ms: row.created_at_unix_ms,
            revision: unsigned(row.revision)?,
            id: row.id,
            tenant_id: row.tenant_id,
            name: row.name,
            prefix: row.prefix,
        })
    }
}

fn read<T: DeserializeOwned>(id: &str, what: &str, json: &str) -> Result<T, BuildError> {
    serde_json::from_str(json).map_err(|_| corrupt(id, what))
}

fn corrupt(id: &str, what: &str) -> BuildError {
    BuildError::Corrupt(format!("key {id}: malformed {what}"))
}
