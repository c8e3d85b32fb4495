//! A SQLite file: one writer, lazy readers, write-ahead log, small cache.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::Opened;
use crate::db::{Db, Engine, Error, Lite, migrate};

/// Opens (and makes, if need be) the file. A schema that is newer than this program is refused: the file is this
/// process's alone, so an older program would be a step back.
pub(super) async fn open(path: &Path, migrations: &Migrator, migrate: bool) -> Result<Opened, Error> {
    make_private(path).map_err(sqlx::Error::Io)?;
    let options = options(path);
    // The writer first: a read-only connection cannot create the file.
    let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut conn = write.acquire().await?;
    if migrate {
        migrate::apply(&mut *conn, migrations, migrate::Kind::Sqlite).await?;
    } else {
        conn.ensure_migrations_table(migrate::TABLE).await?;
        let missing = migrate::missing(&mut *conn, migrations, migrate::Kind::Sqlite).await?;
        if !missing.is_empty() {
            return Ok(Opened::Behind(missing));
        }
    }
    drop(conn);
    let read = SqlitePoolOptions::new()
        .max_connections(2)
        .idle_timeout(Duration::from_secs(30))
        .connect_lazy_with(options.read_only(true).create_if_missing(false));
    Ok(Opened::Ready(Db(Engine::Sqlite(Lite { write, read }))))
}

pub(super) async fn migrate(path: &Path, migrations: &Migrator) -> Result<Vec<i64>, Error> {
    make_private(path).map_err(sqlx::Error::Io)?;
    let mut conn = options(path).connect().await?;
    let applied = migrate::apply(&mut conn, migrations, migrate::Kind::Sqlite).await?;
    conn.close().await?;
    Ok(applied)
}

/// Makes a new file with mode 0600, which SQLite gives the files beside it, too. One that is there is not even opened:
/// closing it again would let go of the locks that this process has on it.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(cause),
        _ => Ok(()),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .pragma("cache_size", "-1024")
        // In pages: 16 MiB of log. Pages that change with every batch are copied and synced four times less often than
        // by default.
        .pragma("wal_autocheckpoint", "4000")
}
