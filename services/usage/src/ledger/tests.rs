use std::collections::HashSet;

use headgate_kit::db::Engine;
use headgate_kit::db::testing::TestDb;
use headgate_kit::{fetch, on_both_engines};
use headgate_proto::common::v1::ErrorReason;
use headgate_proto::record::v1::{AttemptRecord, Outcome};
use prost::Message;
use sqlx::AssertSqlSafe;

use super::*;

on_both_engines!(
    every_field_comes_back,
    every_batch_size_lands_whole_and_once,
    only_an_abandoned_row_gives_way_and_only_to_another_outcome,
    what_cannot_be_understood_is_set_aside_and_the_rest_lands,
    a_failed_batch_leaves_nothing_behind_and_can_be_tried_again,
    pages_hold_every_row_once_though_new_ones_arrive,
    filters_restrict_rows_and_sums_alike,
    rows_outlive_a_restart,
    replicas_that_store_the_same_records_at_once_make_one_row_of_each,
    listing_walks_an_index_instead_of_sorting_the_table,
);

async fn open(db: &TestDb) -> Ledger {
    let db = db.source("usage").open(&crate::MIGRATIONS).await.unwrap();
    Ledger::new(db, Clock::manual(1_700_000_000_000_000))
}

/// Every field set, so that a swapped or forgotten column shows.
fn record(number: u32) -> UsageRecord {
    UsageRecord {
        lease_id: format!("lease-{number:05}"),
        request_id: format!("req-{number}"),
        tenant_id: "t1".into(),
        key_id: "k1".into(),
        model: "m1".into(),
        operation: 1,
        provider_id: "p1".into(),
        target_id: "g1".into(),
        upstream_model: "up".into(),
        prompt_tokens: 11,
        completion_tokens: 12,
        cached_tokens: 13,
        reasoning_tokens: 14,
        estimated: true,
        cost_nano_usd: 15,
        overrun_nano_usd: 16,
        price_revision: 17,
        outcome: Outcome::Succeeded as i32,
        error_reason: ErrorReason::UpstreamFailed as i32,
        status_code: 502,
        streamed: true,
        started_at_unix_ms: 1_700_000_000_000 + i64::from(number),
        latency_ms: 18,
        ttft_ms: Some(19),
        attempts: vec![
            AttemptRecord { provider_id: "p0".into(), upstream_status: 500, ..Default::default() },
            AttemptRecord { provider_id: "p1".into(), latency_ms: 7, ..Default::default() },
        ],
        total_tokens: 11 + 12,
    }
}

fn encoded(records: &[UsageRecord]) -> Vec<Bytes> {
    records.iter().map(|r| r.encode_to_vec().into()).collect()
}

async fn empty(ledger: &Ledger) {
    execute!(ledger.db.write(), pool => sqlx::query("DELETE FROM usage_records").execute(pool)).unwrap();
}

async fn all(ledger: &Ledger) -> Vec<UsageRecord> {
    ledger.page(&Filter::default(), None, 10_000).await.unwrap().records
}

async fn every_field_comes_back(db: TestDb) {
    let ledger = open(&db).await;
    let plain = UsageRecord { lease_id: "plain".into(), ..Default::default() };
    ledger.apply(&encoded(&[record(1), plain.clone()])).await.unwrap();
    assert_eq!(all(&ledger).await, [record(1), plain]);
}

async fn every_batch_size_lands_whole_and_once(db: TestDb) {
    let ledger = open(&db).await;
    for count in [1, 9, 10, 99, 100, 237] {
        empty(&ledger).await;
        let records: Vec<_> = (0..count).map(record).collect();
        for _ in 0..2 {
            ledger.apply(&encoded(&records)).await.unwrap();
        }
        let found = all(&ledger).await;
        assert!(found.iter().rev().eq(records.iter()), "{count} records");
    }
}

async fn only_an_abandoned_row_gives_way_and_only_to_another_outcome(db: TestDb) {
    let with = |outcome: Outcome, cost| UsageRecord {
        outcome: outcome as i32,
        cost_nano_usd: cost,
        attempts: vec![AttemptRecord { target_id: format!("t{cost}"), ..Default::default() }],
        ..record(1)
    };
    let cases = [
        ([with(Outcome::Abandoned, 1), with(Outcome::Succeeded, 2)], 2),
        ([with(Outcome::Abandoned, 1), with(Outcome::Failed, 2)], 2),
        ([with(Outcome::Succeeded, 1), with(Outcome::Abandoned, 2)], 1),
        ([with(Outcome::Abandoned, 1), with(Outcome::Abandoned, 2)], 1),
        ([with(Outcome::Succeeded, 1), with(Outcome::Cancelled, 2)], 1),
    ];
    let ledger = open(&db).await;
    for (records, kept) in cases {
        let expected = records.iter().find(|r| r.cost_nano_usd == kept).cloned().unwrap();
        for at_once in [1, 2] {
            empty(&ledger).await;
            for batch in records.chunks(at_once) {
                ledger.apply(&encoded(batch)).await.unwrap();
            }
            assert_eq!(all(&ledger).await, std::slice::from_ref(&expected));
        }
    }
}

async fn what_cannot_be_understood_is_set_aside_and_the_rest_lands(db: TestDb) {
    let ledger = open(&db).await;
    let garbage = Bytes::from_static(b"\x0a\xff\xff");
    let nameless = UsageRecord { lease_id: String::new(), ..record(2) };
    let endless = UsageRecord { price_revision: u64::MAX, ..record(3) };
    let with_nul = UsageRecord { request_id: "a\0b".into(), ..record(5) };
    let mut batch = encoded(&[record(1), nameless, endless, record(4), with_nul]);
    batch.insert(1, garbage.clone());
    let applied = ledger.apply(&batch).await.unwrap();
    assert_eq!(applied, Applied { written: vec![(Outcome::Succeeded as i32, 2)], rejected: 4 });
    assert_eq!(all(&ledger).await, [record(4), record(1)]);
    let kept: Vec<(Vec<u8>, i64)> = fetch!(ledger.db.read(), pool => {
        sqlx::query_as("SELECT record, rejected_at FROM rejected_records WHERE reason LIKE '%rotobuf%'")
            .fetch_all(pool)
    })
    .unwrap();
    assert_eq!(kept, [(garbage.to_vec(), 1_700_000_000_000)]);
}

async fn a_failed_batch_leaves_nothing_behind_and_can_be_tried_again(db: TestDb) {
    let ledger = open(&db).await;
    let batch = encoded(&(0..150).map(record).chain([UsageRecord::default()]).collect::<Vec<_>>());
    db.run("usage", "ALTER TABLE rejected_records RENAME TO away").await;
    ledger.apply(&batch).await.unwrap_err();
    assert_eq!(all(&ledger).await, []);
    db.run("usage", "ALTER TABLE away RENAME TO rejected_records").await;
    ledger.apply(&batch).await.unwrap();
    assert_eq!(all(&ledger).await.len(), 150);
}

async fn pages_hold_every_row_once_though_new_ones_arrive(db: TestDb) {
    let ledger = open(&db).await;
    // Eight rows a millisecond, so that pages end between rows of the same time.
    let old: Vec<_> =
        (0..50).map(|n| UsageRecord { started_at_unix_ms: i64::from(n) / 8, ..record(n) }).collect();
    ledger.apply(&encoded(&old)).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    for round in 0.. {
        let page = ledger.page(&Filter::default(), after.as_ref(), 7).await.unwrap();
        seen.extend(page.records.into_iter().map(|r| (r.started_at_unix_ms, r.lease_id)));
        ledger.apply(&encoded(&[record(1000 + round)])).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first");
    let ids: HashSet<_> = seen.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, old.into_iter().map(|r| r.lease_id).collect());
}

async fn filters_restrict_rows_and_sums_alike(db: TestDb) {
    let ledger = open(&db).await;
    let mut records: Vec<_> = (0..4).map(record).collect();
    records[1].tenant_id = "t2".into();
    records[2].key_id = "k2".into();
    records[2].outcome = Outcome::Cancelled as i32;
    records[3].model = "m2".into();
    records[3].estimated = false;
    ledger.apply(&encoded(&records)).await.unwrap();
    let at = |n: i64| Some(1_700_000_000_000 + n);
    let cases: [(Filter, &[u32]); 8] = [
        (Filter::default(), &[3, 2, 1, 0]),
        (Filter { tenant_id: "t2".into(), ..Filter::default() }, &[1]),
        (Filter { key_id: "k2".into(), ..Filter::default() }, &[2]),
        (Filter { model: "m2".into(), tenant_id: "t1".into(), ..Filter::default() }, &[3]),
        (Filter { request_id: "req-2".into(), ..Filter::default() }, &[2]),
        (Filter { from_ms: at(1), until_ms: at(3), ..Filter::default() }, &[2, 1]),
        (Filter { tenant_id: "t1".into(), until_ms: at(2), ..Filter::default() }, &[0]),
        (Filter { tenant_id: "nobody".into(), ..Filter::default() }, &[]),
    ];
    for (filter, expected) in cases {
        let rows = ledger.page(&filter, None, 100).await.unwrap().records;
        let ids: Vec<_> = rows.iter().map(|r| r.lease_id.clone()).collect();
        assert_eq!(ids, expected.iter().map(|n| record(*n).lease_id).collect::<Vec<_>>(), "{filter:?}");
        let rows = expected.len() as i64;
        let failed = i64::from(expected.contains(&2));
        let exact = i64::from(expected.contains(&3));
        let sums = Summary {
            requests: rows,
            failed_requests: failed,
            estimated_requests: rows - exact,
            prompt_tokens: 11 * rows,
            completion_tokens: 12 * rows,
            total_tokens: 23 * rows,
            cached_tokens: 13 * rows,
            reasoning_tokens: 14 * rows,
            cost_nano_usd: 15 * rows,
        };
        assert_eq!(ledger.summary(&filter).await.unwrap(), sums, "{filter:?}");
    }
}

async fn rows_outlive_a_restart(db: TestDb) {
    let ledger = open(&db).await;
    ledger.apply(&encoded(&[record(1)])).await.unwrap();
    ledger.db.close().await;
    let ledger = open(&db).await;
    ledger.apply(&encoded(&[record(1), record(2)])).await.unwrap();
    assert_eq!(all(&ledger).await, [record(2), record(1)]);
}

async fn replicas_that_store_the_same_records_at_once_make_one_row_of_each(db: TestDb) {
    let mut last = record(0);
    last.outcome = Outcome::Abandoned as i32;
    let mut stores = Vec::new();
    let shared = open(&db).await;
    for replica in 0..4_u32 {
        // A file has one process.
        let ledger = if db.is_postgres() { open(&db).await } else { shared.clone() };
        // Each has every record, in an order of its own, and one of them knows how the first ended.
        let mut records: Vec<_> = (1..150).map(record).chain([last.clone()]).collect();
        records.rotate_left(usize::try_from(replica).unwrap() * 37);
        if replica == 2 {
            records.push(record(0));
        }
        stores.push(tokio::spawn(async move {
            for batch in records.chunks(60) {
                ledger.apply(&encoded(batch)).await.unwrap();
            }
        }));
    }
    for store in stores {
        store.await.unwrap();
    }
    let found = all(&shared).await;
    assert!(found.iter().rev().eq((0..150).map(record).collect::<Vec<_>>().iter()));
}

async fn listing_walks_an_index_instead_of_sorting_the_table(db: TestDb) {
    let ledger = open(&db).await;
    for (condition, index) in [
        ("TRUE", "usage_records_started_at"),
        ("tenant_id = 't' AND started_at <= 5", "usage_records_tenant_started_at"),
    ] {
        let sql = format!(
            "SELECT * FROM usage_records WHERE {condition} ORDER BY started_at DESC, lease_id DESC LIMIT 10"
        );
        let plan = plan(&ledger, &sql).await;
        assert!(plan.contains(&format!("USING INDEX {index}")), "{plan:?}");
    }
}

/// How the engine would find the rows.
async fn plan(ledger: &Ledger, sql: &str) -> String {
    match ledger.db.read() {
        Engine::Postgres(pool) => {
            let mut tx = pool.begin().await.unwrap();
            // A table this small is read whole otherwise.
            sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *tx).await.unwrap();
            let sql = AssertSqlSafe(format!("EXPLAIN {sql}"));
            let lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *tx).await.unwrap();
            lines.join("\n").replace(" Backward using ", " USING INDEX ").replace(" using ", " USING INDEX ")
        }
        Engine::Sqlite(pool) => {
            let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let lines: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
            lines[0].3.clone()
        }
    }
}
