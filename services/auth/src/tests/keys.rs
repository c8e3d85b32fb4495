use headgate_proto::auth::v1::{GetApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest};

use super::*;

on_both_engines!(
    a_key_works_until_it_is_revoked_and_over_a_restart,
    a_key_stops_at_its_expiry,
    a_suspended_tenants_keys_are_refused_until_it_is_active_again,
    secrets_are_shown_once_and_stored_nowhere,
    a_missing_pepper_is_not_replaced_while_there_are_keys,
    keys_are_listed_by_tenant_and_bad_requests_named,
);

async fn a_key_works_until_it_is_revoked_and_over_a_restart(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (kept, kept_key) = fixture.key("a").await;
    let (revoked, revoked_key) = fixture.key("a").await;
    assert_eq!(fixture.verify(&revoked_key).await, Ok(revoked.clone()));

    let revoke = || RevokeApiKeyRequest { id: revoked.clone(), ..Default::default() };
    let first = fixture.keys().revoke_api_key(revoke()).await.unwrap().into_inner();
    assert_eq!(fixture.verify(&revoked_key).await, Err(ErrorReason::InvalidCredential));
    fixture.clock.advance(Duration::from_secs(5));
    let again = fixture.keys().revoke_api_key(revoke()).await.unwrap().into_inner();
    assert_eq!(again, first, "repeating is harmless and keeps the time");
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.verify(&kept_key).await, Ok(kept));
    assert_eq!(fixture.verify(&revoked_key).await, Err(ErrorReason::InvalidCredential));
    let read = fixture.keys().get_api_key(GetApiKeyRequest { id: revoked }).await.unwrap().into_inner();
    assert_eq!(read.api_key, first.api_key);
    assert_eq!(fixture.owner(&first.api_key.unwrap().id).await, Ok("a".into()), "it stays its tenant's");
    assert_eq!(fixture.owner("key_none").await, Err(ErrorReason::NotFound));
}

async fn a_key_stops_at_its_expiry(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let seconds = NOW_MICROS / 1_000_000 + 60;
    let expire_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = CreateApiKeyRequest { tenant_id: "a".into(), expire_time, ..Default::default() };
    let made = fixture.keys().create_api_key(request.clone()).await.unwrap().into_inner();
    assert_eq!(made.api_key.unwrap().expire_time, expire_time);
    fixture.clock.advance(Duration::from_millis(59_999));
    assert!(fixture.verify(&made.secret_key).await.is_ok());
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.verify(&made.secret_key).await, Err(ErrorReason::InvalidCredential));
    let refusal = fixture.keys().create_api_key(request).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "expire_time".into()));
}

async fn a_suspended_tenants_keys_are_refused_until_it_is_active_again(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    fixture.set_status("a", TenantStatus::Suspended).await.unwrap();
    assert_eq!(fixture.verify(&key).await, Err(ErrorReason::TenantDisabled));
    fixture.set_status("a", TenantStatus::Active).await.unwrap();
    assert_eq!(fixture.verify(&key).await, Ok(id));
}

async fn secrets_are_shown_once_and_stored_nowhere(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    let (prefix, secret) = key.strip_prefix("sk-").unwrap().split_once('.').unwrap();
    let pepper = std::fs::read(db.dir().join("auth.pepper")).unwrap();
    let bytes = db.bytes("auth").await;
    assert!(contains(&bytes, prefix.as_bytes()), "the search finds what is there");
    assert!(!contains(&bytes, secret.as_bytes()));
    assert!(!contains(&bytes, &pepper) && !contains(&bytes, &hex::decode(&pepper).unwrap()));
    let read = fixture.keys().get_api_key(GetApiKeyRequest { id }).await.unwrap();
    assert!(!format!("{read:?}").contains(secret));
}

async fn a_missing_pepper_is_not_replaced_while_there_are_keys(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.key("a").await;
    drop(fixture);
    std::fs::remove_file(db.dir().join("auth.pepper")).unwrap();
    let refusal = Fixture::try_start(&db).await.err();
    assert!(matches!(refusal, Some(BuildError::Pepper(PepperError::Missing))));
}

async fn keys_are_listed_by_tenant_and_bad_requests_named(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let mut wanted = vec![fixture.key("a").await.0, fixture.key("a").await.0];
    wanted.sort();
    fixture.key("b").await;
    let request = |tenant_id: &str| ListApiKeysRequest { tenant_id: tenant_id.into(), ..Default::default() };
    let listed = fixture.keys().list_api_keys(request("a")).await.unwrap().into_inner();
    assert_eq!(listed.api_keys.into_iter().map(|k| k.id).collect::<Vec<_>>(), wanted);
    let refusal = fixture.keys().list_api_keys(request("")).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "tenant_id".into()));

    let bad =
        CreateApiKeyRequest { tenant_id: "a".into(), scopes: vec!["admin".into()], ..Default::default() };
    let refusal = fixture.keys().create_api_key(bad).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "scopes".into()));
    let orphan = CreateApiKeyRequest { tenant_id: "none".into(), ..Default::default() };
    let refusal = fixture.keys().create_api_key(orphan).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
}
