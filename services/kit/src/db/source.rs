//! Where a service's tables are, and how they are opened.

mod fault;
mod file;
mod server;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

use super::config::connect_options;
use super::{Config, Db, Engine, Error, UrlError};
use crate::server::Readiness;
use crate::vitals::Vitals;

const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Where one service's tables are. Opening it is left to the service, which knows its migrations.
#[derive(Clone, Debug)]
pub struct Source {
    pub(super) place: Engine<Server, PathBuf>,
    migrate_on_start: bool,
    pub(super) ready: Readiness,
    parts: Parts,
    opening: Arc<Opening>,
}

/// How far opening has come.
#[derive(Debug, Default)]
struct Opening {
    done: OnceLock<Db>,
    /// Why it is not done yet, in words for [`Vitals`].
    fault: Mutex<Option<String>>,
}

/// A schema in PostgreSQL.
#[derive(Clone)]
pub(super) struct Server {
    // Boxed, since it is far larger than a path.
    options: Box<PgConnectOptions>,
    pub(super) schema: &'static str,
    max_connections: u32,
}

/// What became of opening.
enum Opened {
    Ready(Db),
    /// These versions are yet to be applied by somebody else.
    Behind(Vec<i64>),
}

impl fmt::Debug for Server {
    // Without the options, which show their password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What readiness calls the parts of a service that may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Its database is away.
    pub database: &'static str,
    /// Its schema is yet to be brought up to date.
    pub migrations: &'static str,
}

impl Source {
    /// A file.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        let parts = Parts { database: "database", migrations: "migrations" };
        let (ready, opening) = (Readiness::default(), Arc::default());
        Self { place: Engine::Sqlite(path), migrate_on_start: true, ready, parts, opening }
    }

    /// Where a service's tables are by the configuration: in `schema`, which is also the service's name, or in `file`.
    /// `services` is the number of services in this process, which share its connections.
    ///
    /// # Errors
    /// When the URL names no PostgreSQL database.
    pub fn new(
        config: &Config,
        schema: &'static str,
        file: PathBuf,
        services: u32,
    ) -> Result<Self, UrlError> {
        let source = Self { migrate_on_start: config.migrate_on_start, ..Self::file(file) };
        let Some(url) = config.url_of(schema) else { return Ok(source) };
        let options = Box::new(connect_options(url)?.application_name("headgate"));
        let server = Server { options, schema, max_connections: config.share(services) };
        Ok(Self { place: Engine::Postgres(server), ..source })
    }

    /// Has `ready` tell which of the parts is missing while the source is being opened.
    #[must_use]
    pub fn reported(self, ready: &Readiness, parts: Parts) -> Self {
        Self { ready: ready.clone(), parts, ..self }
    }

    /// Has `vitals` tell how the database is, from now on and whether it is open yet or not.
    pub fn watched(&self, vitals: &Vitals) {
        let kind = match self.place {
            Engine::Postgres(_) => "postgresql",
            Engine::Sqlite(_) => "sqlite",
        };
        let opening = self.opening.clone();
        vitals.engine(self.parts.database, kind, move || {
            let opening = opening.clone();
            Box::pin(async move {
                match opening.done.get() {
                    Some(db) => db.ping().await.map_err(|cause| fault::of(&cause)),
                    None => Err(opening.fault.lock().clone().unwrap_or_else(|| "not open yet".to_owned())),
                }
            })
        });
    }

    /// Opens the database and brings its schema up to date, or waits until somebody else did where this process shall
    /// not. A server that is away is waited for, as long as it takes; dropping the future ends that.
    ///
    /// # Errors
    /// When a file cannot be opened, or the schema is none of this program's: a migration is not what it was when it
    /// was applied, one fails, or, in a file, one is not known here.
    pub async fn open(&self, migrations: &Migrator) -> Result<Db, Error> {
        let mut pauses = Pauses::default();
        loop {
            match self.try_open(migrations).await {
                Ok(Opened::Ready(db)) => {
                    self.report(None);
                    return Ok(db);
                }
                Ok(Opened::Behind(versions)) => {
                    tracing::warn!(part = self.parts.migrations, ?versions, "waiting for migrations");
                    *self.opening.fault.lock() = Some("waiting for migrations".to_owned());
                    self.report(Some(self.parts.migrations));
                }
                Err(cause) if self.may_pass(&cause) => self.report_away(&cause),
                Err(cause) => return Err(cause),
            }
            pauses.next().await;
        }
    }

    /// Reads what a start needs of a database that was opened. One that vanished meanwhile is waited for as
    /// [`Source::open`] does: `read` is called again. `database` tells which of its errors are the database's.
    ///
    /// # Errors
    /// Whatever `read` fails with that trying again does not help.
    pub async fn read<T, E>(
        &self,
        read: impl AsyncFn() -> Result<T, E>,
        database: impl Fn(&E) -> Option<&Error>,
    ) -> Result<T, E> {
        let mut pauses = Pauses::default();
        loop {
            match read().await {
                Ok(found) => {
                    self.report(None);
                    return Ok(found);
                }
                Err(failed) => match database(&failed).filter(|cause| self.may_pass(cause)) {
                    Some(cause) => self.report_away(cause),
                    None => return Err(failed),
                },
            }
            pauses.next().await;
        }
    }

    /// Brings the schema up to date, once, and tells the versions that were applied.
    ///
    /// # Errors
    /// When the database is away or the schema cannot be brought up to date.
    pub async fn migrate(&self, migrations: &Migrator) -> Result<Vec<i64>, Error> {
        match &self.place {
            Engine::Postgres(server) => server.migrate(migrations).await,
            Engine::Sqlite(path) => file::migrate(path, migrations).await,
        }
    }

    async fn try_open(&self, migrations: &Migrator) -> Result<Opened, Error> {
        let opened = match &self.place {
            Engine::Postgres(server) => server.open(migrations, self.migrate_on_start).await?,
            Engine::Sqlite(path) => file::open(path, migrations, self.migrate_on_start).await?,
        };
        if let Opened::Ready(db) = &opened {
            self.opening.done.get_or_init(|| db.clone());
        }
        Ok(opened)
    }

    /// Whether trying again may help.
    pub(super) fn may_pass(&self, cause: &Error) -> bool {
        matches!(self.place, Engine::Postgres(_)) && server::may_pass(cause)
    }

    pub(super) fn report_away(&self, cause: &Error) {
        tracing::warn!(part = self.parts.database, %cause, "a database is away, trying again");
        if let Some(cause) = cause.sql() {
            *self.opening.fault.lock() = Some(fault::of(cause));
        }
        self.report(Some(self.parts.database));
    }

    pub(super) fn report(&self, missing: Option<&'static str>) {
        for part in [self.parts.database, self.parts.migrations] {
            self.ready.release(part);
            if missing == Some(part) {
                self.ready.latch(part);
            }
        }
    }
}

/// Between tries: doubling up to a longest.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_RETRY_PAUSE)
    }
}

impl Pauses {
    async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_RETRY_PAUSE);
    }
}
