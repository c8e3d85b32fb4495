//! Clients that hang up at any moment: nothing is held for them afterwards, and only what ran is recorded.

use std::collections::HashSet;
use std::time::Duration;

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

use crate::budget::{CENT, USD, cent_model, status, tenant_scope};

/// Far less than a lease lives.
const SOON: Duration = Duration::from_secs(40);

fn dollar(upstream: &Upstream) -> Setup {
    serve(upstream);
    cent_model(upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}))
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

/// The status of a request, once the counters can be asked.
async fn verdict(headgate: &Headgate, id: &str) -> u16 {
    eventually(SOON, "a verdict", || async {
        Some(client(headgate, id).chat(&asks(id)).await.status).filter(|status| *status != 503)
    })
    .await
}

/// Asserts that nothing is left of requests whose clients hung up, but rows of what was sent, and what they cost.
async fn nothing_is_left(headgate: &Headgate, upstream: &Upstream) {
    let spent = eventually(SOON, "every hold to be given back", || async {
        Some(status(headgate, &tenant_scope()).await).filter(|status| status.held_nano_usd == 0)
    })
    .await
    .spent_nano_usd;
    let sent: HashSet<String> = upstream.journal().iter().map(|entry| id_of(&entry.json())).collect();
    let rows = eventually(SOON, "a row for every request that was sent", || async {
        let rows = headgate.whole_ledger(UsageFilter::default()).await;
        let found: HashSet<_> = rows.iter().map(|row| row.request_id.clone()).collect();
        assert_eq!(found.len(), rows.len(), "one row each");
        (sent.is_subset(&found) && rows.iter().map(|row| row.cost_nano_usd).sum::<i64>() == spent)
            .then_some(rows)
    })
    .await;
    for row in &rows {
        // One that was on its way to the upstream is told apart from one that got there by the upstream only.
        let was_sent = sent.contains(&row.request_id) || row.outcome() == Outcome::Cancelled;
        assert!(was_sent && row.outcome() != Outcome::Abandoned, "{row:?}");
    }

    serve(upstream);
    let left = (USD - spent) / CENT;
    for n in 0..left {
        // What Redis decided late may just be on its way back.
        eventually(SOON, &format!("{n} of {left}"), || async {
            (verdict(headgate, &format!("after-{n}")).await == 200).then_some(())
        })
        .await;
    }
    assert_eq!(verdict(headgate, "one too many").await, 403);
}

/// Has clients hang up while Redis, which decides, does not answer. It decides all the same, and too late.
async fn hang_up_on(headgate: &Headgate, redis: &Redis, upstream: &Upstream) {
    assert_eq!(verdict(headgate, "first").await, 200);
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
