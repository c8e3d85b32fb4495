use headgate_proto::auth::v1::{
    ChangePasswordRequest, CreatePasswordResetRequest, DeleteMembershipRequest, ListMembershipsRequest,
    Membership, ResetPasswordRequest, UpdateMembershipRequest,
};

use super::*;

on_both_engines!(
    an_owner_manages_who_belongs_to_the_tenant,
    others_tenants_answer_like_none,
    a_tenant_keeps_an_owner,
    a_changed_role_counts_at_once,
    of_two_who_change_a_membership_one_is_told_of_the_other,
    bad_memberships_are_named_and_change_nothing,
    whom_a_tenants_owner_makes_up_gets_into_no_other_tenant,
    a_super_admin_or_a_reset_confirms_whom_an_owner_made,
    nobody_is_known_by_id_who_shares_no_tenant,
);

const OPERATOR: &str = "operator-token";

async fn create(
    fixture: &Fixture,
    token: &str,
    request: CreateMembershipRequest,
) -> Result<Membership, Failure> {
    let made = fixture.members(token).create_membership(request).await;
    made.map(|r| r.into_inner().membership.unwrap()).map_err(failure)
}

fn by_email(tenant_id: &str, email: &str, role: Role) -> CreateMembershipRequest {
    let (tenant_id, email) = (tenant_id.into(), email.into());
    CreateMembershipRequest { tenant_id, email, role: role.into(), ..Default::default() }
}

async fn set_role(
    fixture: &Fixture,
    token: &str,
    user: &User,
    role: Role,
    etag: &str,
) -> Result<Membership, Failure> {
    let request = UpdateMembershipRequest {
        tenant_id: "a".into(),
        user_id: user.id.clone(),
        role: role.into(),
        etag: etag.into(),
    };
    let updated = fixture.members(token).update_membership(request).await;
    updated.map(|r| r.into_inner().membership.unwrap()).map_err(failure)
}

async fn remove(fixture: &Fixture, token: &str, user: &User) -> Result<(), Failure> {
    let request =
        DeleteMembershipRequest { tenant_id: "a".into(), user_id: user.id.clone(), etag: String::new() };
    fixture.members(token).delete_membership(request).await.map(drop).map_err(failure)
}

async fn members(fixture: &Fixture, token: &str, tenant_id: &str) -> Result<Vec<(String, Role)>, Failure> {
    let request = ListMembershipsRequest { tenant_id: tenant_id.into(), ..Default::default() };
    let page = fixture.members(token).list_memberships(request).await.map_err(failure)?.into_inner();
    let mut members: Vec<_> = page.memberships.iter().map(|m| (m.email.clone(), m.role())).collect();
    members.sort();
    Ok(members)
}

/// A tenant `a` with an owner, and the owner's access token.
async fn owned(fixture: &Fixture) -> (User, String) {
    fixture.tenant("a").await;
    let owner = fixture.user("owner").await;
    fixture.join("a", &owner, Role::Owner).await;
    let token = fixture.login("owner", PASSWORD).await.unwrap().access_token;
    (owner, token)
}

async fn an_owner_manages_who_belongs_to_the_tenant(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let (_, owner) = owned(&fixture).await;
    let new = CreateMembershipRequest {
        name: "Ada".into(),
        password: PASSWORD.into(),
        ..by_email("a", "Ada@example.com", Role::Viewer)
    };
    let made = create(&fixture, &owner, new).await.unwrap();
    assert_eq!(
        (made.email.as_str(), made.name.as_str(), made.role()),
        ("ada@example.com", "Ada", Role::Viewer)
    );
    let ada = User { id: made.user_id, ..Default::default() };
    let viewer = fixture.login("ada@example.com", PASSWORD).await.unwrap().access_token;
    let wanted = vec![("ada@example.com".to_owned(), Role::Viewer), ("owner".to_owned(), Role::Owner)];
    assert_eq!(members(&fixture, &viewer, "a").await, Ok(wanted));
    let refusal = create(&fixture, &viewer, by_email("a", "bob", Role::Viewer)).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::PermissionDenied);
    let refusal = set_role(&fixture, &viewer, &ada, Role::Owner, "").await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::PermissionDenied);

    // Who exists is found by the address and keeps name and password.
    let bob = fixture.user("bob").await;
    let made = create(&fixture, &owner, by_email("a", "BOB", Role::Member)).await.unwrap();
    assert_eq!(made.user_id, bob.id);
    let again = create(&fixture, &owner, by_email("a", "bob", Role::Admin)).await.unwrap_err();
    assert_eq!(again.reason, ErrorReason::AlreadyExists);
    fixture.user("carol").await;
    let with_password = CreateMembershipRequest {
        password: "a stranger's choice".into(),
        ..by_email("a", "carol", Role::Member)
    };
    assert_eq!(create(&fixture, &owner, with_password).await.unwrap_err().metadata["field"], "password");
    assert!(fixture.login("carol", PASSWORD).await.is_ok());

    remove(&fixture, &owner, &ada).await.unwrap();
    assert_eq!(remove(&fixture, &owner, &ada).await.unwrap_err().reason, ErrorReason::NotFound);
    assert_eq!(members(&fixture, &owner, "a").await.unwrap().len(), 2);
    assert!(fixture.login("ada@example.com", PASSWORD).await.is_ok(), "the user stays");
}

async fn others_tenants_answer_like_none(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let (_, owner) = owned(&fixture).await;
    fixture.tenant("b").await;
    let theirs = members(&fixture, &owner, "b").await.unwrap_err();
    assert_eq!(theirs.reason, ErrorReason::NotFound);
    assert_eq!(members(&fixture, &owner, "none").await.unwrap_err(), theirs);
    for tenant_id in ["b", "none"] {
        let refusal = create(&fixture, &owner, by_email(tenant_id, "x", Role::Viewer)).await.unwrap_err();
        assert_eq!(refusal, theirs);
    }
    assert!(members(&fixture, OPERATOR, "b").await.unwrap().is_empty(), "and nothing was made");
}

async fn a_tenant_keeps_an_owner(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let (first, token) = owned(&fixture).await;
    let second = fixture.user("second").await;
    fixture.join("a", &second, Role::Owner).await;
    // Both want out at once.
    let (one, two) =
        tokio::join!(set_role(&fixture, &token, &first, Role::Viewer, ""), remove(&fixture, &token, &second));
    let outcomes = [one.map(drop), two];
    assert_eq!(outcomes.iter().filter(|done| done.is_ok()).count(), 1, "{outcomes:?}");
    let (left, left_name) = if outcomes[0].is_ok() { (second, "second") } else { (first, "owner") };
    let token = fixture.login(left_name, PASSWORD).await.unwrap().access_token;
    assert_eq!(remove(&fixture, &token, &left).await.unwrap_err().reason, ErrorReason::Conflict);
    let refusal = set_role(&fixture, &token, &left, Role::Admin, "").await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::Conflict);
    assert!(set_role(&fixture, &token, &left, Role::Owner, "").await.is_ok(), "nothing to change");
    remove(&fixture, OPERATOR, &left).await.unwrap();
}

async fn a_changed_role_counts_at_once(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let (_, owner) = owned(&fixture).await;
    let ada = fixture.user("ada").await;
    fixture.join("a", &ada, Role::Owner).await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    assert!(create(&fixture, &tokens.access_token, by_email("a", "x", Role::Viewer)).await.is_ok());
    set_role(&fixture, &owner, &ada, Role::Viewer, "").await.unwrap();
    let refusal = create(&fixture, &tokens.access_token, by_email("a", "y", Role::Viewer)).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::InvalidCredential, "void");
    let tokens = fixture.refresh(&tokens.refresh_token).await.expect("the session goes on");
    let refusal = create(&fixture, &tokens.access_token, by_email("a", "y", Role::Viewer)).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::PermissionDenied);
}

async fn of_two_who_change_a_membership_one_is_told_of_the_other(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    owned(&fixture).await;
    let ada = fixture.user("ada").await;
    let made = CreateMembershipRequest {
        user_id: ada.id.clone(),
        email: String::new(),
        ..by_email("a", "", Role::Viewer)
    };
    let read = create(&fixture, OPERATOR, made).await.unwrap();
    let (one, two) = tokio::join!(
        set_role(&fixture, OPERATOR, &ada, Role::Admin, &read.etag),
        set_role(&fixture, OPERATOR, &ada, Role::Member, &read.etag)
    );
    let (won, lost) = won_and_lost(one, two);
    assert_eq!((lost.reason, &lost.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    assert!(set_role(&fixture, OPERATOR, &ada, Role::Viewer, &won.etag).await.is_ok());
}

async fn bad_memberships_are_named_and_change_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    owned(&fixture).await;
    let ada = fixture.user("ada").await;
    let good = || CreateMembershipRequest { user_id: ada.id.clone(), ..by_email("a", "", Role::Viewer) };
    type Spoil = fn(&mut CreateMembershipRequest);
    let faults: [(Spoil, &str); 6] = [
        (|r| r.role = 0, "role"),
        (|r| r.role = 9, "role"),
        (|r| r.user_id = String::new(), "user_id"),
        (|r| r.email = "ada".into(), "user_id"),
        (|r| r.password = PASSWORD.into(), "password"),
        (|r| r.name = "Ada".into(), "name"),
    ];
    for (spoil, wanted) in faults {
        let mut request = good();
        spoil(&mut request);
        assert_eq!(create(&fixture, OPERATOR, request).await.unwrap_err().metadata["field"], wanted);
    }
    let nobody = CreateMembershipRequest { user_id: "none".into(), ..good() };
    assert_eq!(create(&fixture, OPERATOR, nobody).await.unwrap_err().reason, ErrorReason::NotFound);
    assert_eq!(members(&fixture, OPERATOR, "a").await.unwrap().len(), 1);
    for n in 0..32 {
        let tenant_id = format!("t{n}");
        fixture.tenant(&tenant_id).await;
        create(&fixture, OPERATOR, CreateMembershipRequest { tenant_id, ..good() }).await.unwrap();
    }
    let refusal = create(&fixture, OPERATOR, good()).await.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.metadata["field"].as_str()),
        (ErrorReason::InvalidRequest, "user_id")
    );
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    assert!(tokens.access_token.len() < 4000, "{}: it must fit a cookie", tokens.access_token.len());
}

/// Tenants `a` and `b`, each with an owner, and the owners' access tokens.
async fn two_owned(fixture: &Fixture) -> [String; 2] {
    let (_, ada) = owned(fixture).await;
    fixture.tenant("b").await;
    let bob = fixture.user("bob").await;
    fixture.join("b", &bob, Role::Owner).await;
    [ada, fixture.login("bob", PASSWORD).await.unwrap().access_token]
}

/// One of whom somebody else knows the password.
fn made_up() -> CreateMembershipRequest {
    CreateMembershipRequest { password: PASSWORD.into(), ..by_email("a", "cfo@example.com", Role::Viewer) }
}

async fn whom_a_tenants_owner_makes_up_gets_into_no_other_tenant(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let [ada, bob] = two_owned(&fixture).await;
    let made = create(&fixture, &ada, made_up()).await.unwrap();
    let cfo = by_email("b", "cfo@example.com", Role::Owner);
    let refusal = create(&fixture, &bob, cfo.clone()).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::Conflict);
    assert_eq!(refusal.message, "a super admin must confirm this account first");
    // Also when it knows the old password and sets another, and when it left the tenant that it is of.
    let user = User { id: made.user_id, ..Default::default() };
    let token = fixture.login("cfo@example.com", PASSWORD).await.unwrap().access_token;
    let change =
        ChangePasswordRequest { current_password: PASSWORD.into(), new_password: "another one".into() };
    fixture.accounts().change_password(bearing(change, &token)).await.unwrap();
    assert_eq!(create(&fixture, &bob, cfo.clone()).await.unwrap_err(), refusal);
    remove(&fixture, &ada, &user).await.unwrap();
    assert_eq!(create(&fixture, &bob, cfo).await.unwrap_err(), refusal);
    assert_eq!(members(&fixture, &bob, "b").await.unwrap().len(), 1);
    let back = by_email("a", "cfo@example.com", Role::Member);
    assert!(create(&fixture, &ada, back).await.is_ok(), "its own tenant vouches for it");
    // Who has no password is nobody's to log in as.
    create(&fixture, &ada, by_email("a", "dora", Role::Viewer)).await.unwrap();
    create(&fixture, &bob, by_email("b", "dora", Role::Viewer)).await.unwrap();
}

async fn a_super_admin_or_a_reset_confirms_whom_an_owner_made(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let [ada, bob] = two_owned(&fixture).await;
    let made = create(&fixture, &ada, made_up()).await.unwrap();
    let reset = CreatePasswordResetRequest { id: made.user_id };
    let token = fixture.users().create_password_reset(reset).await.unwrap().into_inner().token;
    let cfo = by_email("b", "cfo@example.com", Role::Viewer);
    assert!(create(&fixture, &bob, cfo.clone()).await.is_err(), "nobody used the token yet");
    let reset = ResetPasswordRequest { token, new_password: "chosen by the cfo".into() };
    fixture.accounts().reset_password(reset).await.unwrap();
    create(&fixture, &bob, cfo).await.unwrap();
    assert!(fixture.login("cfo@example.com", PASSWORD).await.is_err());

    let eve = |tenant_id: &str| by_email(tenant_id, "eve@example.com", Role::Viewer);
    create(&fixture, &ada, CreateMembershipRequest { password: PASSWORD.into(), ..eve("a") }).await.unwrap();
    fixture.tenant("c").await;
    assert_eq!(create(&fixture, &bob, eve("b")).await.unwrap_err().reason, ErrorReason::Conflict);
    create(&fixture, OPERATOR, eve("c")).await.unwrap();
    create(&fixture, &bob, eve("b")).await.unwrap();
    // Whom a super admin makes needs nobody's word.
    let fay = |tenant_id: &str| by_email(tenant_id, "fay@example.com", Role::Viewer);
    let made = CreateMembershipRequest { password: PASSWORD.into(), ..fay("a") };
    create(&fixture, OPERATOR, made).await.unwrap();
    create(&fixture, &bob, fay("b")).await.unwrap();
}

async fn nobody_is_known_by_id_who_shares_no_tenant(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let [ada, bob] = two_owned(&fixture).await;
    let made = create(&fixture, &bob, by_email("b", "cfo", Role::Viewer)).await.unwrap();
    let by_id = |user_id: &str| CreateMembershipRequest {
        user_id: user_id.into(),
        ..by_email("a", "", Role::Viewer)
    };
    let none = create(&fixture, &ada, by_id("none")).await.unwrap_err();
    assert_eq!(none.reason, ErrorReason::NotFound);
    assert_eq!(create(&fixture, &ada, by_id(&made.user_id)).await.unwrap_err(), none, "word for word");
    // An owner of both knows them.
    create(&fixture, OPERATOR, by_email("a", "bob", Role::Owner)).await.unwrap();
    let both = fixture.login("bob", PASSWORD).await.unwrap().access_token;
    assert!(create(&fixture, &both, by_id(&made.user_id)).await.is_ok());
}
