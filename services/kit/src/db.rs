//! A service's own SQLite file: one writer, lazy readers, write-ahead log, small cache.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// One service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    /// For statements that change something; one connection, so writers queue.
    pub write: SqlitePool,
    /// For statements that only read; connections are opened when needed.
    pub read: SqlitePool,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or a statement failed.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Db {
    /// Opens (and makes, if need be) the file and applies what is missing of its schema.
    ///
    /// # Errors
    /// When the file cannot be opened, or its schema is newer than this program.
    pub async fn open(path: &Path, migrations: &Migrator) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("cache_size", "-1024")
            // In pages: 16 MiB of log. Pages that change with every batch are copied and synced four times less often
            // than by default.
            .pragma("wal_autocheckpoint", "4000");
        // The writer first: a read-only connection cannot create the file.
        let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        migrations.run(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(2)
            .idle_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { write, read })
    }

    /// Closes both pools, which finishes the write-ahead log.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
