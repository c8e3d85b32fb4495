//! Logins with an account elsewhere, at a provider that says whatever a test wants.

mod fake;

use headgate_proto::auth::v1::oidc_service_client::OidcServiceClient;
use headgate_proto::auth::v1::{
    AuditEvent, AuditOutcome, FinishOidcLoginRequest, FinishOidcLoginResponse, ListAuditEventsRequest,
    StartOidcLoginRequest, UpdateMembershipRequest,
};
use serde_json::{Value, json};
use url::Url;

use self::fake::Fake;
use super::*;

on_both_engines!(
    an_answer_is_good_once_within_its_time_and_in_its_browser,
    only_the_providers_word_on_this_login_counts,
    keys_are_asked_for_again_when_they_change_and_not_all_the_time,
    groups_are_followed_and_what_is_said_by_hand_is_not_touched,
    first_logins_go_as_the_policy_says,
    who_has_an_account_elsewhere_is_nobodys_invention,
    what_is_under_way_shows_no_secret_and_is_forgotten,
);

const NOW_S: i64 = NOW_MICROS / 1_000_000;

/// A login that is away.
struct Away {
    state: String,
    nonce: String,
    cookie: String,
}

/// What a provider says of somebody with this address and these groups.
fn ada(email: &str, groups: &[&str]) -> Value {
    json!({"sub": "1", "email": email, "email_verified": true, "name": "Ada", "groups": groups})
}

fn config(fake: &Fake, first_login: FirstLogin) -> Config {
    let mapping = |group: &str, tenant_id: &str, role: &str| RoleMapping {
        group: group.into(),
        tenant_id: tenant_id.into(),
        role: role.into(),
    };
    let provider = OidcProvider {
        issuer: fake.issuer.clone(),
        client_id: "headgate".into(),
        client_secret: Some("planted-secret".into()),
        first_login,
        role_mappings: vec![
            mapping("staff", "a", "viewer"),
            mapping("leads", "a", "admin"),
            mapping("staff", "b", "viewer"),
            mapping("staff", "none", "viewer"),
        ],
        super_admin_groups: vec!["root".into()],
        ..OidcProvider::default()
    };
    let mut config = Config::default();
    config.oidc.public_url = Some("https://gate.example.com".into());
    config.oidc.providers.insert("corp".into(), provider);
    assert_eq!(config.problems(), []);
    config
}

async fn start(db: &TestDb, fake: &Fake, first_login: FirstLogin) -> Fixture {
    Fixture::start_with(db, config(fake, first_login)).await.unwrap()
}

impl Fixture {
    fn oidc(&self) -> OidcServiceClient<Conn> {
        OidcServiceClient::new(local(self.auth.oidc_service()))
    }

    async fn go_away(&self) -> Away {
        let response = self.oidc().start_oidc_login(StartOidcLoginRequest::default()).await.unwrap();
        let cookie = response.metadata().get("set-cookie").unwrap().to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let url = Url::parse(&response.into_inner().authorization_url).unwrap();
        let said = |name: &str| url.query_pairs().find(|(own, _)| own == name).unwrap().1.into_owned();
        assert_eq!((said("tenant"), said("code_challenge_method")), ("1".into(), "S256".into()));
        assert_eq!(said("redirect_uri"), "https://gate.example.com/admin/auth/oidc/callback");
        Away { state: said("state"), nonce: said("nonce"), cookie }
    }

    /// Comes back with a code.
    async fn come_back(&self, state: &str, cookie: &str) -> Result<FinishOidcLoginResponse, Failure> {
        let message =
            FinishOidcLoginRequest { state: state.into(), code: "code".into(), ..Default::default() };
        self.answer(message, cookie).await
    }

    async fn answer(
        &self,
        message: FinishOidcLoginRequest,
        cookie: &str,
    ) -> Result<FinishOidcLoginResponse, Failure> {
        let mut request = Request::new(message);
        if !cookie.is_empty() {
            request.metadata_mut().insert("cookie", cookie.parse().unwrap());
        }
        self.oidc().finish_oidc_login(request).await.map(tonic::Response::into_inner).map_err(failure)
    }

    /// A whole login of whom the provider says this.
    async fn come_in(&self, fake: &Fake, person: &Value) -> Result<FinishOidcLoginResponse, Failure> {
        let away = self.go_away().await;
        // The ID token says who, the user info the rest.
        let mut token = said_of(fake, &away);
        token["sub"] = person["sub"].clone();
        fake.say(token, person.clone());
        self.come_back(&away.state, &away.cookie).await
    }

    /// How the audit log says that logins ended, newest first, and whose they were.
    async fn told_of_logins(&self) -> Vec<(AuditOutcome, String)> {
        let list = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
        let mut events = self.events(list).await.unwrap().events;
        events.retain(|event| event.action.ends_with(".FinishOidcLogin"));
        let told = |event: &AuditEvent| (event.outcome(), event.actor.clone().unwrap().email);
        events.iter().map(told).collect()
    }

    /// Tenant, role and issuer of each membership, and whether one is a super admin.
    async fn rights(&self, session: &FinishOidcLoginResponse) -> (Vec<(String, Role, String)>, bool) {
        let me = self.me(&session.tokens.as_ref().unwrap().access_token).await.unwrap();
        let rows = me.memberships.iter().map(|m| (m.tenant_id.clone(), m.role(), m.issuer.clone()));
        (rows.collect(), me.user.unwrap().super_admin)
    }
}

/// A good ID token of a login.
fn said_of(fake: &Fake, away: &Away) -> Value {
    json!({"iss": fake.issuer, "aud": "headgate", "sub": "1", "nonce": away.nonce, "iat": NOW_S, "exp": NOW_S + 7200})
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Failure>) -> ErrorReason {
    answer.unwrap_err().reason
}

async fn an_answer_is_good_once_within_its_time_and_in_its_browser(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Create).await;
    let over = ErrorReason::InvalidCredential;
    let (away, other) = (fixture.go_away().await, fixture.go_away().await);
    fake.say(said_of(&fake, &away), ada("ada@example.com", &[]));
    for (state, cookie) in [
        (away.state.as_str(), other.cookie.as_str()),
        (&away.state, ""),
        (&away.state, "headgate_login=guess"),
        ("guess", &away.cookie),
    ] {
        assert_eq!(reason(fixture.come_back(state, cookie).await), over, "{state} {cookie}");
    }
    let session = fixture.come_back(&away.state, &away.cookie).await.unwrap();
    assert_eq!(session.user.unwrap().email, "ada@example.com");
    assert_eq!(reason(fixture.come_back(&away.state, &away.cookie).await), over, "again");
    let token = session.tokens.unwrap().refresh_token;
    assert!(fixture.refresh(&token).await.is_ok(), "a session like any other");
    let told = fixture.told_of_logins().await;
    assert!(told.contains(&(AuditOutcome::Succeeded, "ada@example.com".into())), "{told:?}");

    fixture.pass(599);
    let late = fixture.go_away().await;
    fixture.pass(600);
    fake.say(said_of(&fake, &late), ada("ada@example.com", &[]));
    assert_eq!(reason(fixture.come_back(&late.state, &late.cookie).await), over, "too late");
    assert_eq!(reason(fixture.come_back(&other.state, &other.cookie).await), over);

    // Of two who come back at the same time one comes in.
    let twice = fixture.go_away().await;
    fake.say(said_of(&fake, &twice), ada("ada@example.com", &[]));
    let come_back = || fixture.come_back(&twice.state, &twice.cookie);
    let (one, two) = tokio::join!(come_back(), come_back());
    assert_eq!(won_and_lost(one, two).1.reason, over);
}

async fn only_the_providers_word_on_this_login_counts(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Create).await;
    for (claim, value) in [
        ("nonce", json!("another login's")),
        ("aud", json!("another client")),
        ("azp", json!("another client")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(NOW_S - 61)),
        ("sub", json!("another subject than the user info's")),
    ] {
        let away = fixture.go_away().await;
        let mut token = said_of(&fake, &away);
        token[claim] = value;
        fake.say(token, ada("ada@example.com", &[]));
        let refused = fixture.come_back(&away.state, &away.cookie).await;
        assert_eq!(reason(refused), ErrorReason::InvalidCredential, "{claim}");
    }
    let away = fixture.go_away().await;
    fake.say(said_of(&fake, &away), ada("ada@example.com", &[]));
    let iss = "https://another.example".into();
    let message =
        FinishOidcLoginRequest { state: away.state, code: "code".into(), iss, ..Default::default() };
    assert_eq!(reason(fixture.answer(message, &away.cookie).await), ErrorReason::InvalidCredential);
    assert_eq!(fixture.told_of_logins().await, vec![(AuditOutcome::Failed, String::new()); 7]);
}

async fn keys_are_asked_for_again_when_they_change_and_not_all_the_time(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Create).await;
    let person = ada("ada@example.com", &[]);
    for signs in [1, 1, 2] {
        fake.use_keys(signs, signs);
        fixture.come_in(&fake, &person).await.unwrap();
    }
    assert_eq!(fake.times_asked_for_keys(), 2);
    // Whoever makes up keys has nothing asked for.
    fake.use_keys(3, 2);
    for _ in 0..5 {
        assert_eq!(reason(fixture.come_in(&fake, &person).await), ErrorReason::InvalidCredential);
    }
    assert_eq!(fake.times_asked_for_keys(), 2);
    fixture.pass(10);
    fake.use_keys(3, 3);
    fixture.come_in(&fake, &person).await.unwrap();
    assert_eq!(fake.times_asked_for_keys(), 3);
}

async fn groups_are_followed_and_what_is_said_by_hand_is_not_touched(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Create).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let given = |tenant: &str, role| (tenant.to_owned(), role, fake.issuer.clone());
    let come_in = async |groups: &[&str]| {
        let session = fixture.come_in(&fake, &ada("ada@example.com", groups)).await.unwrap();
        let rights = fixture.rights(&session).await;
        (session, rights)
    };
    let (first, rights) = come_in(&["staff", "other"]).await;
    assert_eq!(rights, (vec![given("a", Role::Viewer), given("b", Role::Viewer)], false));
    let (_, rights) = come_in(&["staff"]).await;
    assert_eq!(rights.0.len(), 2, "nothing changed");
    assert!(fixture.me(&first.tokens.clone().unwrap().access_token).await.is_ok(), "so nothing is void");

    let user = first.user.clone().unwrap();
    let by_hand = UpdateMembershipRequest {
        tenant_id: "b".into(),
        user_id: user.id.clone(),
        role: Role::Owner.into(),
        ..Default::default()
    };
    fixture.members("operator-token").update_membership(by_hand).await.unwrap();
    let kept = ("b".to_owned(), Role::Owner, String::new());
    let (second, rights) = come_in(&["staff", "leads", "root"]).await;
    assert_eq!(rights, (vec![given("a", Role::Admin), kept.clone()], true));
    let (_, rights) = come_in(&[]).await;
    assert_eq!(rights, (vec![kept], false));
    let void = fixture.me(&second.tokens.unwrap().access_token).await;
    assert_eq!(void, Err(ErrorReason::InvalidCredential), "what was issued before is void");

    // Whom somebody made a super admin stays one.
    let change = headgate_proto::auth::v1::UpdateUserRequest {
        id: user.id,
        super_admin: Some(true),
        ..Default::default()
    };
    fixture.users().update_user(change).await.unwrap();
    assert!(come_in(&[]).await.1.1);
}

async fn first_logins_go_as_the_policy_says(db: TestDb) {
    let fake = Fake::start().await;
    let denied = ErrorReason::PermissionDenied;
    for (nth, (policy, links, creates)) in [
        (FirstLogin::Deny, false, false),
        (FirstLogin::Existing, true, false),
        (FirstLogin::Create, false, true),
        (FirstLogin::ExistingOrCreate, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let fixture = start(&db, &fake, policy).await;
        let address = |name: &str| format!("{name}-{nth}@example.com");
        let person = |name: &str, verified: bool| json!({"sub": address(name), "email": address(name), "email_verified": verified, "groups": []});
        let known = fixture.user(&address("known")).await;
        for name in ["known", "new"] {
            let unverified = fixture.come_in(&fake, &person(name, false)).await;
            assert_eq!(reason(unverified), denied, "{policy:?}: {name}");
        }
        let linked = fixture.come_in(&fake, &person("known", true)).await;
        match linked {
            Ok(session) => assert_eq!((session.user.unwrap().id, links), (known.id, true), "{policy:?}"),
            Err(refused) => assert_eq!((refused.reason, links), (denied, false), "{policy:?}"),
        }
        let made = fixture.come_in(&fake, &person("new", true)).await;
        match made {
            Ok(session) => {
                assert!(creates, "{policy:?}");
                let again = fixture.come_in(&fake, &person("new", false)).await.unwrap();
                assert_eq!(again.user.unwrap().id, session.user.unwrap().id, "known by the subject");
                assert!(fixture.login(&address("new"), "").await.is_err());
                assert!(fixture.login(&address("new"), PASSWORD).await.is_err(), "there is no password");
            }
            Err(refused) => assert_eq!((refused.reason, creates), (denied, false), "{policy:?}"),
        }
        // An address that was given to somebody else there is not a way into the account here.
        let mut successor = person("known", true);
        successor["sub"] = json!(format!("successor {nth}"));
        assert_eq!(reason(fixture.come_in(&fake, &successor).await), denied, "{policy:?}");
    }
}

async fn who_has_an_account_elsewhere_is_nobodys_invention(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Existing).await;
    for tenant_id in ["a", "b", "c"] {
        fixture.tenant(tenant_id).await;
    }
    let mut owners = Vec::new();
    for (name, tenant_id) in [("eve", "c"), ("bob", "b")] {
        let owner = fixture.user(name).await;
        fixture.join(tenant_id, &owner, Role::Owner).await;
        owners.push(fixture.login(name, PASSWORD).await.unwrap().access_token);
    }
    let request = |tenant_id: &str, password: &str| CreateMembershipRequest {
        tenant_id: tenant_id.into(),
        email: "ada@example.com".into(),
        password: password.into(),
        role: Role::Viewer.into(),
        ..Default::default()
    };
    fixture.members(&owners[0]).create_membership(request("c", PASSWORD)).await.unwrap();
    let stranger = fixture.login("ada@example.com", PASSWORD).await.unwrap();
    fixture.members(&owners[1]).create_membership(request("b", "")).await.unwrap_err();
    fixture.come_in(&fake, &ada("ada@example.com", &[])).await.unwrap();
    // Whoever made them up is out.
    assert!(fixture.login("ada@example.com", PASSWORD).await.is_err());
    assert!(fixture.refresh(&stranger.refresh_token).await.is_err());
    fixture.members(&owners[1]).create_membership(request("b", "")).await.unwrap();
}

async fn what_is_under_way_shows_no_secret_and_is_forgotten(db: TestDb) {
    let fake = Fake::start().await;
    let fixture = start(&db, &fake, FirstLogin::Create).await;
    let away = fixture.go_away().await;
    let cookie = away.cookie.split_once('=').unwrap().1;
    let rows = async || -> Vec<(String, String)> {
        let mut tx = fixture.auth.registry.db().begin_read().await.unwrap();
        headgate_kit::fetch!(tx.conn(), conn => {
            sqlx::query_as("SELECT state_hmac, browser_hmac FROM oidc_logins").fetch_all(conn)
        })
        .unwrap()
    };
    let kept = format!("{:?}", rows().await);
    for secret in [away.state.as_str(), &away.nonce, cookie] {
        assert!(!kept.contains(secret) && secret.len() > 40, "{kept}");
    }
    fixture.pass(601);
    fixture.auth.people.keep_up().await.unwrap();
    assert!(rows().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_begins_at_one_replica_ends_at_another() {
    let (db, fake) = (TestDb::postgres().await, Fake::start().await);
    let here = start(&db, &fake, FirstLogin::Create).await;
    let there = start(&db, &fake, FirstLogin::Create).await;
    let away = here.go_away().await;
    fake.say(said_of(&fake, &away), ada("ada@example.com", &[]));
    there.come_back(&away.state, &away.cookie).await.unwrap();
    let again = here.come_back(&away.state, &away.cookie).await;
    assert_eq!(reason(again), ErrorReason::InvalidCredential);
}
