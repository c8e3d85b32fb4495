//! Opening, migrating and waiting, on both engines.

use std::borrow::Cow;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::testing::TestDb;
use super::*;
use crate::on_both_engines;
use crate::server::Readiness;

const PARTS: Parts = Parts { database: "room: database", migrations: "room: migrations" };

fn migrations(texts: &[(i64, &'static str)]) -> Migrator {
    let migration = |&(version, sql): &(i64, &'static str)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, Cow::Borrowed("test"), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(texts.iter().map(migration).collect())
}

fn first() -> Migrator {
    migrations(&[(1, "CREATE TABLE things (id TEXT PRIMARY KEY, n BIGINT NOT NULL, yes BOOLEAN NOT NULL)")])
}

/// The same, and a later one.
fn second() -> Migrator {
    let first = first();
    let sql = AssertSqlSafe("ALTER TABLE things ADD COLUMN more BIGINT").into_sql_str();
    let later = Migration::new(20_261_121_120_000, "later".into(), MigrationType::Simple, sql, false);
    Migrator::with_migrations(first.iter().cloned().chain([later]).collect())
}

#[tokio::test]
async fn a_file_and_those_beside_it_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let path = |end: &str| dir.path().join(format!("things.db{end}"));
    Source::file(path("")).migrate(&first()).await.unwrap();
    let db = Source::file(path("")).open(&first()).await.unwrap();
    put(&db, "a", 1).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        assert_eq!(std::fs::metadata(path(end)).unwrap().permissions().mode() & 0o777, 0o600, "{end}");
    }
}

async fn put(db: &Db, id: &str, n: i64) -> Result<u64, sqlx::Error> {
    crate::execute!(db.write(), pool => {
        sqlx::query("INSERT INTO things (id, n, yes) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .bind(n)
            .bind(true)
            .execute(pool)
    })
}

async fn all(db: &Db) -> Vec<(String, i64, bool)> {
    crate::fetch!(db.read(), pool => {
        sqlx::query_as("SELECT id, n, yes FROM things ORDER BY id").fetch_all(pool)
    })
    .unwrap()
}

async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came true");
}

on_both_engines!(
    one_text_reads_and_writes,
    what_is_not_committed_is_undone,
    a_read_transaction_sees_one_state,
    migrations_are_applied_once_and_in_order,
    a_migration_that_was_changed_is_refused,
    a_newer_schema_will_do_where_others_may_have_made_it,
    a_migration_that_fails_leaves_nothing_and_ends_the_start,
    a_start_without_migrating_waits_until_somebody_else_did,
    a_migration_of_the_other_engine_is_left_out,
);

/// The first one, and one for each engine that the other would not understand.
fn apart() -> Migrator {
    let of = |version, name: &'static str, sql| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    let apart = [
        of(
            2,
            "seal on sqlite",
            "CREATE TRIGGER seal BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'no'); END",
        ),
        of(3, "seal on postgresql", "CREATE RULE seal AS ON DELETE TO things DO INSTEAD NOTHING"),
    ];
    Migrator::with_migrations(first().iter().cloned().chain(apart).collect())
}

async fn a_migration_of_the_other_engine_is_left_out(db: TestDb) {
    let applied = db.source("room").migrate(&apart()).await.unwrap();
    assert_eq!(applied, if db.is_postgres() { [1, 3] } else { [1, 2] });
    let config = Config { migrate_on_start: false, ..db.config() };
    let waiting = Source::new(&config, "room", db.dir().join("room.db"), 1).unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(20), waiting.open(&apart())).await;
    let opened = opened.expect("nothing is missing").unwrap();
    assert_eq!(put(&opened, "a", 1).await.unwrap(), 1);
    assert_eq!(db.source("room").migrate(&apart()).await.unwrap(), Vec::<i64>::new());
}

async fn one_text_reads_and_writes(db: TestDb) {
    let opened = db.source("room").open(&first()).await.unwrap();
    assert_eq!(opened.is_shared(), db.is_postgres());
    assert_eq!(put(&opened, "a", 1).await.unwrap(), 1);
    assert_eq!(put(&opened, "a", 2).await.unwrap(), 0);
    assert_eq!(all(&opened).await, [("a".to_owned(), 1, true)]);
}

async fn what_is_not_committed_is_undone(db: TestDb) {
    let opened = db.source("room").open(&first()).await.unwrap();
    for keep in [None, Some(false), Some(true)] {
        let mut tx = opened.begin().await.unwrap();
        let sql = "INSERT INTO things (id, n, yes) VALUES ($1, 1, TRUE)";
        let id = format!("{keep:?}");
        crate::execute!(tx.conn(), conn => sqlx::query(sql).bind(&id).execute(conn)).unwrap();
        match keep {
            None => drop(tx),
            Some(false) => tx.rollback().await.unwrap(),
            Some(true) => tx.commit().await.unwrap(),
        }
    }
    assert_eq!(all(&opened).await, [("Some(true)".to_owned(), 1, true)]);
}

async fn a_read_transaction_sees_one_state(db: TestDb) {
    let opened = db.source("room").open(&first()).await.unwrap();
    put(&opened, "a", 1).await.unwrap();
    let mut tx = opened.begin_read().await.unwrap();
    for _ in 0..2 {
        let count: i64 = crate::fetch!(tx.conn(), conn => {
            sqlx::query_scalar("SELECT COUNT(*) FROM things").fetch_one(conn)
        })
        .unwrap();
        assert_eq!(count, 1);
        put(&opened, "b", 2).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(all(&opened).await.len(), 2);
}

async fn migrations_are_applied_once_and_in_order(db: TestDb) {
    let source = db.source("room");
    assert_eq!(source.migrate(&first()).await.unwrap(), [1]);
    put(&source.open(&first()).await.unwrap(), "kept", 1).await.unwrap();
    assert_eq!(source.migrate(&second()).await.unwrap(), [20_261_121_120_000]);
    assert_eq!(source.migrate(&second()).await.unwrap(), [0_i64; 0]);
    assert_eq!(all(&source.open(&second()).await.unwrap()).await.len(), 1);
}

async fn a_migration_that_was_changed_is_refused(db: TestDb) {
    let source = db.source("room");
    source.migrate(&first()).await.unwrap();
    let changed = migrations(&[(1, "CREATE TABLE others (id TEXT PRIMARY KEY)")]);
    let refusals = [source.migrate(&changed).await.err(), source.open(&changed).await.err()];
    for refusal in refusals {
        assert!(matches!(refusal, Some(Error::Migrate(MigrateError::VersionMismatch(1)))), "{refusal:?}");
    }
}

async fn a_newer_schema_will_do_where_others_may_have_made_it(db: TestDb) {
    let source = db.source("room");
    source.migrate(&second()).await.unwrap();
    let opened = source.open(&first()).await;
    if db.is_postgres() {
        assert_eq!(put(&opened.unwrap(), "a", 1).await.unwrap(), 1);
    } else {
        let refusal = opened.err();
        assert!(matches!(refusal, Some(Error::Migrate(MigrateError::VersionMissing(_)))), "{refusal:?}");
    }
}

async fn a_migration_that_fails_leaves_nothing_and_ends_the_start(db: TestDb) {
    let source = db.source("room");
    let bad = migrations(&[(1, "CREATE TABLE things (id TEXT PRIMARY KEY); CREATE TABLE things (x BIGINT)")]);
    assert!(matches!(source.open(&bad).await, Err(Error::Migrate(_))));
    assert_eq!(source.migrate(&first()).await.unwrap(), [1]);
}

async fn a_start_without_migrating_waits_until_somebody_else_did(db: TestDb) {
    let config = Config { migrate_on_start: false, ..db.config() };
    let ready = Readiness::default();
    let file = db.dir().join("room.db");
    let source = Source::new(&config, "room", file, 1).unwrap().reported(&ready, PARTS);
    let task = tokio::spawn({
        let source = source.clone();
        async move { source.open(&second()).await.map_err(|e| e.to_string()) }
    });
    until(async || ready.missing() == ["room: migrations"]).await;
    source.migrate(&first()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ready.missing(), ["room: migrations"], "one of two is not enough");
    source.migrate(&second()).await.unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
    assert_eq!(ready.missing(), [""; 0]);
    assert_eq!(put(&opened, "a", 1).await.unwrap(), 1);
}

#[tokio::test]
async fn many_processes_may_start_at_once() {
    let db = TestDb::postgres().await;
    let starts: Vec<_> = (0..8)
        .map(|n| {
            let source = db.source(if n % 2 == 0 { "room" } else { "hall" });
            tokio::spawn(async move { source.migrate(&second()).await.unwrap() })
        })
        .collect();
    let mut applied = Vec::new();
    for start in starts {
        applied.extend(start.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied, [1, 1, 20_261_121_120_000, 20_261_121_120_000], "once for each schema");
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_away() {
    let db = TestDb::postgres().await;
    db.cut_off().await;
    let ready = Readiness::default();
    let source = db.source("room").reported(&ready, PARTS);
    let task = tokio::spawn(async move { source.open(&first()).await.map_err(|e| e.to_string()) });
    until(async || ready.missing() == ["room: database"]).await;
    db.let_in().await;
    let opened = tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
    assert_eq!(ready.missing(), [""; 0]);
    assert_eq!(put(&opened, "a", 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_vanishes_before_it_is_read_is_waited_for() {
    let db = TestDb::postgres().await;
    let ready = Readiness::default();
    let source = db.source("room").reported(&ready, PARTS);
    let opened = source.open(&first()).await.unwrap();
    put(&opened, "a", 1).await.unwrap();
    db.cut_off().await;
    let count = async move || {
        let sql = "SELECT COUNT(*) FROM things";
        Ok(crate::fetch!(opened.read(), pool => sqlx::query_scalar::<_, i64>(sql).fetch_one(pool))?)
    };
    let task = tokio::spawn(async move { source.read(count, |e| Some(e)).await.map_err(|e| e.to_string()) });
    until(async || ready.missing() == ["room: database"]).await;
    db.let_in().await;
    let count = tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
    assert_eq!((count, ready.missing().len()), (1, 0));
}

#[tokio::test]
async fn what_no_waiting_mends_ends_the_start() {
    let db = TestDb::postgres().await;
    let source = db.source("room");
    let opened = source.open(&first()).await.unwrap();
    let tries = std::cell::Cell::new(0);
    let nonsense = async || {
        tries.set(tries.get() + 1);
        let sql = "DELETE FROM nothing";
        Ok(crate::execute!(opened.write(), pool => sqlx::query(sql).execute(pool))?)
    };
    let failed = source.read(nonsense, |e| Some(e)).await;
    assert!(matches!(failed, Err(Error::Sql(_))), "{failed:?}");
    assert_eq!(tries.get(), 1);
    let other = source.read(async || Err::<(), _>("not the database's"), |_| None).await;
    assert_eq!(other, Err("not the database's"));
}

#[tokio::test]
async fn a_server_that_went_away_is_found_again() {
    let db = TestDb::postgres().await;
    let opened = db.source("room").open(&first()).await.unwrap();
    put(&opened, "a", 1).await.unwrap();
    db.cut_off().await;
    assert!(put(&opened, "b", 1).await.is_err());
    db.let_in().await;
    assert_eq!(put(&opened, "b", 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_role_that_may_not_make_schemas_uses_its_own() {
    let db = TestDb::postgres().await;
    db.run("public", "CREATE ROLE room_keeper LOGIN").await;
    db.run("public", "CREATE SCHEMA room AUTHORIZATION room_keeper").await;
    let url =
        secrecy::ExposeSecret::expose_secret(&db.config().url.unwrap()).replace("postgres@", "room_keeper@");
    let config = Config { urls: [("room".to_owned(), url.into())].into(), ..Config::default() };
    let source = Source::new(&config, "room", "unused".into(), 1).unwrap();
    assert_eq!(put(&source.open(&first()).await.unwrap(), "a", 1).await.unwrap(), 1);
    let source = Source::new(
        &Config { urls: [("hall".to_owned(), config.urls["room"].clone())].into(), ..config },
        "hall",
        "unused".into(),
        1,
    )
    .unwrap();
    assert!(source.open(&first()).await.is_err(), "the role owns another schema only");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let db = TestDb::postgres().await;
    let opened = db.source("room").open(&first()).await.unwrap();
    let began = std::time::Instant::now();
    let slept = crate::execute!(opened.write(), pool => sqlx::query("SELECT pg_sleep(60)").execute(pool));
    // Only PostgreSQL has it, so that the text runs here alone.
    assert!(slept.is_err() && began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_bad_value_is_named_and_no_url_is_shown() {
    let bad = |url: &str| SecretString::from(url);
    let config = Config {
        url: Some(bad("mysql://u:planted@h/d")),
        urls: [("auth".to_owned(), bad("planted")), ("nobody".to_owned(), bad("postgres://u:planted@h/d"))]
            .into(),
        max_connections: 1,
        migrate_on_start: true,
    };
    let problems = config.problems(&["auth", "usage"]);
    let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["url", "urls.auth", "urls.nobody", "max_connections"]);
    let shown = format!("{problems:?} {config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("planted"), "{shown}");
    let source = Source::new(
        &Config { url: Some(bad("postgres://u:planted@h/d")), ..Config::default() },
        "auth",
        "unused".into(),
        1,
    );
    assert!(!format!("{source:?}").contains("planted"), "{source:?}");
    assert_eq!(Config::default().problems(&[]), []);
    assert!(config.is_set() && !Config::default().is_set());
}

#[test]
fn connections_are_shared_evenly_and_nobody_goes_without() {
    let config = Config { max_connections: 10, ..Config::default() };
    assert_eq!([0, 1, 2, 4, 40].map(|services| config.share(services)), [10, 10, 5, 2, 2]);
}
