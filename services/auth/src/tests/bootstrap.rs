use headgate_proto::auth::v1::RevokeApiKeyRequest;

use super::*;

on_both_engines!(
    a_bootstrap_makes_what_it_names_and_repeating_changes_nothing,
    a_bootstrap_changes_keys_but_restores_neither_keys_nor_tenants,
    a_bad_bootstrap_names_the_fault_and_changes_nothing,
    a_bootstrap_takes_nothing_from_others,
    people_of_a_bootstrap_are_made_once_and_keep_their_passwords,
    a_bootstrap_vouches_for_whom_it_names,
);

fn demo() -> Bootstrap {
    serde_json::from_str(
        r#"{
            "tenants": [{ "id": "demo", "name": "Demo" }],
            "api_keys": [{ "tenant_id": "demo", "name": "first", "key": "sk-demo.my-secret", "scopes": ["chat"] }]
        }"#,
    )
    .unwrap()
}

fn revision(fixture: &Fixture) -> u64 {
    fixture.auth.registry.read().revision()
}

async fn a_bootstrap_makes_what_it_names_and_repeating_changes_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.bootstrap(&demo()).await.unwrap();
    assert_eq!(fixture.verify("sk-demo.my-secret").await, Ok("key_demo".into()));
    let before = revision(&fixture);
    fixture.clock.advance(Duration::from_secs(9));
    fixture.auth.bootstrap(&demo()).await.unwrap();
    assert_eq!(revision(&fixture), before);
    assert!(!contains(&db.bytes("auth").await, b"my-secret"));
}

async fn a_bootstrap_changes_keys_but_restores_neither_keys_nor_tenants(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.bootstrap(&demo()).await.unwrap();
    let mut changed = demo();
    changed.api_keys[0].key = "sk-demo.other-secret".into();
    fixture.auth.bootstrap(&changed).await.unwrap();
    assert!(fixture.verify("sk-demo.my-secret").await.is_err());
    assert!(fixture.verify("sk-demo.other-secret").await.is_ok());

    fixture.set_status("demo", TenantStatus::Suspended).await.unwrap();
    fixture.auth.bootstrap(&changed).await.unwrap();
    assert_eq!(fixture.verify("sk-demo.other-secret").await, Err(ErrorReason::TenantDisabled));
    fixture
        .keys()
        .revoke_api_key(RevokeApiKeyRequest { id: "key_demo".into(), ..Default::default() })
        .await
        .unwrap();
    fixture.auth.bootstrap(&changed).await.unwrap();
    assert_eq!(fixture.verify("sk-demo.other-secret").await, Err(ErrorReason::InvalidCredential));
}

async fn a_bad_bootstrap_names_the_fault_and_changes_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    type Spoil = fn(&mut Bootstrap);
    let faults: [(Spoil, &str); 6] = [
        (|b| b.api_keys[0].key = "sk-demo.short".into(), "bootstrap.api_keys[0].key"),
        (|b| b.api_keys[0].key = "my-secret-key".into(), "bootstrap.api_keys[0].key"),
        (|b| b.api_keys[0].scopes = vec!["all".into()], "bootstrap.api_keys[0].scopes"),
        (|b| b.api_keys[0].tenant_id = "none".into(), "bootstrap.api_keys"),
        (|b| b.api_keys.push(b.api_keys[0].clone()), "bootstrap.api_keys[1].id"),
        (|b| b.tenants[0].id = "a b".into(), "bootstrap.tenants[0].id"),
    ];
    let before = revision(&fixture);
    for (spoil, wanted) in faults {
        let mut bootstrap = demo();
        spoil(&mut bootstrap);
        let fault = fixture.auth.bootstrap(&bootstrap).await.unwrap_err();
        assert_eq!(fault.metadata["field"], wanted);
        assert!(!fault.message.contains("secret-key") && !fault.message.contains("short"), "{fault}");
    }
    assert_eq!(revision(&fixture), before);
}

async fn a_bootstrap_takes_nothing_from_others(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.bootstrap(&demo()).await.unwrap();
    fixture.tenant("other").await;
    let reason = async |spoil: fn(&mut Bootstrap)| {
        let mut bootstrap = demo();
        spoil(&mut bootstrap);
        fixture.auth.bootstrap(&bootstrap).await.unwrap_err().reason
    };
    assert_eq!(reason(|b| b.tenants[0].name = "other".into()).await, ErrorReason::AlreadyExists);
    assert_eq!(reason(|b| b.api_keys[0].id = Some("mine".into())).await, ErrorReason::AlreadyExists);
    assert_eq!(reason(|b| b.api_keys[0].tenant_id = "other".into()).await, ErrorReason::Conflict);
}

#[test]
fn a_bootstrap_is_printed_without_its_secrets() {
    let bootstrap = demo();
    let shown = format!("{bootstrap:?} {}", serde_json::to_string(&bootstrap).unwrap());
    assert!(!shown.contains("my-secret") && shown.contains("[redacted]"), "{shown}");
    assert!(serde_json::from_str::<Bootstrap>(r#"{"tenant": []}"#).is_err(), "unknown keys are refused");
    assert!(serde_json::from_str::<Config>(r#"{"x": 1}"#).is_err());
}

fn people() -> Bootstrap {
    serde_json::from_str(
        r#"{
            "tenants": [{ "id": "demo", "name": "Demo" }],
            "admin_users": [{ "email": "Root@example.com", "name": "Root", "password": "the root password" }],
            "memberships": [
                { "tenant_id": "demo", "email": "root@example.com", "role": "viewer" },
                { "tenant_id": "demo", "email": "ada", "role": "owner", "password": "the first password" }
            ]
        }"#,
    )
    .unwrap()
}

async fn people_of_a_bootstrap_are_made_once_and_keep_their_passwords(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.bootstrap(&people()).await.unwrap();
    let before = revision(&fixture);
    let root = fixture.login("root@example.com", "the root password").await.unwrap();
    let me = fixture.me(&root.access_token).await.unwrap();
    let user = me.user.unwrap();
    assert_eq!(
        (user.super_admin, user.name.as_str(), me.memberships[0].role()),
        (true, "Root", Role::Viewer)
    );
    let ada = fixture.login("ada", "the first password").await.unwrap();
    fixture.auth.bootstrap(&people()).await.unwrap();
    assert_eq!(revision(&fixture), before);

    let mut changed = people();
    changed.memberships[0].role = "admin".into();
    changed.memberships[1].password = Some("another password".into());
    fixture.auth.bootstrap(&changed).await.unwrap();
    assert!(fixture.login("ada", "the first password").await.is_ok(), "they have one");
    assert!(fixture.me(&ada.access_token).await.is_ok(), "nothing of hers changed");
    assert_eq!(fixture.me(&root.access_token).await, Err(ErrorReason::InvalidCredential), "void");
    let root = fixture.refresh(&root.refresh_token).await.unwrap();
    assert_eq!(fixture.me(&root.access_token).await.unwrap().memberships[0].role(), Role::Admin);

    let before = revision(&fixture);
    changed.memberships[1].tenant_id = "none".into();
    changed.memberships[0].role = "owner".into();
    let fault = fixture.auth.bootstrap(&changed).await.unwrap_err();
    assert_eq!(
        (fault.reason, fault.metadata["field"].as_str()),
        (ErrorReason::InvalidRequest, "bootstrap.memberships")
    );
    assert_eq!(revision(&fixture), before, "nobody else is changed either");

    // A hash that was made elsewhere is one like any other.
    let stored = String::from_utf8_lossy(&db.bytes("auth").await).into_owned();
    let from = stored.find("$argon2id$").unwrap();
    let hash = &stored[from..from + 97];
    let brought = format!(r#"{{"admin_users": [{{"email": "bob", "password_hash": "{hash}"}}]}}"#);
    fixture.auth.bootstrap(&serde_json::from_str(&brought).unwrap()).await.unwrap();
    let logins =
        [fixture.login("bob", "the root password").await, fixture.login("bob", "the first password").await];
    assert_eq!(logins.iter().filter(|login| login.is_ok()).count(), 1, "{logins:?}");
}

async fn a_bootstrap_vouches_for_whom_it_names(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.auth.bootstrap(&people()).await.unwrap();
    let ada = fixture.login("ada", "the first password").await.unwrap().access_token;
    let made_up = CreateMembershipRequest {
        tenant_id: "demo".into(),
        email: "cfo".into(),
        password: PASSWORD.into(),
        role: Role::Viewer.into(),
        ..Default::default()
    };
    fixture.members(&ada).create_membership(made_up).await.unwrap();
    let stranger = fixture.login("cfo", PASSWORD).await.unwrap();
    let named = r#"{"tenants": [{"id": "b", "name": "B"}],
                    "memberships": [{"tenant_id": "b", "email": "cfo", "role": "owner", "password": "the configured one"}]}"#;
    let named: Bootstrap = serde_json::from_str(named).unwrap();
    fixture.auth.bootstrap(&named).await.unwrap();
    assert!(
        fixture.login("cfo", PASSWORD).await.is_err()
            && fixture.refresh(&stranger.refresh_token).await.is_err()
    );
    assert!(fixture.login("cfo", "the configured one").await.is_ok());
    let before = revision(&fixture);
    fixture.auth.bootstrap(&named).await.unwrap();
    assert_eq!(revision(&fixture), before, "once");
}
