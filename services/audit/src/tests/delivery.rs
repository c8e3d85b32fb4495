//! The outbox of a real database.

use std::time::Duration;

use headgate_kit::db::Db;
use headgate_kit::db::testing::TestDb;
use headgate_kit::on_both_engines;
use headgate_kit::tasks::Tasks;

use super::*;

on_both_engines!(
    what_was_written_is_told_once_and_forgotten_whoever_was_away,
    what_is_large_is_told_in_parts,
    what_is_rolled_back_is_not_told,
    what_one_process_leaves_the_next_one_tells,
);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/catalog");

async fn open(db: &TestDb) -> Db {
    db.source("catalog").open(&MIGRATIONS).await.unwrap()
}

async fn put(db: &Db, entries: &[Entry]) {
    let mut tx = db.begin().await.unwrap();
    outbox::write(&mut tx, entries).await.unwrap();
    tx.commit().await.unwrap();
}

async fn left(db: &Db) -> i64 {
    headgate_kit::fetch!(db.read(), pool => {
        sqlx::query_scalar("SELECT COUNT(*) FROM audit_outbox").fetch_one(pool)
    })
    .unwrap()
}

/// Waits until nothing is left.
async fn delivered(db: &Db) {
    tokio::time::timeout(Duration::from_secs(60), async {
        while left(db).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is told");
}

async fn what_was_written_is_told_once_and_forgotten_whoever_was_away(test: TestDb) {
    let (db, log, tasks) = (open(&test).await, Log::default(), Tasks::new());
    (log.0.lock().away, log.0.lock().silent) = (2, 2);
    let entries: Vec<_> = (0..250).map(|n| made(NOW_MS + n, "x")).collect();
    put(&db, &entries).await;
    outbox::deliver(db.clone(), log.conn(), &tasks);
    delivered(&db).await;
    let written: Vec<_> = entries.iter().map(|entry| entry.event().clone()).collect();
    assert_eq!(log.0.lock().events, written, "in order, once, as they were");
    assert!(log.0.lock().calls >= 3 + 4, "two were refused, and two not acknowledged");
    put(&db, &[made(NOW_MS + 999, "later")]).await;
    delivered(&db).await;
    assert_eq!(log.0.lock().events.len(), 251);
    assert!(tasks.shutdown(Duration::from_secs(60)).await, "it ends when asked to");
}

async fn what_is_large_is_told_in_parts(test: TestDb) {
    let (db, log, tasks) = (open(&test).await, Log::default(), Tasks::new());
    let large = |letter: &str| Some(Shown::facts([("name", letter.repeat(60_000).into())]));
    let entry = |n| {
        let thing = Thing::of("acme", "thing", "x");
        Entry::of_change(&ada(), NOW_MS + n, thing, large("a"), large("b")).unwrap()
    };
    let entries: Vec<_> = (0..50).map(entry).collect();
    put(&db, &entries).await;
    outbox::deliver(db.clone(), log.conn(), &tasks);
    delivered(&db).await;
    assert_eq!(log.ids(), entries.iter().map(|entry| entry.event().id.clone()).collect::<Vec<_>>());
    tasks.shutdown(Duration::from_secs(60)).await;
}

async fn what_is_rolled_back_is_not_told(test: TestDb) {
    let (db, log, tasks) = (open(&test).await, Log::default(), Tasks::new());
    let mut tx = db.begin().await.unwrap();
    outbox::write(&mut tx, &[made(NOW_MS, "no")]).await.unwrap();
    tx.rollback().await.unwrap();
    let told = made(NOW_MS + 1, "yes");
    put(&db, std::slice::from_ref(&told)).await;
    outbox::deliver(db.clone(), log.conn(), &tasks);
    delivered(&db).await;
    assert_eq!(log.ids(), [told.event().id.clone()]);
    tasks.shutdown(Duration::from_secs(60)).await;
}

async fn what_one_process_leaves_the_next_one_tells(test: TestDb) {
    let (db, log) = (open(&test).await, Log::default());
    log.0.lock().away = usize::MAX;
    let told = made(NOW_MS, "x");
    put(&db, std::slice::from_ref(&told)).await;
    let tasks = Tasks::new();
    outbox::deliver(db.clone(), log.conn(), &tasks);
    tokio::time::timeout(Duration::from_secs(60), async {
        while log.0.lock().calls == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is tried");
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    assert_eq!(left(&db).await, 1);
    log.0.lock().away = 0;
    let tasks = Tasks::new();
    outbox::deliver(db.clone(), log.conn(), &tasks);
    delivered(&db).await;
    assert_eq!(log.ids(), [told.event().id.clone()]);
    tasks.shutdown(Duration::from_secs(60)).await;
}
