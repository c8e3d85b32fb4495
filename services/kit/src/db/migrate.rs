//! Bringing a schema up to date, or telling what it lacks.

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};

/// Where both engines note what was applied.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// Applies what is missing, one process at a time, and tells the versions. Where a schema that is `newer` than this
/// program will do, versions that it does not know are left alone.
pub(super) async fn apply<C: Migrate>(
    conn: &mut C,
    known: &Migrator,
    newer: bool,
) -> Result<Vec<i64>, MigrateError> {
    conn.lock().await?;
    conn.ensure_migrations_table(TABLE).await?;
    let missing = missing(conn, known, newer).await?;
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
    newer: bool,
) -> Result<Vec<i64>, MigrateError> {
    if let Some(version) = conn.dirty_version(TABLE).await? {
        return Err(MigrateError::Dirty(version));
    }
    compare(&conn.list_applied_migrations(TABLE).await?, known, newer)
}

fn compare(applied: &[AppliedMigration], known: &Migrator, newer: bool) -> Result<Vec<i64>, MigrateError> {
    for migration in applied {
        match known.iter().find(|one| one.version == migration.version) {
            Some(one) if one.checksum != migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version));
            }
            None if !newer => return Err(MigrateError::VersionMissing(migration.version)),
            Some(_) | None => {}
        }
    }
    let is_applied = |version| applied.iter().any(|one| one.version == version);
    Ok(known.iter().map(|one| one.version).filter(|version| !is_applied(*version)).collect())
}
