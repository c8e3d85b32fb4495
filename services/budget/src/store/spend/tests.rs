//! Booking in a real database.

use std::collections::HashMap;

use headgate_kit::db::testing::TestDb;
use headgate_kit::{execute, fetch, on_both_engines};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::migrate::Migrator;
use uuid::{Builder, Uuid};

use super::*;

on_both_engines!(
    of_a_large_batch_only_what_is_new_counts,
    a_batch_is_booked_whole_or_not_at_all,
    every_scope_gets_its_own_sum,
    a_lease_is_forgotten_only_long_after_it_was_counted,
    what_an_older_version_counted_stays_counted,
    booking_is_exact_whatever_is_known,
    replicas_that_book_the_same_leases_at_once_count_each_once,
);

const WINDOW: i64 = 1_793_491_200_000;
const NOW: i64 = WINDOW + 86_400_000;
const DAY: i64 = 86_400_000;

fn end_of(id: Uuid, cost: i64, abandoned: bool) -> Ended {
    Ended {
        id: Some(id),
        lease_id: id.to_string().into(),
        tenant_id: "tenant".into(),
        key_id: "key".into(),
        tokens: 0,
        cost,
        abandoned,
        started_at: NOW,
    }
}

fn settled(n: u128, cost: i64) -> Ended {
    end_of(Uuid::from_u128(n), cost, false)
}

fn abandoned(n: u128, cost: i64) -> Ended {
    end_of(Uuid::from_u128(n), cost, true)
}

async fn open(db: &TestDb) -> Store {
    Store::open(&db.source("budget")).await.unwrap()
}

async fn try_book(store: &Store, ends: &[Ended], now_ms: i64) -> Result<Vec<Option<Change>>, sqlx::Error> {
    let rows: Vec<_> = ends.iter().map(|ended| LeaseSpend { ended, window_start: WINDOW }).collect();
    book(&store.writer().await, &rows, now_ms).await
}

/// By how much each end changed the spend.
async fn booked(store: &Store, ends: &[Ended]) -> Vec<Option<i64>> {
    let changes = try_book(store, ends, NOW).await.unwrap();
    changes.into_iter().map(|change| change.map(|(delta, _)| delta)).collect()
}

/// What the window has cost, as key and tenant agree.
async fn spent(store: &Store) -> i64 {
    let rows = store.load_spend(WINDOW).await.unwrap();
    let of = |scope: Scope| rows.iter().find(|(_, s, _)| *s == scope).map_or(0, |(.., spent)| *spent);
    let (key, tenant) = (of(Scope::Key("key".into())), of(Scope::Tenant("tenant".into())));
    assert_eq!(key, tenant);
    key
}

async fn of_a_large_batch_only_what_is_new_counts(db: TestDb) {
    let store = open(&db).await;
    let before = [settled(7, 3), settled(99, 3), settled(220, 3), abandoned(8, 3), abandoned(115, 30)];
    assert_eq!(booked(&store, &before).await, [Some(3), Some(3), Some(3), Some(3), Some(30)]);
    let batch: Vec<Ended> =
        (0..=231).map(|n| if n % 50 == 7 { abandoned(n, 10) } else { settled(n, 10) }).collect();
    let mut changes = vec![Some(10); 232];
    (changes[7], changes[99], changes[220]) = (None, None, None);
    (changes[8], changes[115]) = (Some(7), Some(-20));
    assert_eq!(booked(&store, &batch).await, changes);
    assert_eq!(spent(&store).await, 42 + 227 * 10 + 7 - 20);
    let again: Vec<Ended> = (0..=231).map(|n| settled(n, 11)).collect();
    let mut changes = vec![None; 232];
    // Those that were abandoned in the batch; the 7th was settled before it.
    (changes[57], changes[107], changes[157], changes[207]) = (Some(1), Some(1), Some(1), Some(1));
    assert_eq!(booked(&store, &again).await, changes);
    assert_eq!(booked(&store, &again).await, vec![None; 232]);
    assert_eq!(spent(&store).await, 42 + 227 * 10 + 7 - 20 + 4);
}

async fn a_batch_is_booked_whole_or_not_at_all(db: TestDb) {
    let store = open(&db).await;
    booked(&store, &[abandoned(0, 5)]).await;
    let (fresh, mixed): (Vec<_>, Vec<_>) =
        ((1..124).map(|n| settled(n, 1)).collect(), (0..200).map(|n| settled(n, 1)).collect());
    db.run("budget", "ALTER TABLE spend RENAME TO hidden").await;
    assert!(try_book(&store, &fresh, NOW).await.is_err());
    assert!(try_book(&store, &mixed, NOW).await.is_err());
    db.run("budget", "ALTER TABLE hidden RENAME TO spend").await;
    assert_eq!(booked(&store, &fresh).await, vec![Some(1); 123]);
    assert_eq!(booked(&store, &mixed).await[..2], [Some(-4), None]);
    assert_eq!(spent(&store).await, 200);
}

async fn every_scope_gets_its_own_sum(db: TestDb) {
    let store = open(&db).await;
    let of = |n: u128| {
        let (key_id, tenant_id) = (format!("key{}", n % 30), format!("tenant{}", n % 3));
        Ended { key_id, tenant_id, ..settled(n, 1) }
    };
    let batch: Vec<Ended> = (0..90).map(of).collect();
    let mut rows: Vec<_> = batch.iter().map(|ended| LeaseSpend { ended, window_start: WINDOW }).collect();
    rows[0].window_start = WINDOW - 1;
    book(&store.writer().await, &rows, NOW).await.unwrap();
    let mut sums = store.load_spend(WINDOW).await.unwrap();
    sums.retain(|(tenant, scope, spent)| match scope {
        Scope::Tenant(id) => id != tenant || *spent != if id == "tenant0" { 29 } else { 30 },
        Scope::Key(id) => *spent != if id == "key0" { 2 } else { 3 },
    });
    assert_eq!(sums, []);
    assert_eq!(store.load_spend(WINDOW).await.unwrap().len(), 33);
    assert_eq!(store.load_spend(WINDOW - 1).await.unwrap().len(), 2);
}

async fn a_lease_is_forgotten_only_long_after_it_was_counted(db: TestDb) {
    let store = open(&db).await;
    let from = |at: i64, n: u8| {
        let id = Builder::from_unix_timestamp_millis(at.unsigned_abs(), &[n; 10]).into_uuid();
        end_of(id, 1, false)
    };
    let old: Vec<Ended> = (0..3).map(|n| from(NOW - 36 * DAY, n)).collect();
    let late = [from(NOW - 36 * DAY, 200)];
    let recent = [from(NOW - 34 * DAY, 0)];
    try_book(&store, &old, NOW - 36 * DAY).await.unwrap();
    try_book(&store, &late, NOW - 34 * DAY).await.unwrap();
    try_book(&store, &recent, NOW - 34 * DAY).await.unwrap();
    store.prune_leases(NOW - 2 * DAY).await.unwrap();
    assert_eq!(booked(&store, &old).await, [None; 3]);
    store.prune_leases(NOW).await.unwrap();
    assert_eq!(booked(&store, &late).await, [None]);
    assert_eq!(booked(&store, &recent).await, [None]);
    assert_eq!(booked(&store, &old).await, [Some(1); 3]);
}

async fn what_an_older_version_counted_stays_counted(db: TestDb) {
    let first = Migrator::with_migrations(crate::MIGRATIONS.iter().take(1).cloned().collect());
    let opened = db.source("budget").open(&first).await.unwrap();
    for (n, abandoned) in [(1, false), (2, true)] {
        execute!(opened.write(), pool => {
            sqlx::query("INSERT INTO lease_spend VALUES ($1, 'key', 'tenant', 5, $2, $3, $3)")
                .bind(Uuid::from_u128(n).to_string())
                .bind(abandoned)
                .bind(WINDOW)
                .execute(pool)
        })
        .unwrap();
    }
    opened.close().await;
    let store = open(&db).await;
    assert_eq!(
        booked(&store, &[settled(1, 9), settled(2, 9), settled(3, 9)]).await,
        [None, Some(4), Some(9)]
    );
}

/// Ends of one batch: the lease, its cost, and whether it was abandoned.
fn batch() -> impl Strategy<Value = HashMap<u128, (i64, bool)>> {
    prop::collection::hash_map(0u128..160, (0i64..100, any::<bool>()), 1..140)
}

/// Whatever comes in whatever batches: each change is what it should be, and all of them add up.
async fn booking_is_exact_whatever_is_known(db: TestDb) {
    let store = open(&db).await;
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    for _ in 0..24 {
        let batches = prop::collection::vec(batch(), 1..6).new_tree(&mut runner).unwrap().current();
        for table in ["spend", "lease_spend"] {
            db.run("budget", &format!("DELETE FROM {table}")).await;
        }
        let mut counted: HashMap<u128, (i64, bool)> = HashMap::new();
        for batch in &batches {
            let batch: Vec<(u128, (i64, bool))> = batch.iter().map(|(n, end)| (*n, *end)).collect();
            let ends =
                batch.iter().map(|(n, (cost, abandoned))| end_of(Uuid::from_u128(*n), *cost, *abandoned));
            let changes = booked(&store, &ends.collect::<Vec<_>>()).await;
            for ((n, (cost, abandoned)), change) in batch.into_iter().zip(changes) {
                let expected = match counted.get(&n) {
                    None => Some(cost),
                    Some((before, true)) if !abandoned => Some(cost - before),
                    Some(_) => None,
                };
                assert_eq!(change, expected, "{batches:?}");
                if expected.is_some() {
                    counted.insert(n, (cost, abandoned));
                }
            }
            let sum = counted.values().map(|(cost, _)| cost).sum::<i64>();
            assert_eq!(spent(&store).await, sum, "{batches:?}");
        }
    }
}

/// Each lease ends in a record of every replica, in orders of their own, some abandoned; the ends that count differ.
async fn replicas_that_book_the_same_leases_at_once_count_each_once(db: TestDb) {
    let mut replicas = Vec::new();
    let shared = open(&db).await;
    for replica in 0..4_u128 {
        // A file has one process.
        let store = if db.is_postgres() { open(&db).await } else { shared.clone() };
        replicas.push(tokio::spawn(async move {
            let mut booked_here = 0;
            for round in 0..10_u128 {
                let first = round * 30;
                let lost = (first..first + 60).map(|n| abandoned(n, 7));
                let done = (first..first + 60).filter(|n| n % 3 == 0).map(|n| settled(n, 10));
                let ends: Vec<Ended> =
                    if (replica + round) % 2 == 0 { lost.collect() } else { done.collect() };
                let now_ms = NOW + i64::try_from(replica).unwrap();
                let changes = try_book(&store, &ends, now_ms).await.unwrap();
                booked_here += changes.into_iter().flatten().map(|(delta, _)| delta).sum::<i64>();
            }
            booked_here
        }));
    }
    let mut told = 0;
    for replica in replicas {
        told += replica.await.unwrap();
    }
    let leases: i64 = fetch!(shared.db.read(), pool => {
        sqlx::query_scalar("SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM lease_spend").fetch_one(pool)
    })
    .unwrap();
    // 330 leases, every third settled for 10, the rest abandoned for 7.
    assert_eq!(leases, 110 * 10 + 220 * 7);
    assert_eq!(spent(&shared).await, leases);
    assert_eq!(told, leases, "what the replicas were told adds up to it");
}
