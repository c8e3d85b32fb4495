//! Providers' health: what probes find at real sockets, what becomes of it, and that requests go by it.

use std::time::Duration;

use headgate_proto::catalog::v1::provider_health_service_client::ProviderHealthServiceClient;
use headgate_proto::catalog::v1::provider_service_client::ProviderServiceClient;
use headgate_proto::catalog::v1::{
    GetProviderRequest, ListProvidersRequest, Provider, SetProviderHealthRequest, TestProviderDirectRequest,
    TestProviderRequest, TestProviderResponse, UpdateProviderRequest,
};
use headgate_proto::common::v1::ErrorReason;
use headgate_tests::cluster::Headgate;
use headgate_tests::operator::Authorized;
use headgate_tests::prompts;
use headgate_tests::setup::{PROVIDER_KEY, Setup};
use headgate_tests::upstream::{Behaviour, Upstream, refusing_url};
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::json;

/// How long probes, and what follows from them, may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn health(headgate: &Headgate) -> ProviderHealthServiceClient<Authorized> {
    ProviderHealthServiceClient::new(headgate.operator("catalog").await)
}

async fn providers(headgate: &Headgate) -> ProviderServiceClient<Authorized> {
    ProviderServiceClient::new(headgate.operator("catalog").await)
}

async fn provider(headgate: &Headgate, id: &str) -> Provider {
    let found = providers(headgate).await.get_provider(GetProviderRequest { id: id.into() }).await;
    found.unwrap().into_inner().provider.unwrap()
}

/// Tests a provider as soon as somebody can: in several processes, the adapter may not be known yet.
async fn test(headgate: &Headgate, id: &str) -> TestProviderResponse {
    let mut health = health(headgate).await;
    for _ in 0..100 {
        match health.test_provider(TestProviderRequest { id: id.into() }).await {
            Ok(found) => return found.into_inner(),
            Err(refusal) => assert_eq!(refusal.code(), tonic::Code::Unavailable, "{refusal:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody probes");
}

async fn answering(status: u16) -> Upstream {
    let upstream = Upstream::start().await;
    upstream.script_default(Behaviour::status(status, "{}"));
    upstream
}

#[tokio::test]
async fn probes_tell_apart_what_they_find_and_quote_no_secret() {
    let (well, failing, refusing_key) = (answering(200).await, answering(500).await, answering(401).await);
    let (nothing_there, hanging) = (answering(404).await, Upstream::start().await);
    hanging.script_default(Behaviour::HangBeforeHead);
    let setup = Setup::new()
        .provider("well", &well.url())
        .provider("failing", &failing.url())
        .provider("refusing-key", &refusing_key.url())
        .provider("nothing-there", &nothing_there.url())
        .provider("hanging", &hanging.url())
        .provider("refusing", &refusing_url())
        .seed("providers", json!({"id": "echo", "name": "echo", "kind": "echo"}))
        .section("catalog", &json!({"probe_timeout_ms": 1000}));
    let mut headgate = Headgate::start(&setup).await;
    for (id, status, code, failures) in [
        ("well", "online", 200, 0),
        ("failing", "degraded", 500, 1),
        ("refusing-key", "degraded", 401, 1),
        ("nothing-there", "degraded", 404, 0),
        ("hanging", "timeout", 0, 1),
        ("refusing", "unreachable", 0, 1),
        ("echo", "online", 0, 0),
    ] {
        let found = test(&headgate, id).await;
        assert_eq!((found.status.as_str(), found.status_code), (status, code), "{id}");
        assert!(!found.detail.is_empty() && !found.detail.contains(PROVIDER_KEY), "{id}: {}", found.detail);
        let shown = provider(&headgate, id).await;
        assert_eq!((shown.status.as_str(), shown.consecutive_failures), (status, failures), "{id}");
        assert!(shown.is_healthy && shown.last_tested_at.is_some(), "{id}");
    }
    let asked = well.only_request();
    assert_eq!(asked.path, "/v1");
    assert_eq!(asked.headers["authorization"], format!("Bearer {PROVIDER_KEY}"));

    let before = provider(&headgate, "hanging").await;
    headgate.kill();
    headgate.restart().await;
    assert_eq!(provider(&headgate, "hanging").await, before, "a restart keeps what was found");
}

#[tokio::test]
async fn a_direct_test_asks_and_keeps_nothing() {
    let upstream = answering(200).await;
    let headgate = Headgate::start(&Setup::new()).await;
    let mut health = health(&headgate).await;
    let direct = |base_url: String| TestProviderDirectRequest {
        base_url,
        api_key: "sk-planted-direct-key".into(),
        models: vec!["m".into()],
        kind: 0,
    };
    let found = eventually(SOON, "an adapter", || {
        let mut health = health.clone();
        let request = direct(upstream.url());
        async move { health.test_provider_direct(request).await.ok() }
    })
    .await
    .into_inner();
    assert_eq!((found.status.as_str(), found.status_code), ("online", 200));
    let asked = upstream.only_request();
    assert_eq!(asked.headers["authorization"], "Bearer sk-planted-direct-key");
    let listed = providers(&headgate).await.list_providers(ListProvidersRequest::default()).await.unwrap();
    assert!(listed.into_inner().providers.is_empty());
    let refusal = health.test_provider_direct(direct("gopher://127.0.0.1/".into())).await.unwrap_err();
    let refusal = headgate_kit::Failure::from_status(&refusal);
    assert_eq!((refusal.reason, &refusal.metadata["field"][..]), (ErrorReason::InvalidRequest, "base_url"));
    assert!(!headgate.logs().contains("sk-planted-direct-key"));
}

#[tokio::test]
async fn the_third_failed_probe_makes_a_provider_a_last_resort_until_one_succeeds() {
    let (flaky, sound) = (answering(500).await, Upstream::start().await);
    let setup = Setup::new().provider("broken", &flaky.url()).provider("sound", &sound.url());
    let setup = setup.model("m", &["broken", "sound"]).in_order();
    let headgate = Headgate::start(&setup).await;
    for (failures, is_healthy) in [(1, true), (2, true), (3, false)] {
        test(&headgate, "broken").await;
        let shown = provider(&headgate, "broken").await;
        assert_eq!((shown.consecutive_failures, shown.is_healthy), (failures, is_healthy));
    }
    // From now on it would do; but nobody has found that out.
    flaky.script("m", headgate_tests::upstream::Answer::default());
    let asked = |upstream: &Upstream| {
        upstream.journal().iter().filter(|entry| entry.path.ends_with("/completions")).count()
    };
    eventually(SOON, "requests to avoid it", || async {
        let before = asked(&flaky);
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        (asked(&flaky) == before).then_some(())
    })
    .await;

    // It is a last resort, not away: where the other fails it is asked.
    sound.script("m", Behaviour::status(500, "{}"));
    let before = asked(&flaky);
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(asked(&flaky), before + 1);

    flaky.script_default(Behaviour::status(200, "{}"));
    test(&headgate, "broken").await;
    assert!(provider(&headgate, "broken").await.is_healthy);
    sound.script("m", headgate_tests::upstream::Answer::default());
    eventually(SOON, "requests to go there again", || async {
        let before = asked(&flaky);
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        (asked(&flaky) > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn active_providers_are_probed_by_themselves_and_operators_have_a_say() {
    let (failing, resting) = (answering(503).await, answering(200).await);
    let setup = Setup::new().provider("failing", &failing.url()).provider("resting", &resting.url());
    let setup = setup.section("catalog", &json!({"probe_interval_ms": 200, "unhealthy_after": 2}));
    let headgate = Headgate::start(&setup).await;
    let rest = UpdateProviderRequest { id: "resting".into(), is_active: Some(false), ..Default::default() };
    providers(&headgate).await.update_provider(rest).await.unwrap();
    eventually(SOON, "two failed probes", || async {
        (!provider(&headgate, "failing").await.is_healthy).then_some(())
    })
    .await;
    let say = SetProviderHealthRequest { id: "failing".into(), is_healthy: Some(true) };
    let shown =
        health(&headgate).await.set_provider_health(say).await.unwrap().into_inner().provider.unwrap();
    assert!(shown.is_healthy && shown.consecutive_failures == 0);
    eventually(SOON, "probes to have the last word", || async {
        (!provider(&headgate, "failing").await.is_healthy).then_some(())
    })
    .await;
    let asked = resting.journal().len();
    let before = failing.journal().len();
    eventually(SOON, "two more rounds", || async { (failing.journal().len() >= before + 2).then_some(()) })
        .await;
    assert!(resting.journal().len() <= asked + 1, "one may have been under way when it was told to rest");
}

#[tokio::test]
async fn of_two_operators_who_change_a_provider_one_is_told_what_it_is_now() {
    let headgate = Headgate::start(&Setup::new().provider("p", "http://127.0.0.1:9/v1")).await;
    let read = provider(&headgate, "p").await;
    let (mut one, mut other) = (providers(&headgate).await, providers(&headgate).await);
    let rename = |name: &str| UpdateProviderRequest {
        id: "p".into(),
        etag: read.etag.clone(),
        name: Some(name.into()),
        ..Default::default()
    };
    let (a, b) = tokio::join!(one.update_provider(rename("one")), other.update_provider(rename("other")));
    let (changed, refusal) = match (a, b) {
        (Ok(changed), Err(refusal)) | (Err(refusal), Ok(changed)) => (changed, refusal),
        both => panic!("{both:?}"),
    };
    let changed = changed.into_inner().provider.unwrap();
    let refusal = headgate_kit::Failure::from_status(&refusal);
    assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &changed.etag));
    assert_eq!(provider(&headgate, "p").await, changed);
}

#[tokio::test]
async fn providers_are_probed_over_rest() {
    let upstream = answering(200).await;
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    let create = json!({
        "name": "p", "base_url": upstream.url(), "api_key": "sk-planted", "models": ["b", "a"], "is_active": true,
    });
    let made = admin.post("/api/providers", &create).await.expect(200).json()["provider"].clone();
    let id = made["id"].as_str().unwrap();
    for path in [format!("/api/providers/{id}/test"), format!("/admin/providers/{id}:test")] {
        // In several processes, the adapter may not be known yet.
        let found = eventually(SOON, "a probe", || async {
            Some(admin.post(&path, &json!({})).await).filter(|reply| reply.status != 503)
        });
        let found = found.await.expect(200).json();
        assert_eq!((&found["status"], &found["status_code"]), (&json!("online"), &json!(200)), "{found}");
        assert!(found["latency_ms"].is_u64() && found["detail"].is_string(), "{found}");
    }
    for path in ["/api/providers/test-direct", "/admin/providers:test"] {
        let direct = json!({"base_url": upstream.url(), "api_key": "sk-direct", "models": ["m"]});
        assert_eq!(admin.post(path, &direct).await.expect(200).json()["status"], "online");
        let refused = admin.post(path, &json!({"base_url": "ftp://x"})).await.expect(400).json();
        assert_eq!(refused["error"]["param"], "base_url");
    }
    let path = format!("/api/providers/{id}/health");
    let said = admin.send_json(Method::PATCH, &path, &json!({"is_healthy": false})).await.expect(200).json();
    assert_eq!(said["provider"]["is_healthy"], false);
    let shown = admin.get(&format!("/api/providers/{id}")).await.expect(200);
    assert!(!shown.text().contains("sk-planted"));
    let shown = shown.json()["provider"].clone();
    for field in [
        "id",
        "name",
        "base_url",
        "models",
        "is_active",
        "status",
        "latency_ms",
        "last_tested_at",
        "consecutive_failures",
        "is_healthy",
        "created_at",
        "updated_at",
    ] {
        assert!(!shown[field].is_null(), "{field} is not in {shown}");
    }
    assert_eq!(shown["models"], json!(["a", "b"]));
}
