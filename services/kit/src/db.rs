//! A service's own database: a SQLite file, or a schema of its own in PostgreSQL.
//!
//! One SQL text serves both engines. [`fetch!`](crate::fetch) and [`execute!`](crate::execute) run it on whichever
//! there is, and what runs on PostgreSQL has a deadline. The text must be portable: `$1` placeholders, `TEXT`,
//! `BIGINT`, `INTEGER`, `BOOLEAN`, `DOUBLE PRECISION` and `BYTEA` columns, and `CAST(SUM(x) AS BIGINT)`.

mod config;
mod follower;
mod migrate;
mod sole;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

pub use config::{Config, UrlError};
pub use follower::{Behind, Follower};
pub use sole::Sole;
pub use source::{Parts, Source};

/// How long one statement on PostgreSQL may take as its client sees it: longer than the server gives it, so that only
/// a server or a network that is silent is given up here.
const DEADLINE: Duration = Duration::from_secs(8);

/// Something that is of either engine: a pool, a connection, a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Engine<P, S> {
    /// PostgreSQL.
    Postgres(P),
    /// SQLite.
    Sqlite(S),
}

/// One service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db(Engine<PgPool, Lite>);

#[derive(Clone, Debug)]
struct Lite {
    /// One connection, so writers queue.
    write: SqlitePool,
    /// Connections are opened when needed.
    read: SqlitePool,
}

/// A transaction. What is not committed is undone when it is dropped.
pub type Tx = Engine<Transaction<'static, Postgres>, Transaction<'static, Sqlite>>;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened or a statement failed.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema cannot be brought up to date, or is newer than this program.
    #[error("migration: {0}")]
    Migrate(#[from] MigrateError),
}

impl Error {
    /// What a statement failed with, in or out of a migration.
    fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Sql(cause)
            | Self::Migrate(MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) => {
                Some(cause)
            }
            Self::Migrate(_) => None,
        }
    }
}

impl Db {
    /// For statements that only read.
    #[must_use]
    pub fn read(&self) -> Engine<&PgPool, &SqlitePool> {
        match &self.0 {
            Engine::Postgres(pool) => Engine::Postgres(pool),
            Engine::Sqlite(lite) => Engine::Sqlite(&lite.read),
        }
    }

    /// For statements that change something.
    #[must_use]
    pub fn write(&self) -> Engine<&PgPool, &SqlitePool> {
        match &self.0 {
            Engine::Postgres(pool) => Engine::Postgres(pool),
            Engine::Sqlite(lite) => Engine::Sqlite(&lite.write),
        }
    }

    /// Whether others may use the same tables at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Engine::Postgres(_))
    }

    /// Begins a transaction that changes something.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Ok(match &self.0 {
            Engine::Postgres(pool) => Engine::Postgres(within(pool.begin()).await?),
            Engine::Sqlite(lite) => Engine::Sqlite(lite.write.begin().await?),
        })
    }

    /// Begins a transaction that reads one state of all tables, whatever is changed meanwhile.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_read(&self) -> Result<Tx, sqlx::Error> {
        Ok(match &self.0 {
            Engine::Postgres(pool) => {
                const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Engine::Postgres(within(pool.begin_with(BEGIN)).await?)
            }
            Engine::Sqlite(lite) => Engine::Sqlite(lite.read.begin().await?),
        })
    }

    /// Asks the least there is to ask.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        let one: i32 = crate::fetch!(self.read(), pool => sqlx::query_scalar("SELECT 1").fetch_one(pool))?;
        debug_assert_eq!(one, 1);
        Ok(())
    }

    /// Closes every connection, which finishes SQLite's write-ahead log.
    pub async fn close(&self) {
        match &self.0 {
            Engine::Postgres(pool) => pool.close().await,
            Engine::Sqlite(lite) => {
                lite.read.close().await;
                lite.write.close().await;
            }
        }
    }
}

impl Tx {
    /// The connection that statements of the transaction run on.
    pub fn conn(&mut self) -> Engine<&mut PgConnection, &mut SqliteConnection> {
        match self {
            Self::Postgres(tx) => Engine::Postgres(&mut **tx),
            Self::Sqlite(tx) => Engine::Sqlite(&mut **tx),
        }
    }

    /// Makes the changes last and others see them.
    ///
    /// # Errors
    /// When they cannot be made to last. Where the connection broke, nobody can tell whether they do.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => within(tx.commit()).await,
            Self::Sqlite(tx) => tx.commit().await,
        }
    }

    /// Undoes the changes.
    ///
    /// # Errors
    /// When the connection broke, which undoes them too.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => within(tx.rollback()).await,
            Self::Sqlite(tx) => tx.rollback().await,
        }
    }
}

/// Waits for PostgreSQL, but not for ever.
///
/// # Errors
/// What the statement fails with, or that it took too long.
#[doc(hidden)]
pub async fn within<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(DEADLINE, statement).await {
        Ok(done) => done,
        Err(_elapsed) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Runs a query on either engine: `fetch!(db.read(), pool => sqlx::query_as("...").fetch_all(pool))`.
#[macro_export]
macro_rules! fetch {
    ($on:expr, $conn:ident => $query:expr) => {
        match $on {
            $crate::db::Engine::Postgres($conn) => $crate::db::within($query).await,
            $crate::db::Engine::Sqlite($conn) => $query.await,
        }
    };
}

/// Runs a statement on either engine, and tells how many rows it changed:
/// `execute!(tx.conn(), conn => sqlx::query("...").execute(conn))`.
#[macro_export]
macro_rules! execute {
    ($on:expr, $conn:ident => $statement:expr) => {
        match $on {
            $crate::db::Engine::Postgres($conn) => {
                $crate::db::within($statement).await.map(|done| done.rows_affected())
            }
            $crate::db::Engine::Sqlite($conn) => $statement.await.map(|done| done.rows_affected()),
        }
    };
}
