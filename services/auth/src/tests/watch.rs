use headgate_proto::auth::v1::{RevokeApiKeyRequest, WatchKeysRequest, WatchKeysResponse};
use tonic::Streaming;

use super::*;

on_both_engines!(
    a_watch_begins_with_all_keys_and_the_pepper_and_follows_each_change,
    a_silent_watch_beats_and_ends_at_shutdown,
    only_peers_verify_and_watch,
    a_caller_who_goes_away_leaves_memory_and_database_agreeing,
);

async fn watch(fixture: &Fixture) -> Streaming<WatchKeysResponse> {
    fixture.peers().watch_keys(WatchKeysRequest {}).await.unwrap().into_inner()
}

/// The next message that is not a heartbeat.
async fn news(stream: &mut Streaming<WatchKeysResponse>) -> WatchKeysResponse {
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if message.snapshot || !message.keys.is_empty() {
            return message;
        }
    }
}

async fn a_watch_begins_with_all_keys_and_the_pepper_and_follows_each_change(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (first, whole) = fixture.key("a").await;
    let mut stream = watch(&fixture).await;
    let snapshot = news(&mut stream).await;
    assert!(snapshot.snapshot);
    assert_eq!(snapshot.keys.len(), 1);

    // A peer can verify by itself with what it was sent.
    let pepper = Pepper::new(snapshot.pepper.as_ref().try_into().unwrap()).unwrap();
    let secret = whole.split_once('.').unwrap().1;
    assert_eq!(pepper.hash(secret).to_bytes(), snapshot.keys[0].secret_hmac);

    let (second, _) = fixture.key("a").await;
    let change = news(&mut stream).await;
    assert_eq!((change.snapshot, change.keys[0].key_id.as_str()), (false, second.as_str()));
    assert_eq!(change.revision, snapshot.revision + 1);

    fixture
        .keys()
        .revoke_api_key(RevokeApiKeyRequest { id: first.clone(), ..Default::default() })
        .await
        .unwrap();
    let change = news(&mut stream).await;
    assert_eq!((change.keys[0].key_id.as_str(), change.keys[0].revoked), (first.as_str(), true));

    fixture.set_status("a", TenantStatus::Suspended).await.unwrap();
    let change = news(&mut stream).await;
    assert_eq!(change.keys.len(), 2, "all of the tenant's keys");
    assert!(change.keys.iter().all(|k| k.tenant_status() == TenantStatus::Suspended));
}

async fn a_silent_watch_beats_and_ends_at_shutdown(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut stream = watch(&fixture).await;
    let snapshot = stream.message().await.unwrap().unwrap();
    let beat = stream.message().await.unwrap().unwrap();
    assert_eq!(beat, WatchKeysResponse { revision: snapshot.revision, ..Default::default() });
    assert!(fixture.tasks.shutdown(Duration::from_secs(5)).await);
    assert_eq!(stream.message().await.unwrap(), None);
}

async fn only_peers_verify_and_watch(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut outsider = AuthenticationServiceClient::new(fixture.auth.authentication_service());
    let refusal = outsider.watch_keys(WatchKeysRequest {}).await.map(drop).unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
    let refusal = outsider.verify_api_key(VerifyApiKeyRequest::default()).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}

async fn a_caller_who_goes_away_leaves_memory_and_database_agreeing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    // Drop the call after its first poll, wherever it then is.
    let mut keys = fixture.keys();
    let call = keys.revoke_api_key(RevokeApiKeyRequest { id, ..Default::default() });
    let _cut_off = tokio::time::timeout(Duration::ZERO, call).await;
    assert!(fixture.tasks.shutdown(Duration::from_secs(5)).await, "the change runs to its end");
    assert!(fixture.verify(&key).await.is_err());
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.verify(&key).await, Err(ErrorReason::InvalidCredential));
}
