//! P4: a new key works at once, and a revoked one is refused within a second of the answer, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use headgate_kit::clock::Clock;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{CreateApiKeyRequest, CreateApiKeyResponse, RevokeApiKeyRequest};
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::upstream::Upstream;

async fn new_key(headgate: &Headgate, request: CreateApiKeyRequest) -> CreateApiKeyResponse {
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..request };
    keys.create_api_key(request).await.expect("a key is made").into_inner()
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_a_second() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).patient_with_strangers();
    let headgate = Headgate::start(&setup).await;
    let created = new_key(&headgate, CreateApiKeyRequest::default()).await;
    let client = headgate.anonymous().with_key(&created.secret_key);
    client.chat(&prompts::chat("m")).await.expect(200);

    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, stop) = (client.clone(), stop.clone());
        load.spawn(async move {
            let mut last_accepted = None;
            while !stop.load(Ordering::SeqCst) {
                let sent = Instant::now();
                if client.chat(&prompts::chat("m")).await.status == 200 {
                    last_accepted = Some(sent);
                }
            }
            last_accepted
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    keys.revoke_api_key(RevokeApiKeyRequest { id: created.api_key.unwrap().id, ..Default::default() })
        .await
        .expect("it is revoked");
    let acknowledged = Instant::now();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stop.store(true, Ordering::SeqCst);
    let last = load.join_all().await.into_iter().flatten().max().expect("the key worked before");
    let late = last.saturating_duration_since(acknowledged);
    assert!(late < Duration::from_secs(1), "accepted {late:?} after the answer");
    client.chat(&prompts::chat("m")).await.expect(401);
}

#[tokio::test]
async fn a_key_stops_when_it_expires() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let expires =
        SystemTime::UNIX_EPOCH + Duration::from_secs(Clock::system().unix_millis() as u64 / 1000 + 8);
    let request = CreateApiKeyRequest { expire_time: Some(expires.into()), ..CreateApiKeyRequest::default() };
    let created = new_key(&headgate, request).await;
    let client = headgate.anonymous().with_key(&created.secret_key);
    client.chat(&prompts::chat("m")).await.expect(200);
    tokio::time::sleep(Duration::from_millis(8100)).await;
    assert_eq!(client.chat(&prompts::chat("m")).await.expect(401).error_code(), "invalid_api_key");
}

#[tokio::test]
async fn a_key_does_only_what_its_scopes_say() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let request = CreateApiKeyRequest { scopes: vec!["embeddings".into()], ..CreateApiKeyRequest::default() };
    let created = new_key(&headgate, request).await;
    let client = headgate.anonymous().with_key(&created.secret_key);
    assert_eq!(client.chat(&prompts::chat("m")).await.expect(403).error_code(), "permission_denied");
    assert!(upstream.journal().is_empty());
}
