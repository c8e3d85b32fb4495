//! What the audit log tells of each thing that auth does.

use headgate_audit::to_json;
use headgate_proto::auth::v1::{
    AuditActorKind, AuditEvent, AuditFilter, AuditOutcome, BootstrapOwnerRequest, ChangePasswordRequest,
    CreatePasswordResetRequest, DeleteMembershipRequest, ListAuditEventsRequest, LogoutRequest,
    ResetPasswordRequest, RotateApiKeyRequest, UpdateMembershipRequest, UpdateTenantRequest,
    UpdateUserRequest,
};
use serde_json::Value as Json;

use super::*;

on_both_engines!(
    a_change_tells_who_made_it_and_what_was_before_and_after,
    what_changes_nothing_or_fails_tells_nothing,
    people_and_where_they_belong_are_told_of,
    passwords_are_told_of_and_not_told,
    logins_are_told_of_good_bad_and_stolen,
    what_the_throttle_refuses_is_not_told,
    the_first_owner_and_the_bootstrap_are_authors,
);

/// A line of the log: what was done to what, by whom, and how it ended.
pub(super) type Line = (String, String, String, AuditOutcome);

impl Fixture {
    /// All of the log after an id, oldest first.
    async fn log(&self, after: &str) -> Vec<AuditEvent> {
        let list = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
        let mut events = self.events(list).await.unwrap().events;
        events.retain(|event| event.id.as_str() > after);
        events.reverse();
        events
    }

    /// What is told of something done from now on. The clock goes on, so that it is told in order.
    pub(super) async fn told<T>(&self, deed: impl Future<Output = T>) -> (T, Vec<AuditEvent>) {
        let before = self.log("").await.last().map(|event| event.id.clone()).unwrap_or_default();
        self.pass(1);
        let done = deed.await;
        (done, self.log(&before).await)
    }
}

fn line(event: &AuditEvent) -> Line {
    let action = event.action.rsplit('.').next().unwrap().to_owned();
    let actor = event.actor.as_ref().unwrap();
    let by = match actor.kind() {
        AuditActorKind::User => actor.email.clone(),
        kind => kind.as_str_name().trim_start_matches("AUDIT_ACTOR_KIND_").to_lowercase(),
    };
    (action, format!("{} {}", event.resource_kind, event.resource_id), by, event.outcome())
}

/// In an order of their own, as what is told of one change has none.
pub(super) fn lines(events: &[AuditEvent]) -> Vec<Line> {
    let mut lines: Vec<_> = events.iter().map(line).collect();
    lines.sort();
    lines
}

pub(super) fn good(action: &str, thing: &str, by: &str) -> Line {
    (action.into(), thing.into(), by.into(), AuditOutcome::Succeeded)
}

fn failed(action: &str, thing: &str, by: &str) -> Line {
    (action.into(), thing.into(), by.into(), AuditOutcome::Failed)
}

fn json(shown: Option<&prost_types::Struct>) -> Json {
    shown.map_or(Json::Null, |shown| serde_json::from_str(&to_json(shown)).unwrap())
}

fn before_and_after(event: &AuditEvent, field: &str) -> (Json, Json) {
    (json(event.before.as_ref())[field].clone(), json(event.after.as_ref())[field].clone())
}

async fn a_change_tells_who_made_it_and_what_was_before_and_after(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let ((), made) = fixture.told(fixture.tenant("acme")).await;
    assert_eq!(lines(&made), [good("CreateTenant", "tenant acme", "operator")]);
    assert_eq!(before_and_after(&made[0], "name"), (Json::Null, "acme".into()));
    assert_eq!(
        (made[0].tenant_id.as_str(), made[0].action.as_str()),
        ("acme", "auth.v1.TenantService.CreateTenant")
    );

    let rename =
        UpdateTenantRequest { id: "acme".into(), name: Some("Acme Inc.".into()), ..Default::default() };
    let mut request = Request::new(rename);
    for (name, value) in
        [("x-forwarded-for", "192.0.2.9"), ("user-agent", "curl/8"), ("x-request-id", "rename-1")]
    {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let (_, renamed) = fixture.told(fixture.tenants().update_tenant(request)).await;
    assert_eq!(before_and_after(&renamed[0], "name"), ("acme".into(), "Acme Inc.".into()));
    let origin = renamed[0].origin.clone().unwrap();
    let origin = (origin.address.as_str(), origin.user_agent.as_str(), origin.request_id.as_str());
    assert_eq!(origin, ("192.0.2.9", "curl/8", "rename-1"));

    let ((id, key), made) = fixture.told(fixture.key("acme")).await;
    assert_eq!(lines(&made), [good("CreateApiKey", &format!("api_key {id}"), "operator")]);
    let rotate = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
    let (rotated, told) = fixture.told(fixture.keys().rotate_api_key(rotate)).await;
    assert_eq!(lines(&told), [good("RotateApiKey", &format!("api_key {id}"), "operator")]);
    let stored = db.bytes("auth").await;
    for key in [key, rotated.unwrap().into_inner().secret_key] {
        assert!(!contains(&stored, key.split_once('.').unwrap().1.as_bytes()), "a secret is told");
    }
}

async fn what_changes_nothing_or_fails_tells_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("acme").await;
    let same = UpdateTenantRequest { id: "acme".into(), name: Some("acme".into()), ..Default::default() };
    let (done, told) = fixture.told(fixture.tenants().update_tenant(same)).await;
    assert_eq!((done.is_ok(), lines(&told)), (true, vec![]));
    let stale = UpdateTenantRequest { id: "acme".into(), name: Some("b".into()), etag: "0".into() };
    let (done, told) = fixture.told(fixture.tenants().update_tenant(stale)).await;
    assert_eq!((done.is_err(), lines(&told)), (true, vec![]));
    // The user is written before it turns out that they belong to no such tenant's role.
    let ada = fixture.user("ada@example.com").await;
    let twice = CreateMembershipRequest {
        tenant_id: "acme".into(),
        user_id: ada.id.clone(),
        role: Role::Viewer.into(),
        ..Default::default()
    };
    fixture.members("operator-token").create_membership(twice.clone()).await.unwrap();
    let (done, told) = fixture.told(fixture.members("operator-token").create_membership(twice)).await;
    assert_eq!((done.is_err(), lines(&told)), (true, vec![]));
}

async fn people_and_where_they_belong_are_told_of(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("acme").await;
    let (ada, told) = fixture.told(fixture.user("ada@example.com")).await;
    assert_eq!(lines(&told), [good("CreateUser", &format!("user {}", ada.id), "operator")]);
    fixture.join("acme", &ada, Role::Owner).await;
    let token = fixture.login("ada@example.com", PASSWORD).await.unwrap().access_token;

    let invite = CreateMembershipRequest {
        tenant_id: "acme".into(),
        email: "bob@example.com".into(),
        password: "planted password of bob".into(),
        role: Role::Viewer.into(),
        ..Default::default()
    };
    let (made, told) = fixture.told(fixture.members(&token).create_membership(invite)).await;
    let bob = made.unwrap().into_inner().membership.unwrap().user_id;
    let place = format!("membership acme/{bob}");
    let made = [
        good("CreateMembership", &place, "ada@example.com"),
        good("CreateMembership", &format!("user {bob}"), "ada@example.com"),
    ];
    assert_eq!(lines(&told), made);
    let of_tenant: Vec<_> = told.iter().filter(|event| event.tenant_id == "acme").map(line).collect();
    assert_eq!(of_tenant, made[..1], "the account is not the tenant's");

    let promote = UpdateMembershipRequest {
        tenant_id: "acme".into(),
        user_id: bob.clone(),
        role: Role::Admin.into(),
        ..Default::default()
    };
    let (_, told) = fixture.told(fixture.members(&token).update_membership(promote)).await;
    assert_eq!(lines(&told), [good("UpdateMembership", &place, "ada@example.com")]);
    assert_eq!(before_and_after(&told[0], "role"), ("ROLE_VIEWER".into(), "ROLE_ADMIN".into()));
    let end =
        DeleteMembershipRequest { tenant_id: "acme".into(), user_id: bob.clone(), ..Default::default() };
    let (_, told) = fixture.told(fixture.members(&token).delete_membership(end)).await;
    assert_eq!(lines(&told), [good("DeleteMembership", &place, "ada@example.com")]);
    assert_eq!(before_and_after(&told[0], "role"), ("ROLE_ADMIN".into(), Json::Null));

    let suspend = UpdateUserRequest { id: bob.clone(), status: Some(2), ..Default::default() };
    let (_, told) = fixture.told(fixture.users().update_user(suspend)).await;
    assert_eq!(lines(&told), [good("UpdateUser", &format!("user {bob}"), "operator")]);
    assert!(!contains(&db.bytes("auth").await, b"planted password of bob"));
}

async fn passwords_are_told_of_and_not_told(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let ada = fixture.user("ada@example.com").await;
    let user = format!("user {}", ada.id);
    let token = fixture.login("ada@example.com", PASSWORD).await.unwrap().access_token;
    let change = |current: &str| {
        let (current_password, new_password) = (current.to_owned(), "planted new password".to_owned());
        bearing(ChangePasswordRequest { current_password, new_password }, &token)
    };
    let (done, told) = fixture.told(fixture.accounts().change_password(change("planted wrong one"))).await;
    assert_eq!(
        (done.is_err(), lines(&told)),
        (true, vec![failed("ChangePassword", &user, "ada@example.com")])
    );
    let (done, told) = fixture.told(fixture.accounts().change_password(change(PASSWORD))).await;
    done.unwrap();
    let session = told.iter().find(|event| event.resource_kind == "session").unwrap().resource_id.clone();
    let session = format!("session {session}");
    let changed = ["ChangePassword"; 2].map(str::to_owned);
    let expected =
        [good(&changed[0], &session, "ada@example.com"), good(&changed[1], &user, "ada@example.com")];
    assert_eq!(lines(&told), expected);

    let reset = CreatePasswordResetRequest { id: ada.id.clone() };
    let (made, told) = fixture.told(fixture.users().create_password_reset(reset)).await;
    assert_eq!(lines(&told), [good("CreatePasswordReset", &user, "operator")]);
    let use_it = |token: &str| ResetPasswordRequest { token: token.into(), new_password: PASSWORD.into() };
    let (done, told) = fixture.told(fixture.accounts().reset_password(use_it("planted guess"))).await;
    assert_eq!((done.is_err(), lines(&told)), (true, vec![failed("ResetPassword", "user ", "anonymous")]));
    let token = made.unwrap().into_inner().token;
    let (done, told) = fixture.told(fixture.accounts().reset_password(use_it(&token))).await;
    assert_eq!((done.is_ok(), lines(&told)), (true, vec![good("ResetPassword", &user, "ada@example.com")]));
    let stored = db.bytes("auth").await;
    for secret in ["planted", token.as_str(), PASSWORD] {
        assert!(!contains(&stored, secret.as_bytes()), "a secret is told");
    }
}

async fn logins_are_told_of_good_bad_and_stolen(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let ada = fixture.user("ada@example.com").await;
    let (tokens, told) = fixture.told(fixture.login("ada@example.com", PASSWORD)).await;
    let tokens = tokens.unwrap();
    let session = told[0].resource_id.clone();
    let session = format!("session {session}");
    assert_eq!(lines(&told), [good("Login", &session, "ada@example.com")]);

    let (_, told) = fixture.told(fixture.login("ada@example.com", "planted wrong one")).await;
    let reason = (line(&told[0]), told[0].reason());
    let user = format!("user {}", ada.id);
    assert_eq!(reason, (failed("Login", &user, "anonymous"), ErrorReason::InvalidCredential));
    // Some type their password where their name belongs.
    let (_, told) = fixture.told(fixture.login("planted-password-as-name", "x")).await;
    assert_eq!(lines(&told), [failed("Login", "user ", "anonymous")]);

    let (_, told) = fixture.told(fixture.refresh(&tokens.refresh_token)).await;
    assert_eq!(lines(&told), [], "going on is no news");
    let (_, told) = fixture.told(fixture.refresh(&tokens.refresh_token)).await;
    let stolen = [good("Refresh", &session, "anonymous"), failed("Refresh", &session, "anonymous")];
    assert_eq!(lines(&told), stolen, "a second use ends it");
    let (_, told) = fixture.told(fixture.refresh("planted guess")).await;
    assert_eq!(lines(&told), []);

    let tokens = fixture.login("ada@example.com", PASSWORD).await.unwrap();
    let out = |everywhere| LogoutRequest { refresh_token: tokens.refresh_token.clone(), everywhere };
    let (_, told) = fixture.told(fixture.sessions().logout(out(false))).await;
    assert_eq!(
        (told.len(), line(&told[0]).0, line(&told[0]).2),
        (1, "Logout".into(), "ada@example.com".into())
    );
    assert_eq!(before_and_after(&told[0], "user_id"), (ada.id.as_str().into(), Json::Null));
    let (_, told) = fixture.told(fixture.sessions().logout(out(false))).await;
    assert_eq!(lines(&told), [], "there is nothing to end");
    let refresh_token = fixture.login("ada@example.com", PASSWORD).await.unwrap().refresh_token;
    let (_, told) =
        fixture.told(fixture.sessions().logout(LogoutRequest { refresh_token, everywhere: true })).await;
    assert_eq!(lines(&told), [good("Logout", &user, "ada@example.com")]);
    assert!(!contains(&db.bytes("auth").await, b"planted"));
}

async fn what_the_throttle_refuses_is_not_told(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada@example.com").await;
    let (tries, told) = fixture
        .told(async {
            let mut reasons = Vec::new();
            for _ in 0..120 {
                let mut request = LoginRequest::default();
                (request.email, request.password) = ("ada@example.com".into(), "wrong".into());
                let mut request = Request::new(request);
                request.metadata_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
                reasons.push(failure(fixture.sessions().login(request).await.unwrap_err()).reason);
            }
            reasons
        })
        .await;
    let looked_at = tries.iter().filter(|reason| **reason == ErrorReason::InvalidCredential).count();
    assert!((1..20).contains(&looked_at), "{looked_at}");
    assert_eq!(told.len(), looked_at);
    assert!(told.iter().all(|event| event.origin.as_ref().unwrap().address == "192.0.2.1"));
}

async fn the_first_owner_and_the_bootstrap_are_authors(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let keys = fixture.log("").await;
    let upkeep = keys.iter().map(|event| (line(event).0, event.resource_kind.as_str(), line(event).2));
    assert_eq!(upkeep.collect::<Vec<_>>(), [("upkeep".to_owned(), "signing_key", "service".to_owned())]);

    let owner = BootstrapOwnerRequest {
        username: "root".into(),
        password: "planted password of root".into(),
        org_name: "Acme".into(),
    };
    let (_, told) = fixture.told(fixture.accounts().bootstrap_owner(owner)).await;
    let mut kinds: Vec<_> = told.iter().map(|event| (event.resource_kind.as_str(), line(event).2)).collect();
    kinds.sort();
    let by = || "root".to_owned();
    assert_eq!(kinds, [("membership", by()), ("tenant", by()), ("user", by())]);

    let bootstrap: Bootstrap = serde_json::from_str(
        r#"{"tenants": [{"id": "globex", "name": "Globex"}],
            "api_keys": [{"tenant_id": "globex", "key": "sk-globex.planted-secret"}],
            "admin_users": [{"email": "eve", "password": "planted password of eve"}],
            "memberships": [{"tenant_id": "globex", "email": "eve", "role": "owner"}]}"#,
    )
    .unwrap();
    let (done, told) = fixture.told(Box::pin(fixture.auth.bootstrap(&bootstrap))).await;
    done.unwrap();
    let mut kinds: Vec<_> = told.iter().map(|event| (event.resource_kind.as_str(), line(event).0)).collect();
    kinds.sort();
    let made = ["api_key", "membership", "tenant", "user"].map(|kind| (kind, "bootstrap".to_owned()));
    assert_eq!(kinds, made);
    assert!(told.iter().all(|event| event.actor.as_ref().unwrap().kind() == AuditActorKind::Service));
    let (done, told) = fixture.told(Box::pin(fixture.auth.bootstrap(&bootstrap))).await;
    done.unwrap();
    assert_eq!(lines(&told), [], "doing it again changes nothing");
    assert!(!contains(&db.bytes("auth").await, b"planted"));
    let of_globex = AuditFilter { tenant_id: "globex".into(), ..Default::default() };
    let list = ListAuditEventsRequest { filter: Some(of_globex), ..Default::default() };
    assert_eq!(fixture.events(list).await.unwrap().events.len(), 3);
}
