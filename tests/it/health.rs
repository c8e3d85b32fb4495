//! What the process tells of its state.

use headgate_proto::router::v1::GetStateRequest;
use headgate_proto::router::v1::routing_service_client::RoutingServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::upstream::{Behaviour, Upstream};
use serde_json::json;
use tonic::Code;

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
    let full = client.get("/health?full=true").await.expect(200).json();
    let providers = json!({"total": 2, "cooling": 0});
    assert_eq!(full, json!({"status": "ok", "missing": [], "providers": providers}));

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
