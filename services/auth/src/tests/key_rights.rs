//! What keys may do, and how that changes.

use std::collections::HashMap;

use headgate_proto::auth::v1::{
    ApiKey, GetApiKeyRequest, KeyUse, ReportKeyUsesRequest, RevokeApiKeyRequest, RotateApiKeyRequest,
    RotateApiKeyResponse, StringList, StringMap, UpdateApiKeyRequest, WatchKeysRequest,
};

use super::*;

on_both_engines!(
    a_change_changes_what_it_says_and_nothing_else,
    of_two_changes_of_what_was_read_one_succeeds,
    a_disabled_key_is_refused_until_it_is_enabled,
    a_rotated_key_works_with_both_secrets_for_a_while,
    a_revoked_key_stays_as_it_is,
    bad_values_are_named_and_change_nothing,
    uses_are_known_over_a_restart_and_never_go_back,
    a_bootstrap_restricts_a_key_and_leaves_what_it_does_not_name,
);

const NOW_MS: i64 = NOW_MICROS / 1000;

fn list(values: &[&str]) -> Option<StringList> {
    Some(StringList { values: values.iter().map(|&value| value.to_owned()).collect() })
}

pub(super) fn change(id: &str) -> UpdateApiKeyRequest {
    UpdateApiKeyRequest { id: id.into(), ..Default::default() }
}

impl Fixture {
    pub(super) async fn read_key(&self, id: &str) -> ApiKey {
        let request = GetApiKeyRequest { id: id.into() };
        self.keys().get_api_key(request).await.unwrap().into_inner().api_key.unwrap()
    }

    pub(super) async fn update(&self, request: UpdateApiKeyRequest) -> Result<ApiKey, Status> {
        self.keys().update_api_key(request).await.map(|response| response.into_inner().api_key.unwrap())
    }

    async fn rotate(&self, id: &str, overlap_seconds: u32) -> Result<RotateApiKeyResponse, Status> {
        let request = RotateApiKeyRequest { id: id.into(), overlap_seconds, ..Default::default() };
        self.keys().rotate_api_key(request).await.map(tonic::Response::into_inner)
    }

    pub(super) async fn report(&self, id: &str, at_ms: i64) {
        let uses = vec![KeyUse { key_id: id.into(), last_used_at_unix_ms: at_ms }];
        self.peers().report_key_uses(ReportKeyUsesRequest { uses }).await.unwrap();
    }

    pub(super) async fn used_ms(&self, id: &str) -> Option<i64> {
        let time = self.read_key(id).await.last_used_time;
        time.map(|time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000)
    }
}

async fn a_change_changes_what_it_says_and_nothing_else(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let request = CreateApiKeyRequest {
        tenant_id: "a".into(),
        name: "first".into(),
        scopes: vec!["chat".into()],
        models: vec!["m".into(), "k".into()],
        ip_allowlist: vec!["192.0.2.1".into()],
        metadata: HashMap::from([("team".into(), "search".into())]),
        user_id: "user_1".into(),
        ..Default::default()
    };
    let made = fixture.keys().create_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(made.models, ["k", "m"]);
    assert_eq!(fixture.read_key(&made.id).await, made);

    let renamed =
        fixture.update(UpdateApiKeyRequest { name: Some("second".into()), ..change(&made.id) }).await;
    let renamed = renamed.unwrap();
    assert_ne!(renamed.etag, made.etag);
    assert_eq!(renamed, ApiKey { name: "second".into(), etag: renamed.etag.clone(), ..made.clone() });
    let again = fixture.update(UpdateApiKeyRequest { name: Some("second".into()), ..change(&made.id) }).await;
    assert_eq!(again.unwrap(), renamed, "what changes nothing is no change");

    let expire_time = Some(prost_types::Timestamp { seconds: NOW_MS / 1000 + 60, nanos: 0 });
    let notes = StringMap { values: HashMap::from([("cost".into(), "7".into())]) };
    let all = UpdateApiKeyRequest {
        scopes: list(&[]),
        models: list(&["n"]),
        ip_allowlist: list(&["2001:db8::/32"]),
        metadata: Some(notes),
        disabled: Some(true),
        expire_time,
        user_id: Some(String::new()),
        ..change(&made.id)
    };
    let changed = fixture.update(all).await.unwrap();
    let wanted = ApiKey {
        name: "second".into(),
        scopes: vec![],
        models: vec!["n".into()],
        ip_allowlist: vec!["2001:db8::/32".into()],
        metadata: HashMap::from([("cost".into(), "7".into())]),
        disabled: true,
        expire_time,
        user_id: String::new(),
        etag: changed.etag.clone(),
        ..made.clone()
    };
    assert_eq!(changed, wanted);
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.read_key(&made.id).await, changed, "it is what a restart reads");
    let told = fixture.peers().watch_keys(WatchKeysRequest {}).await.unwrap().into_inner().message().await;
    let record = told.unwrap().unwrap().keys.remove(0);
    assert_eq!(
        (record.models, record.ip_allowlist, record.revoked),
        (wanted.models, wanted.ip_allowlist, true)
    );
    let forever = UpdateApiKeyRequest { never_expires: true, ..change(&made.id) };
    assert_eq!(fixture.update(forever).await.unwrap().expire_time, None);
}

async fn of_two_changes_of_what_was_read_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, _) = fixture.key("a").await;
    let etag = fixture.read_key(&id).await.etag;
    let rename = |name: &str| {
        let name = Some(name.to_owned());
        fixture.update(UpdateApiKeyRequest { name, etag: etag.clone(), ..change(&id) })
    };
    let (one, other) = tokio::join!(rename("one"), rename("other"));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let (won, refusal) = (won.unwrap(), failure(lost.unwrap_err()));
    assert_eq!(fixture.read_key(&id).await, won);
    assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    let revoke = async |etag: &str, tenant_id: &str| {
        let request = RevokeApiKeyRequest { id: id.clone(), etag: etag.into(), tenant_id: tenant_id.into() };
        fixture.keys().revoke_api_key(request).await.map(|revoked| revoked.into_inner().api_key.unwrap())
    };
    assert_eq!(failure(revoke(&etag, "").await.unwrap_err()).reason, ErrorReason::Conflict);
    let of_another = revoke(&won.etag, "b").await.unwrap_err();
    assert_eq!(failure(of_another).reason, ErrorReason::NotFound);
    assert!(revoke(&won.etag, "a").await.unwrap().revoke_time.is_some());
}

async fn a_disabled_key_is_refused_until_it_is_enabled(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    let set = |disabled| fixture.update(UpdateApiKeyRequest { disabled: Some(disabled), ..change(&id) });
    set(true).await.unwrap();
    assert_eq!(fixture.verify(&key).await, Err(ErrorReason::InvalidCredential));
    set(false).await.unwrap();
    assert_eq!(fixture.verify(&key).await, Ok(id.clone()));
}

async fn a_rotated_key_works_with_both_secrets_for_a_while(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, first) = fixture.key("a").await;
    let rotated = fixture.rotate(&id, 60).await.unwrap();
    let (second, shown) = (rotated.secret_key, rotated.api_key.unwrap());
    assert_eq!(shown.previous_secret_expire_time.unwrap().seconds, NOW_MS / 1000 + 60);
    assert!(second.starts_with(&format!("sk-{}.", shown.prefix)) && second != first);
    assert!(!contains(&db.bytes("auth").await, second.split_once('.').unwrap().1.as_bytes()));
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    fixture.clock.advance(Duration::from_millis(59_999));
    assert_eq!(
        (fixture.verify(&first).await, fixture.verify(&second).await),
        (Ok(id.clone()), Ok(id.clone()))
    );
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.verify(&first).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.read_key(&id).await.previous_secret_expire_time, None);

    let third = fixture.rotate(&id, 2_592_000).await.unwrap().secret_key;
    let fourth = fixture.rotate(&id, 60).await.unwrap().secret_key;
    assert_eq!(fixture.verify(&second).await, Err(ErrorReason::InvalidCredential), "one before ends at once");
    assert_eq!(
        (fixture.verify(&third).await, fixture.verify(&fourth).await),
        (Ok(id.clone()), Ok(id.clone()))
    );
    let fifth = fixture.rotate(&id, 0).await.unwrap().secret_key;
    assert_eq!(fixture.verify(&fourth).await, Err(ErrorReason::InvalidCredential), "nothing overlaps");
    assert_eq!(fixture.verify(&fifth).await, Ok(id));
}

async fn a_revoked_key_stays_as_it_is(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, key) = fixture.key("a").await;
    fixture.rotate(&id, 60).await.unwrap();
    let request = RevokeApiKeyRequest { id: id.clone(), ..Default::default() };
    fixture.keys().revoke_api_key(request).await.unwrap();
    assert_eq!(
        fixture.verify(&key).await,
        Err(ErrorReason::InvalidCredential),
        "the old secret ends with it"
    );
    let before = fixture.read_key(&id).await;
    let change = UpdateApiKeyRequest { disabled: Some(false), ..change(&id) };
    let refusals = [fixture.update(change).await.unwrap_err(), fixture.rotate(&id, 0).await.unwrap_err()];
    for refusal in refusals {
        assert_eq!(failure(refusal).reason, ErrorReason::Conflict);
    }
    assert_eq!(fixture.read_key(&id).await, before);
}

async fn bad_values_are_named_and_change_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, _) = fixture.key("a").await;
    let before = fixture.read_key(&id).await;
    let past = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let notes = StringMap { values: HashMap::from([("a b".into(), String::new())]) };
    let bad = [
        (UpdateApiKeyRequest { name: Some("a\nb".into()), ..change(&id) }, "name"),
        (UpdateApiKeyRequest { scopes: list(&["admin"]), ..change(&id) }, "scopes.values"),
        (UpdateApiKeyRequest { models: list(&[""]), ..change(&id) }, "models.values"),
        (UpdateApiKeyRequest { ip_allowlist: list(&["10.0.0.0/33"]), ..change(&id) }, "ip_allowlist.values"),
        (UpdateApiKeyRequest { metadata: Some(notes), ..change(&id) }, "metadata.values"),
        (UpdateApiKeyRequest { expire_time: past, ..change(&id) }, "expire_time"),
        (UpdateApiKeyRequest { expire_time: past, never_expires: true, ..change(&id) }, "never_expires"),
        (UpdateApiKeyRequest { user_id: Some("a b".into()), ..change(&id) }, "user_id"),
    ];
    for (request, wanted) in bad {
        let request = UpdateApiKeyRequest { disabled: Some(true), ..request };
        let refusal = fixture.update(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    let refusal = fixture.rotate(&id, 2_592_001).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "overlap_seconds".into()));
    assert_eq!(fixture.read_key(&id).await, before);
    for refusal in
        [fixture.update(change("none")).await.unwrap_err(), fixture.rotate("none", 0).await.unwrap_err()]
    {
        assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
    }
}

async fn uses_are_known_over_a_restart_and_never_go_back(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (id, _) = fixture.key("a").await;
    let before = fixture.read_key(&id).await;
    assert_eq!(before.last_used_time, None);
    fixture.report(&id, NOW_MS - 5_000).await;
    fixture.report(&id, NOW_MS - 9_000).await;
    fixture.report("key_none", NOW_MS).await;
    assert_eq!(fixture.used_ms(&id).await, Some(NOW_MS - 5_000));
    assert_eq!(fixture.read_key(&id).await.etag, before.etag, "a use is no change");
    fixture.report(&id, NOW_MS + 3_600_000).await;
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.used_ms(&id).await, Some(NOW_MS), "nothing was used in times to come");
    let one = KeyUse { key_id: id, last_used_at_unix_ms: 1 };
    let many = ReportKeyUsesRequest { uses: vec![one; 1_001] };
    let refusal = fixture.peers().report_key_uses(many).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "uses".into()));
    let mut outsider = AuthenticationServiceClient::new(fixture.auth.authentication_service());
    let refusal = outsider.report_key_uses(ReportKeyUsesRequest::default()).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}

async fn a_bootstrap_restricts_a_key_and_leaves_what_it_does_not_name(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let bootstrap = |extra: &str| -> Bootstrap {
        let key = format!(r#"{{"tenant_id": "a", "key": "sk-demo.my-secret"{extra}}}"#);
        let json = format!(r#"{{"tenants": [{{"id": "a", "name": "A"}}], "api_keys": [{key}]}}"#);
        serde_json::from_str(&json).unwrap()
    };
    let rights = r#", "models": ["m"], "ip_allowlist": ["::1"], "metadata": {"team": "search"}"#;
    fixture.auth.bootstrap(&bootstrap(rights)).await.unwrap();
    let made = fixture.read_key("key_demo").await;
    assert_eq!(
        (made.models.as_slice(), made.ip_allowlist.as_slice()),
        (&["m".into()][..], &["::1".into()][..])
    );
    assert_eq!(made.metadata["team"], "search");
    fixture.auth.bootstrap(&bootstrap("")).await.unwrap();
    assert_eq!(fixture.read_key("key_demo").await, made);
    fixture.auth.bootstrap(&bootstrap(r#", "models": []"#)).await.unwrap();
    assert!(fixture.read_key("key_demo").await.models.is_empty());
    let bad = bootstrap(r#", "models": [""], "ip_allowlist": ["x"], "metadata": {"": ""}"#);
    let paths: Vec<_> = bad.problems(true).into_iter().map(|problem| problem.path).collect();
    let at = |name: &str| format!("bootstrap.api_keys[0].{name}");
    assert_eq!(paths, [at("models"), at("ip_allowlist"), at("metadata")]);
}
