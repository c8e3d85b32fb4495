//! P10: a part that is away takes with it what it must and no more, and comes back without a restart of anything else.

use std::time::{Duration, Instant};

use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{CreateApiKeyRequest, RevokeApiKeyRequest};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, KEY_ID, OTHER_KEY, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::json;

use crate::budget::{CENT, cent_model, cent_request, status as budget_status, tenant_scope};

const SOON: Duration = Duration::from_secs(20);

async fn split(upstream: &Upstream) -> Headgate {
    let setup = Setup::with_model("m", upstream).patient_with_strangers();
    Headgate::start_on(Topology::Split, &setup).await
}

async fn status(headgate: &Headgate, key: &str) -> u16 {
    headgate.anonymous().with_key(key).chat(&prompts::chat("m")).await.status
}

async fn until(headgate: &Headgate, key: &str, expected: u16) {
    eventually(SOON, &format!("status {expected}"), || async {
        (status(headgate, key).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_auth_known_keys_go_on_and_unknown_ones_are_no_verdict() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let revoke = RevokeApiKeyRequest { id: KEY_ID.into(), ..Default::default() };
    keys.revoke_api_key(revoke).await.unwrap();
    until(&headgate, KEY, 401).await;
    headgate.node_mut("auth").kill();
    // Nobody knows whose a key is, so nobody changes what is of it.
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    let limits = format!("/admin/keys/{KEY_ID}/limits");
    admin.send_json(Method::PUT, &limits, &json!({"requests_per_minute": 1})).await.expect(503);

    let begin = Instant::now();
    // Longer than the watch may be silent.
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(status(&headgate, OTHER_KEY).await, 200, "known, and still let in");
        assert_eq!(status(&headgate, KEY).await, 401, "revoked, and still refused");
    }
    let unknown =
        headgate.anonymous().with_key("sk-new.never-seen").chat(&prompts::chat("m")).await.expect(503);
    assert_eq!(unknown.header("retry-after"), Some("1"));
    // Even by a router that starts now.
    headgate.node_mut("router").kill();
    headgate.node_mut("router").restart().await;
    until(&headgate, OTHER_KEY, 200).await;

    headgate.node_mut("auth").restart().await;
    let none = eventually(SOON, "the key's limits", || async {
        let reply = admin.get(&limits).await;
        (reply.status == 200).then(|| reply.json()["limits"].clone())
    })
    .await;
    assert_eq!(none, json!({}), "nothing was changed");
    until(&headgate, "sk-new.never-seen", 401).await;
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let request = CreateApiKeyRequest { tenant_id: TENANT.into(), name: "new".into(), ..Default::default() };
    let made = keys.create_api_key(request).await.unwrap().into_inner().secret_key;
    until(&headgate, &made, 200).await;
}

#[tokio::test]
async fn without_the_catalog_routing_goes_on() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    headgate.node_mut("catalog").kill();
    assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    // Even by a router that starts now.
    let kept = headgate.data_dir_of("router").join("snapshots/catalog.sealed");
    eventually(SOON, "the catalog to be kept", || async { kept.exists().then_some(()) }).await;
    headgate.node_mut("router").kill();
    headgate.node_mut("router").restart().await;
    until(&headgate, OTHER_KEY, 200).await;
    headgate.node_mut("catalog").restart().await;
    assert_eq!(status(&headgate, OTHER_KEY).await, 200);
}

#[tokio::test]
async fn without_an_adapter_requests_are_503_and_then_go_on() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    headgate.node_mut("adapter").kill();
    let refused = headgate.anonymous().with_key(OTHER_KEY).chat(&prompts::chat("m")).await.expect(503);
    assert!(refused.header("retry-after").is_some());
    headgate.node_mut("adapter").restart().await;
    until(&headgate, OTHER_KEY, 200).await;
}

#[tokio::test]
async fn without_usage_or_the_broker_nothing_is_seen_and_nothing_is_lost() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    headgate.node_mut("usage").kill();
    for _ in 0..10 {
        assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    }
    headgate.engines().nats.kill();
    for _ in 0..10 {
        assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    }
    headgate.node_mut("usage").restart().await;
    headgate.engines().nats.restart().await;
    let rows = headgate.rows(20).await;
    assert!(rows.iter().all(|row| !row.estimated));
}

#[tokio::test]
async fn a_router_that_is_away_comes_back_behind_the_edge() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    assert_eq!(status(&headgate, OTHER_KEY).await, 200);
    headgate.node_mut("router").kill();
    let refused = headgate.anonymous().with_key(OTHER_KEY).chat(&prompts::chat("m")).await.expect(503);
    assert_eq!(refused.error_code(), "service_unavailable");
    headgate.node_mut("router").restart().await;
    until(&headgate, OTHER_KEY, 200).await;
}

#[tokio::test]
async fn without_budget_keys_without_one_go_on_and_others_are_503() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream)
        .budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}))
        // Counters that were lost stay closed for as long as a lease may have been open.
        .section("budget", &json!({"lease_ttl_ms": 3000}));
    for topology in [Topology::Planes, Topology::Split] {
        let mut headgate = Headgate::start_on(topology, &setup).await;
        assert_eq!((status(&headgate, KEY).await, status(&headgate, OTHER_KEY).await), (200, 200));
        match topology {
            // What decides is away.
            Topology::Planes => headgate.node_mut("budget").kill(),
            // What it counts with is.
            _ => headgate.engines().redis.as_mut().expect("counters").kill(),
        }
        for _ in 0..5 {
            assert_eq!(status(&headgate, OTHER_KEY).await, 200, "it has no budget");
        }
        let refused = headgate.anonymous().with_key(KEY).chat(&prompts::chat("m")).await.expect(503);
        assert!(refused.header("retry-after").is_some());
        match topology {
            Topology::Planes => headgate.node_mut("budget").restart().await,
            _ => headgate.engines().redis.as_mut().expect("counters").restart().await,
        }
        until(&headgate, KEY, 200).await;
        // Those that went on are accounted for, too.
        let rows = headgate.rows(8).await;
        assert!(rows.iter().all(|row| row.outcome() == Outcome::Succeeded));
    }
}

#[tokio::test]
async fn without_budget_tenants_are_listed_without_theirs() {
    let upstream = Upstream::start().await;
    let mut headgate = split(&upstream).await;
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    // Whether budgets are told, and how many tenants.
    let listed = async || {
        let list = admin.get("/admin/tenants").await.expect(200).json();
        (list["budgets_unavailable"] == false, list["tenants"].as_array().unwrap().len())
    };
    let told = async |wanted: bool| {
        eventually(SOON, "the list", async || Some(listed().await).filter(|list| *list == (wanted, 2))).await;
    };
    told(true).await;
    headgate.node_mut("budget").kill();
    told(false).await;
    headgate.node_mut("budget").restart().await;
    told(true).await;
}

#[tokio::test]
async fn a_budget_that_restarts_alone_knows_what_routers_hold() {
    const RUNNING: usize = 20;
    const LIMIT: i64 = 20 * CENT;
    let upstream = Upstream::start().await;
    upstream.script("m", Behaviour::HangBeforeHead);
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "0.20"}));
    let mut headgate = Headgate::start_on(Topology::Planes, &setup).await;
    let mut running = Vec::new();
    for _ in 0..RUNNING {
        let client = headgate.client();
        // One that a busy machine had no time for is sent again.
        running.push(tokio::spawn(async move { while client.chat(&cent_request()).await.status == 503 {} }));
    }
    eventually(SOON * 3, "all to be under way", || async {
        (upstream.journal().len() == RUNNING).then_some(())
    })
    .await;
    headgate.node_mut("budget").kill();
    headgate.node_mut("budget").restart().await;
    headgate.node("budget").ready().await;
    let full = budget_status(&headgate, &tenant_scope()).await;
    assert_eq!((full.spent_nano_usd, full.held_nano_usd), (0, LIMIT));
    let verdict = async || {
        eventually(SOON, "a verdict", || async {
            Some(headgate.client().chat(&cent_request()).await.status).filter(|status| *status != 503)
        })
        .await
    };
    assert_eq!(verdict().await, 403, "nothing is left, and that is known at once");

    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    running.drain(..3).for_each(|call| call.abort());
    eventually(SOON, "three of the holds to be back", || async {
        let held = budget_status(&headgate, &tenant_scope()).await.held_nano_usd;
        (held == LIMIT - 3 * CENT).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert_eq!(verdict().await, 200);
    }
    assert_eq!(verdict().await, 403);
    running.iter().for_each(tokio::task::JoinHandle::abort);
}
