//! Bringing a schema up to date, or telling what it lacks.
//!
//! A migration whose file's name ends in `_on_sqlite` or `_on_postgresql` is for that engine only: for what one SQL text
//! cannot say.

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, Migrator};

/// Where both engines note what was applied.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// An engine, as names of files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// The migrations that are for it.
    pub(super) fn own(self, known: &Migrator) -> impl Iterator<Item = &Migration> {
        let foreign = match self {
            Self::Sqlite => " on postgresql",
            Self::Postgres => " on sqlite",
        };
        known.iter().filter(move |migration| !migration.description.ends_with(foreign))
    }
}

/// Applies what is missing, one process at a time, and tells the versions. In PostgreSQL a schema may be newer than this
/// program: versions that it does not know are left alone.
pub(super) async fn apply<C: Migrate>(
    conn: &mut C,
    known: &Migrator,
    kind: Kind,
) -> Result<Vec<i64>, MigrateError> {
    conn.lock().await?;
    conn.ensure_migrations_table(TABLE).await?;
    let missing = missing(conn, known, kind).await?;
    for migration in known.iter().filter(|migration| missing.contains(&migration.version)) {
        conn.apply(TABLE, migration).await?;
    }
    conn.unlock().await?;
    Ok(missing)
}

/// The versions that are yet to be applied, where there is a table that tells.
pub(super) async fn missing<C: Migrate>(
    conn: &mut C,
    known: &Migrator,
    kind: Kind,
) -> Result<Vec<i64>, MigrateError> {
    if let Some(version) = conn.dirty_version(TABLE).await? {
        return Err(MigrateError::Dirty(version));
    }
    compare(&conn.list_applied_migrations(TABLE).await?, known, kind)
}

fn compare(applied: &[AppliedMigration], known: &Migrator, kind: Kind) -> Result<Vec<i64>, MigrateError> {
    for migration in applied {
        match known.iter().find(|one| one.version == migration.version) {
            Some(one) if one.checksum != migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version));
            }
            None if kind == Kind::Sqlite => return Err(MigrateError::VersionMissing(migration.version)),
            Some(_) | None => {}
        }
    }
    let is_applied = |version| applied.iter().any(|one| one.version == version);
    Ok(kind.own(known).map(|one| one.version).filter(|version| !is_applied(*version)).collect())
}
