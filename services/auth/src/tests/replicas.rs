//! Several replicas on one PostgreSQL.

use std::time::Instant;

use headgate_proto::auth::v1::{
    RevokeApiKeyRequest, UpdateApiKeyRequest, WatchKeysRequest, WatchKeysResponse,
};
use tonic::Streaming;

use super::key_rights::change;
use super::*;

async fn watch(fixture: &Fixture) -> Streaming<WatchKeysResponse> {
    let mut stream = fixture.peers().watch_keys(WatchKeysRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().snapshot);
    stream
}

/// The next message that tells of keys.
async fn news(stream: &mut Streaming<WatchKeysResponse>) -> WatchKeysResponse {
    let next = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if !message.keys.is_empty() {
                return message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next).await.expect("the other replica learns of it")
}

async fn revoke(fixture: &Fixture, id: &str) {
    fixture.keys().revoke_api_key(RevokeApiKeyRequest { id: id.into(), ..Default::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_changes_the_watches_of_the_other_tell() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.tenant("a").await;
    let mut stream = watch(&there).await;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let (id, _) = here.key("a").await;
        let made = news(&mut stream).await;
        assert_eq!((made.keys[0].key_id.as_str(), made.keys[0].revoked), (id.as_str(), false));
        revoke(&here, &id).await;
        let acknowledged = Instant::now();
        let change = news(&mut stream).await;
        fastest = fastest.min(acknowledged.elapsed());
        assert_eq!((change.keys.len(), change.keys[0].key_id.as_str()), (1, id.as_str()));
        assert!(change.keys[0].revoked && change.revision == made.revision + 1);
    }
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    here.key("a").await;
    news(&mut stream).await;
    here.set_status("a", TenantStatus::Suspended).await.unwrap();
    let change = news(&mut stream).await;
    assert_eq!(change.keys.len(), 6, "all of the tenant's keys");
    assert!(change.keys.iter().all(|key| key.tenant_status() == TenantStatus::Suspended));
}

#[tokio::test]
async fn a_new_key_is_good_at_every_replica_at_once() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.tenant("a").await;
    for _ in 0..20 {
        let (id, key) = here.key("a").await;
        assert_eq!(there.owner(&id).await, Ok("a".into()));
        assert_eq!(there.verify(&key).await, Ok(id));
    }
}

#[tokio::test]
async fn a_replica_that_does_not_know_it_yet_undoes_nothing() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    let mut bootstrap = Bootstrap {
        tenants: vec![BootstrapTenant { id: "a".into(), name: "A".into() }],
        api_keys: vec![BootstrapKey {
            id: Some("k".into()),
            tenant_id: "a".into(),
            name: "first".into(),
            key: "sk-demo.my-secret".into(),
            scopes: vec![],
            models: None,
            ip_allowlist: None,
            metadata: None,
            limits: None,
            budget: None,
        }],
        ..Bootstrap::default()
    };
    here.auth.bootstrap(&bootstrap).await.unwrap();
    for n in 0..10 {
        // The other writes the whole row, with no time to hear of the revocation first.
        bootstrap.api_keys[0].name = format!("name {n}");
        bootstrap.api_keys[0].id = Some(format!("k{n}"));
        bootstrap.api_keys[0].key = format!("sk-demo{n}.my-secret").into();
        here.auth.bootstrap(&bootstrap).await.unwrap();
        revoke(&here, &format!("k{n}")).await;
        bootstrap.api_keys[0].name = format!("other name {n}");
        there.auth.bootstrap(&bootstrap).await.unwrap();
        let presented = format!("sk-demo{n}.my-secret");
        for replica in [&here, &there] {
            assert_eq!(replica.verify(&presented).await, Err(ErrorReason::InvalidCredential));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_all_replicas_come_one_after_the_other_and_all_arrive() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.tenant("a").await;
    let mut streams = [watch(&here).await, watch(&there).await];
    let make = async |fixture: &Fixture| {
        for _ in 0..15 {
            fixture.key("a").await;
        }
    };
    tokio::join!(make(&here), make(&there));
    for stream in &mut streams {
        let (mut seen, mut revision) = (0, 0);
        while seen < 30 {
            let message = news(stream).await;
            assert!(message.revision > revision);
            (seen, revision) = (seen + message.keys.len(), message.revision);
        }
        assert_eq!(seen, 30, "each once");
    }
    let records = |fixture: &Fixture| {
        let mut records = fixture.auth.registry.read().records();
        records.sort_by(|a, b| a.key_id.cmp(&b.key_id));
        records
    };
    assert_eq!(records(&here), records(&there));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_its_database_is_silent_and_calls_no_key_good_or_unknown() {
    let db = TestDb::postgres().await;
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    let mut stream = watch(&fixture).await;
    assert!(stream.message().await.unwrap().is_some(), "it beats");

    db.cut_off().await;
    // A beat may be on its way.
    let _late = tokio::time::timeout(Duration::from_millis(400), stream.message()).await;
    let silence = tokio::time::timeout(Duration::from_secs(1), stream.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    let asked = Instant::now();
    assert_eq!(fixture.verify(&key).await, Err(ErrorReason::Unavailable), "it may be revoked elsewhere");
    assert!(asked.elapsed() < Duration::from_millis(500), "peers that know it do not wait");
    assert_eq!(fixture.verify("sk-nobody.my-secret").await, Err(ErrorReason::Unavailable));
    let refusal = fixture.peers().watch_keys(WatchKeysRequest {}).await.map(drop).unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Unavailable);
    let request = CreateApiKeyRequest { tenant_id: "a".into(), ..Default::default() };
    let refusal = fixture.keys().create_api_key(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Unavailable);

    db.let_in().await;
    let beat = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    assert!(beat.unwrap().unwrap().unwrap().keys.is_empty());
    assert_eq!(fixture.verify(&key).await, Ok(id.clone()));
    watch(&fixture).await;
    assert_eq!(fixture.verify("sk-nobody.my-secret").await, Err(ErrorReason::InvalidCredential));
    revoke(&fixture, &id).await;
    assert!(news(&mut stream).await.keys[0].revoked);
}

#[tokio::test]
async fn replicas_must_share_the_pepper() {
    let db = TestDb::postgres().await;
    let first = Fixture::start(&db).await;
    first.tenant("a").await;
    let (id, key) = first.key("a").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let start = async |pepper: Option<&str>| {
        let config = Config { pepper: pepper.map(Into::into), ..Config::default() };
        let deps = Deps { data_dir: elsewhere.path().to_owned(), ..Fixture::deps(&db) };
        Auth::build(config, deps).await
    };
    assert!(matches!(start(None).await.err(), Some(BuildError::Pepper(PepperError::Missing))));
    let other = start(Some(&"ab".repeat(32))).await.err();
    assert!(matches!(other, Some(BuildError::Pepper(PepperError::Another))));
    let same = std::fs::read_to_string(db.dir().join("auth.pepper")).unwrap();
    let second = start(Some(&same)).await.unwrap();
    assert_eq!(second.registry.verify(&key).await.unwrap().key_id, id);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "no file beside it");
}

#[tokio::test]
async fn what_was_read_at_one_replica_is_changed_at_the_other_only_as_it_is() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.tenant("a").await;
    let (id, _) = here.key("a").await;
    let read = here.read_key(&id).await.etag;
    // It knows the key when it made sure that nothing is missing.
    there.verify("sk-unheard.of-key").await.unwrap_err();
    let rename = |fixture: &Fixture, name: &str, etag: &str| {
        let (name, etag) = (Some(name.to_owned()), etag.to_owned());
        let (request, mut keys) = (UpdateApiKeyRequest { name, etag, ..change(&id) }, fixture.keys());
        async move { keys.update_api_key(request).await.map(|updated| updated.into_inner().api_key.unwrap()) }
    };
    let (one, other) = tokio::join!(rename(&here, "one", &read), rename(&there, "other", &read));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let (won, lost) = (won.unwrap(), failure(lost.unwrap_err()));
    assert_eq!((lost.reason, &lost.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    assert_eq!(rename(&there, "last", &won.etag).await.unwrap().name, "last");
}

#[tokio::test]
async fn a_use_that_one_replica_was_told_is_seen_at_the_other() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.tenant("a").await;
    let (id, _) = here.key("a").await;
    // It knows the key when it made sure that nothing is missing.
    there.verify("sk-unheard.of-key").await.unwrap_err();
    assert_eq!(there.used_ms(&id).await, None);
    here.report(&id, NOW_MICROS / 1000).await;
    assert_eq!(there.used_ms(&id).await, Some(NOW_MICROS / 1000));
    there.report(&id, NOW_MICROS / 1000 - 60_000).await;
    assert_eq!(here.used_ms(&id).await, Some(NOW_MICROS / 1000), "it never goes back");
}
