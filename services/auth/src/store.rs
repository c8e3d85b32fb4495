//! Tenants and keys on disk.

use headgate_kit::Failure;
use headgate_kit::db::{self, Db};
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::TenantStatus;
use sqlx::{Sqlite, Transaction};

use crate::BuildError;
use crate::directory::{Batch, Directory};
use crate::key::SecretHmac;
use crate::model::{Key, Tenant};

/// The database of this service.
pub(crate) struct Store(Db);

#[derive(sqlx::FromRow)]
struct TenantRow {
    id: String,
    name: String,
    status: String,
    created_at_unix_ms: i64,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    tenant_id: String,
    name: String,
    prefix: String,
    secret_hmac: String,
    scopes: String,
    expires_at_unix_ms: Option<i64>,
    revoked_at_unix_ms: Option<i64>,
    created_at_unix_ms: i64,
}

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Reads everything.
    pub(crate) async fn load(&self) -> Result<Directory, BuildError> {
        let tenants: Vec<TenantRow> =
            sqlx::query_as("SELECT * FROM tenants").fetch_all(&self.0.read).await.map_err(db::Error::from)?;
        let keys: Vec<KeyRow> = sqlx::query_as("SELECT * FROM api_keys")
            .fetch_all(&self.0.read)
            .await
            .map_err(db::Error::from)?;
        let tenants = tenants.into_iter().map(Tenant::try_from).collect::<Result<_, _>>()?;
        let keys = keys.into_iter().map(Key::try_from).collect::<Result<_, _>>()?;
        let mut directory = Directory::default();
        directory.apply(&Batch { tenants, keys });
        Ok(directory)
    }

    /// Writes a batch: all of it, durably as far as the operating system goes, or nothing.
    pub(crate) async fn put(&self, batch: &Batch) -> Result<(), Failure> {
        self.try_put(batch).await.map_err(|cause| match &cause {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Failure::new(ErrorReason::AlreadyExists, "the id, name or prefix is taken")
            }
            _ => Failure::unavailable("the key store", cause),
        })
    }

    async fn try_put(&self, batch: &Batch) -> Result<(), sqlx::Error> {
        let mut tx = self.0.write.begin().await?;
        for tenant in &batch.tenants {
            put_tenant(&mut tx, tenant).await?;
        }
        for key in &batch.keys {
            put_key(&mut tx, key).await?;
        }
        tx.commit().await
    }
}

async fn put_tenant(tx: &mut Transaction<'_, Sqlite>, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tenants (id, name, status, created_at_unix_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, status = excluded.status",
    )
    .bind(&tenant.id)
    .bind(&tenant.name)
    .bind(status_text(tenant.status))
    .bind(tenant.created_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn put_key(tx: &mut Transaction<'_, Sqlite>, key: &Key) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, secret_hmac, scopes,
             expires_at_unix_ms, revoked_at_unix_ms, created_at_unix_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, prefix = excluded.prefix,
             secret_hmac = excluded.secret_hmac, scopes = excluded.scopes,
             expires_at_unix_ms = excluded.expires_at_unix_ms,
             revoked_at_unix_ms = excluded.revoked_at_unix_ms",
    )
    .bind(&key.id)
    .bind(&key.tenant_id)
    .bind(&key.name)
    .bind(&key.prefix)
    .bind(key.secret_hmac.to_hex())
    .bind(key.scopes.join(","))
    .bind(key.expires_ms)
    .bind(key.revoked_ms)
    .bind(key.created_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn status_text(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
        // Unspecified never gets here: requests without a status are refused.
        TenantStatus::Archived | TenantStatus::Unspecified => "archived",
    }
}

impl TryFrom<TenantRow> for Tenant {
    type Error = BuildError;

    fn try_from(row: TenantRow) -> Result<Self, BuildError> {
        let status = match row.status.as_str() {
            "active" => TenantStatus::Active,
            "suspended" => TenantStatus::Suspended,
            "archived" => TenantStatus::Archived,
            other => return Err(BuildError::Corrupt(format!("tenant {}: status {other:?}", row.id))),
        };
        Ok(Self { id: row.id, name: row.name, status, created_ms: row.created_at_unix_ms })
    }
}

impl TryFrom<KeyRow> for Key {
    type Error = BuildError;

    fn try_from(row: KeyRow) -> Result<Self, BuildError> {
        let secret_hmac = SecretHmac::from_hex(&row.secret_hmac)
            .ok_or_else(|| BuildError::Corrupt(format!("key {}: malformed hash", row.id)))?;
        let scopes = row.scopes.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id,
            name: row.name,
            prefix: row.prefix,
            secret_hmac,
            scopes,
            expires_ms: row.expires_at_unix_ms,
            revoked_ms: row.revoked_at_unix_ms,
            created_ms: row.created_at_unix_ms,
        })
    }
}
