//! Databases for tests: a fresh one of either engine, gone after the test.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here is the test's")]

mod server;

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use self::server::Database;
use super::{Config, Source};

/// Runs tests on both engines: of `async fn name(db: TestDb)` it makes the tests `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                Box::pin(super::$name($crate::db::testing::TestDb::sqlite())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                Box::pin(super::$name($crate::db::testing::TestDb::postgres().await)).await;
            }
        })*
    };
}

/// A folder, and a database of one engine.
#[derive(Debug)]
pub struct TestDb {
    dir: TempDir,
    database: Option<Database>,
}

impl TestDb {
    /// SQLite files in the folder.
    #[must_use]
    pub fn sqlite() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), database: None }
    }

    /// A database of its own in a PostgreSQL server that all tests of this process share. There must be one installed.
    pub async fn postgres() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), database: Some(Database::create().await) }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// The configuration that leads here.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { url: self.database.as_ref().map(Database::url), ..Config::default() }
    }

    /// Where a service's tables are.
    #[must_use]
    pub fn source(&self, service: &'static str) -> Source {
        Source::new(&self.config(), service, self.file(service), 1).unwrap()
    }

    /// Whatever is stored for a service, to search in.
    pub async fn bytes(&self, service: &'static str) -> Vec<u8> {
        if self.is_postgres() {
            return self.rows(service).await.into_bytes();
        }
        let file = self.file(service);
        let files = ["", "-wal"].map(|end| PathBuf::from(format!("{}{end}", file.display())));
        files.iter().flat_map(|path| std::fs::read(path).unwrap_or_default()).collect()
    }

    /// Keeps everybody out and ends their connections, as if the server were away.
    ///
    /// # Panics
    /// When this is a file.
    pub async fn cut_off(&self) {
        self.database.as_ref().unwrap().allow_connections(false).await;
    }

    /// Ends what [`TestDb::cut_off`] began.
    ///
    /// # Panics
    /// When this is a file.
    pub async fn let_in(&self) {
        self.database.as_ref().unwrap().allow_connections(true).await;
    }

    /// Changes something behind a service's back.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn run(&self, service: &'static str, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let pool = self.outside(service).await;
            sqlx::query(sql).execute(&pool).await.unwrap();
            pool.close().await;
        } else {
            let url = format!("sqlite://{}", self.file(service).display());
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }

    async fn outside(&self, service: &'static str) -> PgPool {
        let options = super::config::connect_options(&self.config().url.unwrap()).unwrap();
        let options = options.options([("search_path", service), ("bytea_output", "escape")]);
        PgPool::connect_with(options).await.unwrap()
    }

    async fn rows(&self, service: &'static str) -> String {
        let pool = self.outside(service).await;
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
                .bind(service)
                .fetch_all(&pool)
                .await
                .unwrap();
        assert!(!tables.is_empty(), "{service} has no tables");
        let mut text = String::new();
        for table in tables {
            let rows = format!("SELECT COALESCE(string_agg(t::text, E'\\n'), '') FROM \"{table}\" t");
            text += &sqlx::query_scalar::<_, String>(AssertSqlSafe(rows)).fetch_one(&pool).await.unwrap();
        }
        pool.close().await;
        text
    }

    fn file(&self, service: &str) -> PathBuf {
        self.dir().join(format!("{service}.db"))
    }
}

impl Database {
    fn url(&self) -> secrecy::SecretString {
        self.address().expose_secret().into()
    }
}
