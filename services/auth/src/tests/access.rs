use headgate_access::Verifier;
use headgate_proto::auth::v1::access_watch_service_client::AccessWatchServiceClient;
use headgate_proto::auth::v1::{
    ListSigningKeysRequest, LogoutRequest, UpdateUserRequest, UserStatus, WatchAccessRequest,
    WatchAccessResponse,
};
use tonic::Streaming;

use super::*;

on_both_engines!(
    a_watch_lets_others_judge_tokens,
    keys_take_turns_and_outlive_their_tokens,
    a_restart_keeps_keys_and_what_is_void,
    only_services_of_the_deployment_watch,
);

async fn watch(fixture: &Fixture) -> Streaming<WatchAccessResponse> {
    let conn = local(fixture.auth.access_watch_service());
    let watch = AccessWatchServiceClient::new(conn).watch_access(WatchAccessRequest {}).await;
    watch.unwrap().into_inner()
}

async fn snapshot(stream: &mut Streaming<WatchAccessResponse>) -> WatchAccessResponse {
    let next = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if message.snapshot {
                return message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("a snapshot")
}

async fn published(fixture: &Fixture) -> Vec<String> {
    let keys = fixture.sessions().list_signing_keys(ListSigningKeysRequest {}).await.unwrap();
    keys.into_inner().keys.into_iter().map(|key| key.kid).collect()
}

async fn suspend(fixture: &Fixture, id: &str) {
    let status = Some(UserStatus::Suspended.into());
    let request = UpdateUserRequest { id: id.into(), status, ..Default::default() };
    fixture.users().update_user(request).await.unwrap();
}

async fn a_watch_lets_others_judge_tokens(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let mut stream = watch(&fixture).await;
    let elsewhere = Verifier::new(fixture.clock.clone());
    elsewhere.apply(snapshot(&mut stream).await);
    let (one, two) =
        (fixture.login("ada", PASSWORD).await.unwrap(), fixture.login("ada", PASSWORD).await.unwrap());
    let claims = elsewhere.verify(&one.access_token).unwrap();
    assert_eq!(
        (claims.user_id.as_str(), claims.super_admin, claims.generation),
        (user.id.as_str(), false, 1)
    );

    let request = LogoutRequest { refresh_token: one.refresh_token, ..Default::default() };
    fixture.sessions().logout(request).await.unwrap();
    elsewhere.apply(snapshot(&mut stream).await);
    assert!(elsewhere.verify(&one.access_token).is_err());
    assert!(elsewhere.verify(&two.access_token).is_ok());
    suspend(&fixture, &user.id).await;
    elsewhere.apply(snapshot(&mut stream).await);
    assert!(elsewhere.verify(&two.access_token).is_err());

    let late = snapshot(&mut watch(&fixture).await).await;
    assert_eq!(late.voided.len(), 2, "who comes later learns of both");
    // Until no token can be left.
    fixture.pass(3600 + 121);
    fixture.auth.people.keep_up().await.unwrap();
    assert!(snapshot(&mut stream).await.voided.is_empty());
}

async fn keys_take_turns_and_outlive_their_tokens(db: TestDb) {
    let config = Config { signing_key_rotation_ms: 24 * 3_600_000, ..Config::default() };
    let fixture = Fixture::start_with(&db, config).await.unwrap();
    fixture.user("ada").await;
    let first = published(&fixture).await;
    assert_eq!(first.len(), 1);
    let kid = |tokens: &TokenPair| {
        let header = tokens.access_token.split('.').next().unwrap();
        let header =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    };
    fixture.pass(23 * 3600);
    fixture.auth.people.keep_up().await.unwrap();
    fixture.auth.people.keep_up().await.unwrap();
    let both = published(&fixture).await;
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "announced, once");
    assert_eq!(kid(&fixture.login("ada", PASSWORD).await.unwrap()), first[0], "and not yet in use");
    fixture.pass(3600);
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    assert_eq!(kid(&tokens), both[1]);
    assert!(fixture.me(&tokens.access_token).await.is_ok());
    assert_eq!(published(&fixture).await.len(), 2, "tokens of the first are still about");
    fixture.pass(2 * 3600);
    assert_eq!(published(&fixture).await, both[1..]);
}

async fn a_restart_keeps_keys_and_what_is_void(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    fixture.user("bob").await;
    let ada = fixture.login("ada", PASSWORD).await.unwrap();
    let bob = fixture.login("bob", PASSWORD).await.unwrap();
    suspend(&fixture, &user.id).await;
    let keys = published(&fixture).await;
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(published(&fixture).await, keys);
    assert!(fixture.me(&bob.access_token).await.is_ok());
    assert_eq!(fixture.me(&ada.access_token).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.refresh(&bob.refresh_token).await.is_ok());
}

async fn only_services_of_the_deployment_watch(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut outsider = AccessWatchServiceClient::new(fixture.auth.access_watch_service());
    let refusal = outsider.watch_access(WatchAccessRequest {}).await.map(drop).unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_keys_and_tell_each_other_what_is_void() {
    let db = TestDb::postgres().await;
    let (here, there) = tokio::join!(Fixture::start(&db), Fixture::start(&db));
    assert_eq!(published(&here).await, published(&there).await, "two that start at once make one key");
    let user = here.user("ada").await;
    let tokens = there.login("ada", PASSWORD).await.unwrap();
    assert!(here.me(&tokens.access_token).await.is_ok());
    let mut stream = watch(&there).await;
    snapshot(&mut stream).await;
    suspend(&here, &user.id).await;
    assert_eq!(snapshot(&mut stream).await.voided.len(), 1);
    assert_eq!(there.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(there.refresh(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
}
