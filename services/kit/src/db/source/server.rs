//! A schema in PostgreSQL: a small pool that fills when needed.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres};

use super::{Opened, Server};
use crate::db::{Db, Engine, Error, migrate, within};

/// How long a statement may take at the server.
const STATEMENT_TIMEOUT: &str = "5s";
/// How long a transaction may do nothing: its locks hold others up.
const IDLE_TIMEOUT: &str = "10s";
/// How long a connection is waited for, a new one included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long migrations may take, with those of others that are waited for.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a connection that comes back may take to show that it is alive.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

impl Server {
    /// Brings the schema up to date or looks whether it is; a newer one is fine, as two versions stand side by side
    /// while a rollout lasts.
    pub(super) async fn open(&self, migrations: &Migrator, migrate: bool) -> Result<Opened, Error> {
        if migrate {
            self.migrate(migrations).await?;
        } else {
            let mut conn = self.connect().await?;
            let missing = within(missing(&mut conn, migrations)).await??;
            conn.close().await?;
            if !missing.is_empty() {
                return Ok(Opened::Behind(missing));
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(30))
            .max_lifetime(Duration::from_secs(1800))
            // Else a network that swallows packets would keep every connection until TCP gives up.
            .after_release(|conn, _| Box::pin(is_alive(conn)))
            .connect_lazy_with(self.options().options([
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
            ]));
        Ok(Opened::Ready(Db(Engine::Postgres(pool))))
    }

    pub(super) async fn migrate(&self, migrations: &Migrator) -> Result<Vec<i64>, Error> {
        // A connection of its own: it is locked, and may take longer than statements usually do.
        let mut conn = self.connect().await?;
        let work = async {
            within(create_schema(&mut conn, self.schema)).await?;
            Ok::<_, Error>(migrate::apply(&mut conn, migrations, migrate::Kind::Postgres).await?)
        };
        let applied = match tokio::time::timeout(MIGRATION_TIMEOUT, work).await {
            Ok(applied) => applied?,
            Err(_elapsed) => return Err(timed_out().into()),
        };
        within(conn.close()).await?;
        Ok(applied)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(self.options().connect()).await
    }

    pub(in crate::db) fn options(&self) -> PgConnectOptions {
        // Notices tell what is as it shall be, e.g. that a table exists.
        let options = [("search_path", self.schema), ("client_min_messages", "warning")];
        self.options.as_ref().clone().options(options)
    }
}

async fn is_alive(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(PING_TIMEOUT, conn.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_elapsed) => Err(timed_out()),
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Makes the schema where there is none. A role that may not make schemas can use one that was made for it.
async fn create_schema(conn: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    if exists(conn, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).await? {
        return Ok(());
    }
    let made = sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""))).execute(&mut *conn).await;
    match made {
        // Another process was faster: 42P06 says so, 23505 when both were at it at once.
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P06" | "23505")) => Ok(()),
        made => made.map(drop),
    }
}

/// Every version, where nothing was ever applied.
async fn missing(
    conn: &mut PgConnection,
    migrations: &Migrator,
) -> Result<Result<Vec<i64>, MigrateError>, sqlx::Error> {
    if !exists(conn, "SELECT to_regclass($1) IS NOT NULL", migrate::TABLE).await? {
        return Ok(Ok(migrate::Kind::Postgres.own(migrations).map(|migration| migration.version).collect()));
    }
    Ok(migrate::missing(conn, migrations, migrate::Kind::Postgres).await)
}

async fn exists(conn: &mut PgConnection, question: &'static str, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar::<Postgres, bool>(question).bind(name).fetch_one(conn).await
}

/// Whether a failure is the server's or the network's, and not what was asked of it.
pub(super) fn may_pass(cause: &Error) -> bool {
    let Some(cause) = cause.sql() else { return false };
    match cause {
        // Classes of SQLSTATE: connection, authorization (a role that is yet to be made), no such database, deadlock,
        // resources, state (it takes no connections), intervention, failure of the system.
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            ["08", "28", "3D", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
