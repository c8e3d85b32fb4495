//! Tenants and keys on disk.

mod access;
mod keys;

use headgate_audit::Entry;
use headgate_kit::Failure;
use headgate_kit::db::{self, Db, Tx};
use headgate_kit::error::ErrorReason;
use headgate_kit::{execute, fetch};
use headgate_proto::auth::v1::TenantStatus;

use crate::BuildError;
use crate::audit;
use crate::directory::{Batch, Directory};
use crate::model::Tenant;

const REVISION: &str = "SELECT revision FROM meta";

/// The database of this service.
pub(crate) struct Store(pub Db);

/// A change under way. Nobody else makes one meanwhile, in whatever process.
pub(crate) struct Change {
    tx: Tx,
    revision: u64,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    id: String,
    name: String,
    status: String,
    created_at_unix_ms: i64,
    revision: i64,
}

impl Store {
    /// Reads everything that is kept in memory.
    pub(crate) async fn load(&self) -> Result<(Directory, Batch), BuildError> {
        let mut directory = Directory::default();
        let (batch, revision) = self.since(-1).await?;
        directory.apply(&batch, revision);
        Ok((directory, batch))
    }

    /// What was changed since a revision, and the present one; `None` where that is the same.
    pub(crate) async fn news(&self, known: u64) -> Result<Option<(Batch, u64)>, BuildError> {
        let known = signed(known)?;
        let revision: i64 = fetch!(self.0.read(), pool => sqlx::query_scalar(REVISION).fetch_one(pool))
            .map_err(db::Error::from)?;
        if revision == known { Ok(None) } else { self.since(known).await.map(Some) }
    }

    async fn since(&self, known: i64) -> Result<(Batch, u64), BuildError> {
        let mut tx = self.0.begin_read().await.map_err(db::Error::from)?;
        let revision: i64 = fetch!(tx.conn(), conn => sqlx::query_scalar(REVISION).fetch_one(conn))
            .map_err(db::Error::from)?;
        let batch = changed(&mut tx, known).await?;
        tx.rollback().await.map_err(db::Error::from)?;
        Ok((batch, unsigned(revision)?))
    }

    /// Begins a change.
    pub(crate) async fn begin(&self) -> Result<Change, Failure> {
        let mut tx = self.0.begin().await.map_err(away)?;
        // Waits here for whoever else makes a change.
        let revision: i64 = fetch!(tx.conn(), conn => {
            sqlx::query_scalar("UPDATE meta SET revision = revision + 1 RETURNING revision").fetch_one(conn)
        })
        .map_err(away)?;
        Ok(Change { tx, revision: u64::try_from(revision).map_err(Failure::internal)? })
    }

    /// Notes which pepper belongs to this database, where none did yet, and tells which does.
    pub(crate) async fn pepper_check(&self, ours: Option<&str>) -> Result<Option<String>, db::Error> {
        if let Some(ours) = ours {
            execute!(self.0.write(), pool => {
                sqlx::query("UPDATE meta SET pepper_check = $1 WHERE pepper_check IS NULL")
                    .bind(ours)
                    .execute(pool)
            })?;
        }
        Ok(
            fetch!(self.0.write(), pool => sqlx::query_scalar("SELECT pepper_check FROM meta").fetch_one(pool))?,
        )
    }
}

impl Change {
    /// The revision that this makes.
    pub(crate) fn revision(&self) -> i64 {
        i64::try_from(self.revision).unwrap_or(i64::MAX)
    }

    /// For what is written beside the batch.
    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Writes a tenant of the batch already now.
    pub(crate) async fn put_tenant(&mut self, tenant: &Tenant) -> Result<(), Failure> {
        let revision = self.revision();
        put_tenant(&mut self.tx, tenant, revision).await.map_err(away)
    }

    /// What others changed since a revision, and the revision that made; `None` where nobody did.
    pub(crate) async fn missed(&mut self, known: u64) -> Result<Option<(Batch, u64)>, Failure> {
        let last = self.revision - 1;
        if last == known {
            return Ok(None);
        }
        let known = signed(known).map_err(Failure::internal)?;
        let batch =
            changed(&mut self.tx, known).await.map_err(|e| Failure::unavailable("the key store", e))?;
        Ok(Some((batch, last)))
    }

    /// Writes a batch and what the audit log tells of it: all of it, durably as far as the operating system goes, or
    /// nothing. Answers the revision that this makes.
    pub(crate) async fn put(self, batch: &Batch, entries: &[Entry]) -> Result<u64, Failure> {
        self.try_put(batch, entries).await.map_err(|cause| match &cause {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Failure::new(ErrorReason::AlreadyExists, "the id, name or prefix is taken")
            }
            _ => away(cause),
        })
    }

    async fn try_put(mut self, batch: &Batch, entries: &[Entry]) -> Result<u64, sqlx::Error> {
        let revision = i64::try_from(self.revision).map_err(|e| sqlx::Error::Encode(e.into()))?;
        for tenant in &batch.tenants {
            put_tenant(&mut self.tx, tenant, revision).await?;
        }
        for key in &batch.keys {
            keys::put(&mut self.tx, key, revision).await?;
        }
        for key in &batch.signing_keys {
            access::put_signing_key(&mut self.tx, key, revision).await?;
        }
        for voided in &batch.voided {
            access::put_voided(&mut self.tx, voided, revision).await?;
        }
        audit::write(&mut self.tx, entries.iter().map(Entry::event)).await?;
        self.tx.commit().await?;
        Ok(self.revision)
    }
}

fn away(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the key store", cause)
}

/// Rows that were touched after a revision.
async fn changed(tx: &mut Tx, revision: i64) -> Result<Batch, BuildError> {
    let tenants: Vec<TenantRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT * FROM tenants WHERE revision > $1").bind(revision).fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    let tenants = tenants.into_iter().map(Tenant::try_from).collect::<Result<_, _>>()?;
    let keys = keys::changed(tx, revision).await?;
    let signing_keys = access::signing_keys(tx, revision).await?;
    let voided = access::voided(tx, revision).await?;
    Ok(Batch { tenants, keys, signing_keys, voided })
}

async fn put_tenant(tx: &mut Tx, tenant: &Tenant, revision: i64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO tenants (id, name, status, created_at_unix_ms, revision) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, status = excluded.status,
                 revision = excluded.revision",
        )
        .bind(&tenant.id)
        .bind(&tenant.name)
        .bind(status_text(tenant.status))
        .bind(tenant.created_ms)
        .bind(revision)
        .execute(conn)
    })?;
    Ok(())
}

fn unsigned(revision: i64) -> Result<u64, BuildError> {
    u64::try_from(revision).map_err(|_| BuildError::Corrupt(format!("revision {revision}")))
}

fn signed(revision: u64) -> Result<i64, BuildError> {
    i64::try_from(revision).map_err(|_| BuildError::Corrupt(format!("revision {revision}")))
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
        let revision = unsigned(row.revision)?;
        Ok(Self { id: row.id, name: row.name, status, created_ms: row.created_at_unix_ms, revision })
    }
}
