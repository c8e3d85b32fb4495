//! Keys that people make for themselves, and what becomes of them with their owners.

use headgate_proto::auth::v1::personal_key_service_client::PersonalKeyServiceClient;
use headgate_proto::auth::v1::{
    ApiKey, CreatePersonalKeyRequest, DeleteMembershipRequest, GetApiKeyRequest, KeyUse, ListApiKeysRequest,
    ListPersonalKeysRequest, ReportKeyUsesRequest, RevokePersonalKeyRequest, RotateApiKeyRequest,
    RotatePersonalKeyRequest, UpdateApiKeyRequest, UpdateMembershipRequest, UpdateUserRequest, UserStatus,
    WatchKeysRequest,
};

use super::audited::{good, lines};
use super::*;

on_both_engines!(
    a_member_makes_lists_rotates_and_revokes_keys_of_their_own,
    a_key_of_ones_own_is_nobody_elses,
    who_is_no_member_makes_no_key_of_their_own,
    a_key_of_ones_own_works_while_its_owner_is_an_active_member,
    a_key_of_ones_own_ends_with_the_membership_for_good,
    no_key_is_left_of_who_leaves_while_they_make_one,
    the_number_is_bounded_and_may_be_none,
    what_becomes_of_a_key_of_ones_own_is_told,
);

const DENIED: Result<(), ErrorReason> = Err(ErrorReason::PermissionDenied);
const UNSEEN: Result<(), ErrorReason> = Err(ErrorReason::NotFound);

fn draft(tenant_id: &str) -> CreatePersonalKeyRequest {
    CreatePersonalKeyRequest { tenant_id: tenant_id.into(), name: "mine".into(), ..Default::default() }
}

impl Fixture {
    fn own(&self) -> PersonalKeyServiceClient<Conn> {
        PersonalKeyServiceClient::new(local(self.auth.personal_key_service()))
    }

    /// Makes a user who belongs to the tenant. They and a token of theirs.
    async fn member(&self, email: &str, tenant_id: &str, role: Role) -> (User, String) {
        let user = self.user(email).await;
        self.join(tenant_id, &user, role).await;
        let token = self.token(email).await;
        (user, token)
    }

    async fn token(&self, email: &str) -> String {
        self.login(email, PASSWORD).await.unwrap().access_token
    }

    async fn make(&self, token: &str, tenant_id: &str) -> Result<(ApiKey, String), Failure> {
        let made = self.own().create_personal_key(bearing(draft(tenant_id), token)).await.map_err(failure)?;
        let made = made.into_inner();
        Ok((made.api_key.unwrap(), made.secret_key))
    }

    async fn rotate_own(&self, token: &str, id: &str) -> Result<String, ErrorReason> {
        let request = RotatePersonalKeyRequest { id: id.into(), ..Default::default() };
        let rotated = self.own().rotate_personal_key(bearing(request, token)).await;
        rotated.map(|rotated| rotated.into_inner().secret_key).map_err(|status| failure(status).reason)
    }

    async fn revoke(&self, token: &str, id: &str) -> Result<(), ErrorReason> {
        let request = RevokePersonalKeyRequest { id: id.into(), ..Default::default() };
        let revoked = self.own().revoke_personal_key(bearing(request, token)).await;
        revoked.map(drop).map_err(|status| failure(status).reason)
    }

    async fn listed(&self, token: &str, tenant_id: &str) -> Vec<ApiKey> {
        let request = ListPersonalKeysRequest { tenant_id: tenant_id.into(), ..Default::default() };
        self.own().list_personal_keys(bearing(request, token)).await.unwrap().into_inner().api_keys
    }

    async fn read(&self, id: &str) -> ApiKey {
        let request = GetApiKeyRequest { id: id.into() };
        self.keys().get_api_key(request).await.unwrap().into_inner().api_key.unwrap()
    }

    async fn set_role(&self, tenant_id: &str, user: &User, role: Role) {
        let request = UpdateMembershipRequest {
            tenant_id: tenant_id.into(),
            user_id: user.id.clone(),
            role: role.into(),
            ..Default::default()
        };
        self.members("operator-token").update_membership(request).await.unwrap();
    }

    async fn leave(&self, tenant_id: &str, user: &User) {
        let (tenant_id, user_id) = (tenant_id.into(), user.id.clone());
        let request = DeleteMembershipRequest { tenant_id, user_id, ..Default::default() };
        self.members("operator-token").delete_membership(request).await.unwrap();
    }

    async fn set_user(&self, user: &User, status: UserStatus) {
        let status = Some(status.into());
        let request = UpdateUserRequest { id: user.id.clone(), status, ..Default::default() };
        self.users().update_user(request).await.unwrap();
    }
}

async fn a_member_makes_lists_rotates_and_revokes_keys_of_their_own(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (ada, token) = fixture.member("ada@example.com", "a", Role::Member).await;
    let (key, first) = fixture.make(&token, "a").await.unwrap();
    assert_eq!((&key.user_id, key.personal, key.owner_barred), (&ada.id, true, false));
    assert_eq!(fixture.verify(&first).await, Ok(key.id.clone()));
    let second = fixture.rotate_own(&token, &key.id).await.unwrap();
    assert_eq!(fixture.verify(&first).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.verify(&second).await, Ok(key.id.clone()));
    let uses = vec![KeyUse { key_id: key.id.clone(), last_used_at_unix_ms: 5 }];
    fixture.peers().report_key_uses(ReportKeyUsesRequest { uses }).await.unwrap();
    let listed = fixture.listed(&token, "").await;
    assert_eq!(listed, [fixture.read(&key.id).await]);
    assert!(listed[0].last_used_time.is_some());
    let all = ListApiKeysRequest { tenant_id: "a".into(), ..Default::default() };
    let all = fixture.keys().list_api_keys(all).await.unwrap().into_inner().api_keys;
    assert_eq!(all, listed, "it is among the tenant's");
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.listed(&token, "a").await, listed, "over a restart");
    assert_eq!(fixture.revoke(&token, &key.id).await, Ok(()));
    assert_eq!(fixture.verify(&second).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.listed(&token, "a").await[0].revoke_time.is_some());
}

async fn a_key_of_ones_own_is_nobody_elses(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let (_, ada) = fixture.member("ada@example.com", "a", Role::Member).await;
    let (_, bob) = fixture.member("bob@example.com", "a", Role::Owner).await;
    let (_, eve) = fixture.member("eve@example.com", "b", Role::Owner).await;
    let (key, secret) = fixture.make(&ada, "a").await.unwrap();
    let (common, _) = fixture.key("a").await;
    for (token, id) in [(&bob, &key.id), (&eve, &key.id), (&ada, &common)] {
        assert_eq!(fixture.rotate_own(token, id).await.map(drop), UNSEEN);
        assert_eq!(fixture.revoke(token, id).await, UNSEEN);
    }
    assert!(fixture.listed(&bob, "").await.is_empty() && fixture.listed(&ada, "b").await.is_empty());
    assert!(fixture.listed("operator-token", "").await.is_empty());

    // Its tenant's admins restrict it, and take it away, but they do not take it over.
    let admin = || ApiKeyServiceClient::new(as_operator(local(fixture.auth.api_key_service()), &bob));
    let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let refused = admin().rotate_api_key(rotate).await.unwrap_err();
    assert_eq!(failure(refused).reason, ErrorReason::PermissionDenied);
    let give = UpdateApiKeyRequest { id: key.id.clone(), user_id: Some("bob".into()), ..Default::default() };
    let refused = admin().update_api_key(give).await.unwrap_err();
    assert_eq!(field(refused), (ErrorReason::InvalidRequest, "user_id".into()));
    assert_eq!(fixture.verify(&secret).await, Ok(key.id.clone()));
    let disable = UpdateApiKeyRequest { id: key.id.clone(), disabled: Some(true), ..Default::default() };
    admin().update_api_key(disable).await.unwrap();
    let rotated = fixture.rotate_own(&ada, &key.id).await.unwrap();
    assert_eq!(fixture.verify(&rotated).await, Err(ErrorReason::InvalidCredential), "it stays disabled");
}

async fn who_is_no_member_makes_no_key_of_their_own(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let (_, viewer) = fixture.member("ada@example.com", "a", Role::Viewer).await;
    let make = async |token: &str, tenant_id: &str| {
        fixture.make(token, tenant_id).await.map(drop).map_err(|failure| failure.reason)
    };
    assert_eq!(make(&viewer, "a").await, DENIED);
    for tenant in ["b", "none", ""] {
        assert_eq!(make(&viewer, tenant).await, UNSEEN, "{tenant:?}");
    }
    assert_eq!(make("operator-token", "a").await, DENIED, "it stands for nobody");
    let root = CreateUserRequest {
        email: "root@example.com".into(),
        password: PASSWORD.into(),
        super_admin: true,
        ..Default::default()
    };
    fixture.users().create_user(root).await.unwrap();
    let root = fixture.token("root@example.com").await;
    assert_eq!(make(&root, "a").await, DENIED, "they belong to no tenant");
    let nameless = CreatePersonalKeyRequest { name: " ".into(), ..draft("a") };
    let refused = fixture.own().create_personal_key(bearing(nameless, &root)).await.unwrap_err();
    assert_eq!(field(refused), (ErrorReason::InvalidRequest, "name".into()));
}

async fn a_key_of_ones_own_works_while_its_owner_is_an_active_member(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let ada = fixture.user("ada@example.com").await;
    fixture.join("a", &ada, Role::Admin).await;
    fixture.join("b", &ada, Role::Member).await;
    let token = fixture.token("ada@example.com").await;
    let (key, secret) = fixture.make(&token, "a").await.unwrap();
    let (_, other) = fixture.make(&token, "b").await.unwrap();
    let works = async |secret: &str| fixture.verify(secret).await.is_ok();
    let mut watch = fixture.peers().watch_keys(WatchKeysRequest {}).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().unwrap().snapshot);
    let mut told = async || loop {
        let message = watch.message().await.unwrap().unwrap();
        if let Some(record) = message.keys.into_iter().find(|record| record.key_id == key.id) {
            return !record.revoked;
        }
    };

    fixture.set_role("a", &ada, Role::Viewer).await;
    assert!(!works(&secret).await && works(&other).await, "only where they are less than a member");
    assert!(fixture.read(&key.id).await.owner_barred && !told().await);
    fixture.set_role("a", &ada, Role::Member).await;
    assert!(works(&secret).await && told().await);
    fixture.set_user(&ada, UserStatus::Suspended).await;
    assert!(!works(&secret).await && !works(&other).await && !told().await);
    // It says of itself that it is barred, over a restart, and whoever is let in again has it back.
    assert!(fixture.read(&key.id).await.owner_barred);
    let again = Fixture::start(&db).await;
    assert!(again.verify(&secret).await.is_err());
    drop(again);
    fixture.set_user(&ada, UserStatus::Active).await;
    assert!(works(&secret).await && works(&other).await && told().await);
    let before = fixture.read(&key.id).await;
    assert!(!before.owner_barred);
    fixture.set_role("a", &ada, Role::Owner).await;
    assert_eq!(fixture.read(&key.id).await, before, "nothing changes that need not");
}

async fn a_key_of_ones_own_ends_with_the_membership_for_good(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let (ada, _) = fixture.member("ada@example.com", "a", Role::Member).await;
    fixture.join("b", &ada, Role::Member).await;
    let token = fixture.token("ada@example.com").await;
    let (key, secret) = fixture.make(&token, "a").await.unwrap();
    let (_, other) = fixture.make(&token, "b").await.unwrap();
    // A note of who has it binds nobody.
    let noted = CreateApiKeyRequest { tenant_id: "a".into(), user_id: ada.id.clone(), ..Default::default() };
    let noted = fixture.keys().create_api_key(noted).await.unwrap().into_inner().secret_key;
    fixture.leave("a", &ada).await;
    let ended = Err(ErrorReason::InvalidCredential);
    assert_eq!(fixture.verify(&secret).await, ended);
    assert!(fixture.verify(&other).await.is_ok() && fixture.verify(&noted).await.is_ok());
    assert!(fixture.read(&key.id).await.revoke_time.is_some());
    fixture.join("a", &ada, Role::Member).await;
    assert_eq!(fixture.verify(&secret).await, ended, "it does not come back");
}

async fn no_key_is_left_of_who_leaves_while_they_make_one(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (ada, _) = fixture.member("ada@example.com", "a", Role::Member).await;
    for _ in 0..10 {
        let token = fixture.token("ada@example.com").await;
        let (made, ()) = tokio::join!(fixture.make(&token, "a"), fixture.leave("a", &ada));
        if let Ok((_, secret)) = made {
            assert_eq!(fixture.verify(&secret).await, Err(ErrorReason::InvalidCredential));
        }
        fixture.join("a", &ada, Role::Member).await;
    }
}

async fn the_number_is_bounded_and_may_be_none(db: TestDb) {
    let fixture = Fixture::start_with(&db, Config { personal_keys: 2, ..Config::default() }).await.unwrap();
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let (ada, _) = fixture.member("ada@example.com", "a", Role::Member).await;
    fixture.join("b", &ada, Role::Member).await;
    let token = fixture.token("ada@example.com").await;
    let (first, _) = fixture.make(&token, "a").await.unwrap();
    let seconds = fixture.clock.unix_millis() / 1000 + 60;
    let expire_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let short = CreatePersonalKeyRequest { expire_time, ..draft("a") };
    fixture.own().create_personal_key(bearing(short, &token)).await.unwrap();
    let refused = fixture.make(&token, "a").await.unwrap_err();
    assert_eq!(refused.reason, ErrorReason::Conflict);
    fixture.make(&token, "b").await.unwrap();
    // What has ended does not count.
    fixture.revoke(&token, &first.id).await.unwrap();
    let (kept, secret) = fixture.make(&token, "a").await.unwrap();
    fixture.pass(61);
    fixture.make(&token, "a").await.unwrap();
    assert_eq!(fixture.make(&token, "a").await.unwrap_err().reason, ErrorReason::Conflict);
    drop(fixture);

    let fixture = Fixture::start_with(&db, Config { personal_keys: 0, ..Config::default() }).await.unwrap();
    let token = fixture.token("ada@example.com").await;
    assert_eq!(fixture.make(&token, "b").await.unwrap_err().reason, ErrorReason::PermissionDenied);
    assert_eq!(fixture.verify(&secret).await, Ok(kept.id), "what there is goes on");
}

async fn what_becomes_of_a_key_of_ones_own_is_told(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (ada, token) = fixture.member("ada@example.com", "a", Role::Member).await;
    let (made, told) = fixture.told(fixture.make(&token, "a")).await;
    let (key, secret) = made.unwrap();
    let thing = format!("api_key {}", key.id);
    assert_eq!(lines(&told), [good("CreatePersonalKey", &thing, "ada@example.com")]);
    let secret = secret.split_once('.').unwrap().1;
    assert!(!format!("{told:?}").contains(secret));
    let (rotated, told) = fixture.told(fixture.rotate_own(&token, &key.id)).await;
    rotated.unwrap();
    assert_eq!(lines(&told), [good("RotatePersonalKey", &thing, "ada@example.com")]);
    let ((), told) = fixture.told(fixture.set_user(&ada, UserStatus::Suspended)).await;
    assert!(lines(&told).contains(&good("UpdateUser", &thing, "operator")), "{told:?}");
    let ((), told) = fixture.told(fixture.leave("a", &ada)).await;
    assert!(lines(&told).contains(&good("DeleteMembership", &thing, "operator")), "{told:?}");
}
