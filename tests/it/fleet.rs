//! P1, P3 and P4 over several replicas, each with an edge of its own, with one of them killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{CreateApiKeyRequest, RevokeApiKeyRequest};
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, KEY_ID, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

use crate::budget::{CENT, USD, cent_model, cent_request, settled, status, tenant_scope};

const SOON: Duration = Duration::from_secs(20);

/// So many data planes in front of one control plane.
async fn data_planes(count: usize, setup: &Setup) -> Headgate {
    let mut headgate = Headgate::start_on(Topology::Planes, setup).await;
    for _ in 1..count {
        headgate.add(setup, "router").await;
    }
    headgate
}

/// A client of the tenant `acme` for every replica.
fn clients(headgate: &Headgate) -> Vec<Client> {
    headgate.edges().into_iter().map(|client| client.with_key(KEY)).collect()
}

/// How many of so many requests at once, spread over all replicas, were answered with each status.
async fn flood(headgate: &Headgate, requests: usize, request: &Value) -> Vec<(u16, usize)> {
    let clients = clients(headgate);
    let mut running = tokio::task::JoinSet::new();
    for n in 0..requests {
        let (client, request) = (clients[n % clients.len()].clone(), request.clone());
        running.spawn(async move { client.verdict(&request).await });
    }
    let mut statuses = running.join_all().await;
    statuses.sort_unstable();
    statuses.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
}

fn dollar(upstream: &Upstream) -> Setup {
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    cent_model(upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}))
}

#[tokio::test]
async fn of_500_parallel_requests_over_four_routers_exactly_100_pass() {
    let upstream = Upstream::start().await;
    let headgate = data_planes(4, &dollar(&upstream)).await;
    assert_eq!(flood(&headgate, 500, &cent_request()).await, [(200, 100), (403, 400)]);
    assert_eq!(upstream.journal().len(), 100);
    let rows = headgate.rows(100).await;
    assert!(rows.iter().all(|row| row.cost_nano_usd == CENT && row.overrun_nano_usd == 0));
    assert_eq!(settled(&headgate, &tenant_scope()).await, USD);
}

#[tokio::test]
async fn without_a_limit_of_its_own_a_request_holds_the_models_and_again_100_pass() {
    let upstream = Upstream::start().await;
    let setup = dollar(&upstream).model_with(&json!({"max_output_tokens": 100}));
    let headgate = data_planes(4, &setup).await;
    assert_eq!(flood(&headgate, 500, &prompts::chat("m")).await, [(200, 100), (403, 400)]);
    headgate.rows(100).await;
    assert_eq!(settled(&headgate, &tenant_scope()).await, USD);
}

#[tokio::test]
async fn a_router_killed_with_holds_gives_them_back_in_time_and_nothing_is_overspent() {
    const TTL: Duration = Duration::from_secs(5);
    let upstream = Upstream::start().await;
    let setup = dollar(&upstream).section("budget", &json!({"lease_ttl_ms": 5000}));
    let mut headgate = data_planes(4, &setup).await;
    upstream.script("m", Behaviour::HangBeforeHead);
    let clients = clients(&headgate);
    let mut running = tokio::task::JoinSet::new();
    for n in 0..100 {
        let client = clients[n % clients.len()].clone();
        running.spawn(async move { client.chat(&cent_request()).await });
    }
    eventually(SOON, "100 requests under way", || async { (upstream.journal().len() == 100).then_some(()) })
        .await;
    let full = status(&headgate, &tenant_scope()).await;
    assert_eq!((full.spent_nano_usd, full.held_nano_usd), (0, USD));
    assert_eq!(flood(&headgate, 20, &cent_request()).await, [(403, 20)]);

    headgate.replica(0).kill();
    let killed = Instant::now();
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    // The others keep theirs as long as their requests run: 75 cents.
    let freed =
        eventually(TTL + Duration::from_secs(5), "the holds of the killed one to be back", || async {
            let now = status(&headgate, &tenant_scope()).await;
            assert!(now.spent_nano_usd + now.held_nano_usd <= USD, "{now:?}");
            (now.held_nano_usd == 75 * CENT).then(|| killed.elapsed())
        })
        .await;
    assert!(freed <= TTL + Duration::from_secs(5), "{freed:?}");
    let survivor = &clients[0];
    for _ in 0..25 {
        survivor.chat(&cent_request()).await.expect(200);
    }
    survivor.chat(&cent_request()).await.expect(403);
    running.abort_all();
    let rows = headgate.rows(125).await;
    assert_eq!(rows.iter().map(|row| row.cost_nano_usd).sum::<i64>(), 25 * CENT);
}

#[tokio::test]
async fn n_per_minute_is_n_over_five_routers() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).limits(json!({"key_id": KEY_ID, "requests_per_minute": 6}));
    let headgate = data_planes(5, &setup).await;
    let begin = Instant::now();
    let statuses = flood(&headgate, 60, &prompts::chat("m")).await;
    // A machine that takes long has time to see some of the limit come back: one request every ten seconds.
    let back = usize::try_from(begin.elapsed().as_secs() / 10).unwrap();
    let passed = upstream.journal().len();
    assert_eq!(statuses, [(200, passed), (429, 60 - passed)]);
    assert!((6..=6 + back).contains(&passed), "{passed} passed in {:?}", begin.elapsed());
}

/// Sends requests until told to stop, and tells when the last one was sent that was accepted.
async fn accepted(client: Client, stop: Arc<AtomicBool>) -> Option<Instant> {
    let mut last = None;
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        if client.chat(&prompts::chat("m")).await.status == 200 {
            last = Some(sent);
        }
    }
    last
}

#[tokio::test]
async fn the_worst_of_20_revocations_over_three_routers_takes_less_than_a_second() {
    let upstream = Upstream::start().await;
    let headgate = data_planes(3, &Setup::with_model("m", &upstream).patient_with_strangers()).await;
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..Default::default() };
        let made = keys.create_api_key(request).await.unwrap().into_inner();
        let (stop, mut load) = (Arc::new(AtomicBool::new(false)), tokio::task::JoinSet::new());
        for client in headgate.edges() {
            load.spawn(accepted(client.with_key(&made.secret_key), stop.clone()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        keys.revoke_api_key(RevokeApiKeyRequest { id: made.api_key.unwrap().id, ..Default::default() })
            .await
            .unwrap();
        let acknowledged = Instant::now();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        stop.store(true, Ordering::SeqCst);
        let last = load.join_all().await;
        assert!(last.iter().all(Option::is_some), "the key worked before, on each");
        let late = last.into_iter().flatten().max().unwrap().saturating_duration_since(acknowledged);
        worst = worst.max(late);
    }
    println!("the worst of 20 revocations: {worst:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[tokio::test]
async fn over_four_routers_and_two_budgets_on_redis_exactly_100_pass_too() {
    let upstream = Upstream::start().await;
    let setup = dollar(&upstream).section("budget", &json!({"sealing_key": "7c".repeat(32)}));
    let mut headgate = Headgate::start_on(Topology::Split, &setup).await;
    headgate.add(&setup, "budget").await;
    for _ in 0..3 {
        headgate.add(&setup, "router").await;
    }
    // The first one knows one router only, this one all.
    headgate.add(&setup, "edge").await;
    // In waves: 17 processes on a small machine, built for tests, have no time for 500 at once.
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..10 {
        for (status, count) in flood(&headgate, 50, &cent_request()).await {
            match status {
                200 => passed += count,
                403 => refused += count,
                other => panic!("{count} answers of {other}"),
            }
        }
    }
    assert_eq!((passed, refused), (100, 400));
    assert_eq!(upstream.journal().len(), 100);
    let rows = headgate.rows(100).await;
    assert!(rows.iter().all(|row| row.cost_nano_usd == CENT && row.overrun_nano_usd == 0));
    assert_eq!(settled(&headgate, &tenant_scope()).await, USD);
}

#[tokio::test]
async fn a_rolling_restart_breaks_no_stream() {
    const CHUNKS: u32 = 100;
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(CHUNKS, Duration::from_millis(20)));
    let setup = Setup::with_model("m", &upstream).section("shutdown", &json!({"drain_ms": 200}));
    let mut headgate = data_planes(2, &setup).await;
    for turn in ["the first", "the second"] {
        let mut streams = tokio::task::JoinSet::new();
        for client in clients(&headgate) {
            for _ in 0..5 {
                let mut stream = client.stream(&prompts::stream("m")).await;
                stream.read_content(1).await;
                streams.spawn(async move { stream.read_to_end().await });
            }
        }
        let node = if turn == "the first" { headgate.node_mut("router") } else { headgate.replica(0) };
        assert_eq!(node.terminate().await, Some(0), "{turn}");
        node.restart().await;
        node.ready().await;
        for (events, whole) in streams.join_all().await {
            assert!(whole && events.iter().any(|event| event.is_done()), "{turn}: a stream was broken");
        }
    }
    let rows = headgate.rows(20).await;
    assert!(rows.iter().all(|row| row.completion_tokens == CHUNKS && !row.estimated));
}
