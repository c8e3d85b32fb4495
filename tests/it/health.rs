//! What the process tells of its state.

use std::time::Duration;

use headgate_proto::router::v1::GetStateRequest;
use headgate_proto::router::v1::routing_service_client::RoutingServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Behaviour, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};
use tonic::Code;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_target_that_was_told_to_wait_shows_in_the_status_of_models_and_in_the_full_health() {
    let (busy, free) = (Upstream::start().await, Upstream::start().await);
    let limited = Behaviour::openai_error(429, "rate_limit_error", "rate_limit_exceeded", "slow down");
    busy.script_default(limited.with_header("retry-after", "17"));
    let setup = Setup::new()
        .provider("busy", &busy.url())
        .provider("free", &free.url())
        .model("a", &["busy"])
        .model("b", &["free"]);
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client();
    let full = all_up(&client).await;
    let providers = json!({"total": 2, "cooling": 0});
    assert_eq!(full, json!({"status": "ok", "missing": [], "parts": full["parts"], "providers": providers}));

    client.chat(&prompts::chat("a")).await.expect(429);
    let status = client.get("/v1/models/status").await.expect(200).json();
    let (a, b) = (&status["data"][0], &status["data"][1]);
    assert_eq!(
        (&a["id"], &a["object"], &a["status"]),
        (&json!("a"), &json!("model.status"), &json!("cooling"))
    );
    assert!((15_000..=17_000).contains(&a["retry_after_ms"].as_u64().unwrap()), "{a}");
    assert_eq!(*b, json!({"id": "b", "object": "model.status", "status": "available"}));
    let full = client.get("/health?full=true").await.expect(200).json();
    assert_eq!((&full["status"], &full["providers"]["cooling"]), (&json!("degraded"), &json!(1)));
    assert_eq!(client.get("/health").await.expect(200).text(), r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn the_state_of_targets_is_told_to_peers_only() {
    let headgate = Headgate::start(&Setup::new()).await;
    for channel in [headgate.grpc(KEY).await, headgate.operator("router").await] {
        let error = RoutingServiceClient::new(channel).get_state(GetStateRequest {}).await.unwrap_err();
        assert_eq!(error.code(), Code::Unauthenticated);
    }
}

/// The full health once every part is well: parts elsewhere were not looked at yet when a process begins to serve.
async fn all_up(client: &Client) -> Value {
    eventually(SOON, "every part to be up", || async {
        let full = client.get("/health?full=true").await.expect(200).json();
        (full["status"] == "ok").then_some(full)
    })
    .await
}

/// What the process of a service tells operators of itself, once its engines and peers are in these states.
async fn until_parts_are(headgate: &Headgate, service: &str, code: u16, parts: &[(&str, &str)]) -> Value {
    let ops = headgate.node(service).ops();
    eventually(SOON, &format!("{service}: {parts:?}"), || async {
        let reply = ops.get("/healthz").await;
        let told = reply.json();
        let lists = [&told["engines"], &told["peers"]].map(|list| list.as_array().unwrap().iter());
        let states = lists.into_iter().flatten();
        let states: Vec<_> =
            states.map(|p| (p["name"].as_str().unwrap(), p["status"].as_str().unwrap())).collect();
        let mut expected = parts.to_vec();
        expected.sort_unstable();
        let mut found = states.clone();
        found.sort_unstable();
        (found == expected && reply.status == code).then(|| told.clone())
    })
    .await
}

fn part<'a>(told: &'a Value, list: &str, name: &str) -> &'a Value {
    told[list].as_array().unwrap().iter().find(|part| part["name"] == name).expect("it is told of")
}

#[tokio::test]
async fn operators_learn_how_long_engines_and_peers_take_and_what_is_wrong_with_them() {
    let mut headgate = Headgate::start_on(Topology::Split, &Setup::new()).await;
    let budget = ["budget: database", "budget: redis", "nats"];
    // Beside its engines it hears from auth who presents an access token.
    let with_auth = |states: [(&'static str, &'static str); 3]| [&states[..], &[("auth", "up")]].concat();
    let up = with_auth(budget.map(|name| (name, "up")));
    let told = until_parts_are(&headgate, "budget", 200, &up).await;
    assert_eq!((&told["status"], &told["missing"]), (&json!("ok"), &json!([])));
    for (name, engine) in budget.into_iter().zip(["postgresql", "redis", "nats"]) {
        let part = part(&told, "engines", name);
        assert_eq!(part["engine"], engine);
        assert!((0.0..1000.0).contains(&part["latency_ms"].as_f64().unwrap()), "{part}");
    }
    let peers = ["auth", "catalog", "budget", "adapter"];
    let all: Vec<_> = peers.iter().map(|peer| (*peer, "up")).chain([("nats", "up")]).collect();
    let told = until_parts_are(&headgate, "router", 200, &all).await;
    for name in peers {
        let peer = part(&told, "peers", name);
        assert_eq!((&peer["replicas"], &peer["well"]), (&json!(1), &json!(1)));
        assert!(peer["latency_ms"].as_f64().unwrap() > 0.0, "{peer}");
    }

    let engines = headgate.engines();
    let (redis, nats) = (engines.redis.as_ref().unwrap().address(), engines.nats.url());
    let postgres = engines.postgres.as_ref().unwrap().server.port().to_string();
    engines.redis.as_mut().unwrap().kill();
    engines.postgres.as_mut().unwrap().server.kill();
    engines.nats.kill();
    let down = with_auth(budget.map(|name| (name, "down")));
    let told = until_parts_are(&headgate, "budget", 200, &down).await;
    assert_eq!(told["status"], "degraded");
    for name in budget {
        let part = part(&told, "engines", name);
        assert!(part.get("latency_ms").is_none() && !part["error"].as_str().unwrap().is_empty(), "{part}");
    }
    for secret in [redis.as_str(), nats.trim_start_matches("nats://"), &postgres, "127.0.0.1", "://"] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
    // A process that stands on none of them does not mind.
    let control = ["auth", "budget", "catalog", "runtime", "usage"].map(|peer| (peer, "up"));
    let with_router = |state| [&[("router", state)][..], &control].concat();
    until_parts_are(&headgate, "edge", 200, &with_router("up")).await;

    headgate.engines().redis.as_mut().unwrap().restart().await;
    let back = [("budget: redis", "up"), ("budget: database", "down"), ("nats", "down")];
    until_parts_are(&headgate, "budget", 200, &with_auth(back)).await;

    headgate.node_mut("router").kill();
    let told = until_parts_are(&headgate, "edge", 200, &with_router("down")).await;
    assert_eq!((&told["status"], &part(&told, "peers", "router")["well"]), (&json!("degraded"), &json!(0)));
}

#[tokio::test]
async fn a_process_that_waits_for_its_database_is_unavailable_and_says_why() {
    let setup =
        Setup::new().section("database", &json!({"url": "postgres://someone:a-password@127.0.0.1:1/x"}));
    let headgate = Headgate::launch(&setup).await;
    let databases = ["auth", "catalog", "budget", "usage"].map(|service| format!("{service}: database"));
    let down: Vec<_> = databases.iter().map(|name| (name.as_str(), "down")).collect();
    let told = eventually(SOON, "the first try to have failed", || async {
        let told = until_parts_are(&headgate, "edge", 503, &down).await;
        (part(&told, "engines", "auth: database")["error"] != "not open yet").then_some(told)
    })
    .await;
    assert_eq!(told["status"], "unavailable");
    assert_eq!(part(&told, "engines", "auth: database")["error"], "connection refused");
    for secret in ["someone", "password", "127.0.0.1"] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
    assert_eq!(headgate.ops().get("/livez").await.status, 200, "it lives");
}

#[tokio::test]
async fn strangers_at_the_edge_learn_states_and_nothing_more() {
    let headgate = Headgate::start(&Setup::new()).await;
    for path in ["/health", "/healthz", "/api/health"] {
        assert_eq!(headgate.anonymous().get(path).await.expect(200).text(), r#"{"status":"ok"}"#);
    }
    let full = all_up(&headgate.anonymous()).await;
    let parts = full["parts"].as_array().unwrap();
    assert!(!parts.is_empty(), "it stands on something: {full}");
    for part in parts {
        assert_eq!(*part, json!({"name": part["name"], "status": "up"}));
    }
    assert_eq!(full.as_object().unwrap().len(), 4, "{full}");
}
