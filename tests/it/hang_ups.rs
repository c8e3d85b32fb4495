//! Clients that hang up at any moment: nothing is held for them afterwards, and only what ran is recorded.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headgate_proto::budget::v1::GetBudgetRequest;
use headgate_proto::budget::v1::budget_service_client::BudgetServiceClient;
use headgate_proto::record::v1::Outcome;
use headgate_proto::usage::v1::UsageFilter;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::servers::redis::Redis;
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::budget::{USD, cent_model, tenant_scope};

const SOON: Duration = Duration::from_secs(40);
/// How long a lease lives, in milliseconds: longer than the test.
const TTL_MS: u32 = 3_600_000;

fn dollar(upstream: &Upstream) -> Setup {
    serve(upstream);
    cent_model(upstream)
        .budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}))
        .section("budget", &json!({"lease_ttl_ms": TTL_MS}))
}

/// Has the upstream answer for a cent each.
fn serve(upstream: &Upstream) {
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
}

fn client(headgate: &Headgate, id: &str) -> Client {
    headgate.anonymous().with_key(KEY).with_header("x-request-id", id)
}

/// A request for a cent at most that says whose it is.
fn asks(id: &str) -> Value {
    prompts::chat_with("m", &json!({"max_tokens": 100, "messages": [{"role": "user", "content": id}]}))
}

fn id_of(body: &Value) -> String {
    body["messages"][0]["content"].as_str().expect("a prompt of ours").to_owned()
}

/// Asserts that nothing is left of requests whose clients hung up, but rows of what was sent, and what they cost: all
/// of the budget can be spent. What was decided late may come back at any time meanwhile.
async fn nothing_is_left(headgate: &Headgate, upstream: &Upstream) {
    serve(upstream);
    let asked = AtomicUsize::new(0);
    eventually(SOON * 3, "all of the budget to be spent", || async {
        let id = format!("after-{}", asked.fetch_add(1, Ordering::Relaxed));
        let refused = client(headgate, &id).chat(&asks(&id)).await.status == 403;
        (refused && stands(headgate).await? == (USD, 0)).then_some(())
    })
    .await;
    let rows = eventually(SOON, "a row for every request that was sent", || async {
        let rows = headgate.whole_ledger(UsageFilter::default()).await;
        let cost: i64 = rows.iter().map(|row| row.cost_nano_usd).sum();
        let found: HashSet<_> = rows.iter().map(|row| row.request_id.clone()).collect();
        assert_eq!(found.len(), rows.len(), "one row each");
        (cost == USD && sent(upstream).is_subset(&found)).then_some(rows)
    })
    .await;
    let sent = sent(upstream);
    for row in &rows {
        // Whether one that was on its way got there, the upstream alone can tell.
        let was_sent = sent.contains(&row.request_id) || row.outcome() == Outcome::Cancelled;
        assert!(was_sent && row.outcome() != Outcome::Abandoned, "{row:?}");
    }
}

/// What is spent and what is held; `None` while the counters cannot be asked.
async fn stands(headgate: &Headgate) -> Option<(i64, i64)> {
    let mut budgets = BudgetServiceClient::new(headgate.operator("budget").await);
    let answer = budgets
        .get_budget(GetBudgetRequest { scope: Some(tenant_scope()), ..Default::default() })
        .await
        .ok()?;
    let status = answer.into_inner().status?;
    Some((status.spent_nano_usd, status.held_nano_usd))
}

/// The requests that got to the upstream.
fn sent(upstream: &Upstream) -> HashSet<String> {
    upstream.journal().iter().map(|entry| id_of(&entry.json())).collect()
}

/// Has one request served, once the counters can be asked.
async fn served(headgate: &Headgate) {
    let asked = AtomicUsize::new(0);
    eventually(SOON, "an answer", || async {
        let id = format!("before-{}", asked.fetch_add(1, Ordering::Relaxed));
        (client(headgate, &id).chat(&asks(&id)).await.status == 200).then_some(())
    })
    .await;
}

/// Has clients hang up while Redis, which decides, does not answer. It decides all the same, and too late.
async fn hang_up_on(headgate: &Headgate, redis: &Redis, upstream: &Upstream) {
    served(headgate).await;
    redis.command(&["client", "pause", "60000", "write"]);
    let mut waiting = JoinSet::new();
    for n in 0..60 {
        let id = format!("hang-up-{n}");
        let client = client(headgate, &id);
        waiting.spawn(async move { client.chat(&asks(&id)).await });
    }
    eventually(SOON, "an admission to wait for Redis", || async {
        (!redis.command(&["info", "clients"]).contains("blocked_clients:0")).then_some(())
    })
    .await;
    waiting.shutdown().await;
    redis.command(&["client", "unpause"]);
    nothing_is_left(headgate, upstream).await;
}

#[tokio::test]
async fn who_hangs_up_on_redis_leaves_nothing_in_one_process() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let setup = dollar(&upstream).section("redis", &json!({"url": redis.url()}));
    let headgate = Headgate::start_on(Topology::AllInOne, &setup).await;
    hang_up_on(&headgate, &redis, &upstream).await;
}

#[tokio::test]
async fn who_hangs_up_on_redis_leaves_nothing_in_a_process_each() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start_on(Topology::Split, &dollar(&upstream)).await;
    let redis = headgate.engines().redis.take().expect("counters");
    hang_up_on(&headgate, &redis, &upstream).await;
}

#[tokio::test]
async fn a_flood_of_hang_ups_leaves_nothing() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start_on(Topology::Planes, &dollar(&upstream)).await;
    upstream.script("m", Behaviour::HangBeforeHead);
    let mut calls = JoinSet::new();
    for n in 0..300 {
        let id = format!("hang-up-{n}");
        let client = client(&headgate, &id);
        calls.spawn(async move {
            let patience = Duration::from_millis(10 * (n % 30));
            tokio::time::timeout(patience, client.chat(&asks(&id))).await.is_ok_and(|r| r.status == 200)
        });
    }
    assert!(!calls.join_all().await.contains(&true), "nothing was served");
    nothing_is_left(&headgate, &upstream).await;
}
