use headgate_proto::auth::v1::{
    BootstrapOwnerRequest, ChangePasswordRequest, CreatePasswordResetRequest, ListLoginMethodsRequest,
    RegisterRequest, ResetPasswordRequest,
};

use super::*;

const OTHER: &str = "another horse battery";

on_both_engines!(
    the_first_owner_is_made_once_however_many_ask,
    where_tenants_are_already_the_first_owner_takes_the_operator,
    a_changed_password_leaves_the_new_session_only,
    a_reset_sets_a_password_once,
    anyone_registers_where_that_is_on_only,
    nobody_logs_in_with_a_password_where_that_is_off,
);

fn owner(n: usize) -> BootstrapOwnerRequest {
    BootstrapOwnerRequest {
        username: format!("root{n}"),
        password: PASSWORD.into(),
        org_name: format!("Acme-{n}"),
    }
}

async fn the_first_owner_is_made_once_however_many_ask(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for (spoil, wanted) in [
        ((|r| r.username = "a b".into()) as fn(&mut BootstrapOwnerRequest), "username"),
        (|r| r.password = "short".into(), "password"),
        (|r| r.org_name = " ".into(), "org_name"),
    ] {
        let mut request = owner(0);
        spoil(&mut request);
        let refusal = fixture.accounts().bootstrap_owner(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    let calls = (0..20).map(|n| {
        let mut accounts = fixture.accounts();
        async move { accounts.bootstrap_owner(owner(n)).await.map_err(|status| failure(status).reason) }
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|r| *r.as_ref().unwrap_err() == ErrorReason::Conflict), "{refused:?}");
    let response = made.into_iter().next().unwrap().unwrap();
    assert_eq!(response.metadata().get("x-headgate-http-status").unwrap(), "201");
    let made = response.into_inner();
    let (user, tenant) = (made.user.unwrap(), made.tenant.unwrap());
    assert!(user.super_admin);
    let tokens = fixture.login(&user.email, PASSWORD).await.unwrap();
    let me = fixture.me(&tokens.access_token).await.unwrap();
    assert_eq!(me.memberships.len(), 1);
    assert_eq!((&me.memberships[0].tenant_id, me.memberships[0].role()), (&tenant.id, Role::Owner));
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    let refusal = fixture.accounts().bootstrap_owner(owner(99)).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Conflict);
    fixture.key(&tenant.id).await;
}

async fn where_tenants_are_already_the_first_owner_takes_the_operator(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("Acme-1").await;
    let refusal = fixture.accounts().bootstrap_owner(owner(2)).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::PermissionDenied);
    let refusal = fixture.accounts().bootstrap_owner(bearing(owner(1), "operator-token")).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "org_name".into()));
    fixture.accounts().bootstrap_owner(bearing(owner(2), "operator-token")).await.unwrap();
}

async fn a_changed_password_leaves_the_new_session_only(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let (one, two) =
        (fixture.login("ada", PASSWORD).await.unwrap(), fixture.login("ada", PASSWORD).await.unwrap());
    let change = async |current: &str, new: &str| {
        let request = ChangePasswordRequest { current_password: current.into(), new_password: new.into() };
        let response = fixture.accounts().change_password(bearing(request, &one.access_token)).await;
        response.map(|r| r.into_inner().tokens.unwrap()).map_err(failure)
    };
    assert_eq!(change("wrong", OTHER).await.unwrap_err().reason, ErrorReason::InvalidCredential);
    assert_eq!(change(PASSWORD, "short").await.unwrap_err().metadata["field"], "new_password");
    assert!(fixture.me(&one.access_token).await.is_ok(), "nothing changed");
    let new = change(PASSWORD, OTHER).await.unwrap();
    for old in [&one, &two] {
        assert_eq!(fixture.me(&old.access_token).await, Err(ErrorReason::InvalidCredential));
        assert_eq!(fixture.refresh(&old.refresh_token).await, Err(ErrorReason::InvalidCredential));
    }
    assert!(fixture.me(&new.access_token).await.is_ok() && fixture.refresh(&new.refresh_token).await.is_ok());
    assert!(fixture.login("ada", PASSWORD).await.is_err() && fixture.login("ada", OTHER).await.is_ok());
}

async fn a_reset_sets_a_password_once(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    let make = async || {
        let request = CreatePasswordResetRequest { id: user.id.clone() };
        fixture.users().create_password_reset(request).await.unwrap().into_inner().token
    };
    let reset = async |token: &str, new_password: &str| {
        let request = ResetPasswordRequest { token: token.into(), new_password: new_password.into() };
        fixture.accounts().reset_password(request).await.map(drop).map_err(failure)
    };
    let void = make().await;
    let token = make().await;
    assert_eq!(reset(&void, OTHER).await.unwrap_err().reason, ErrorReason::InvalidCredential);
    assert_eq!(reset(&token, "short").await.unwrap_err().metadata["field"], "new_password");
    let uses = futures_util::future::join_all((0..4).map(|_| reset(&token, OTHER))).await;
    assert_eq!(uses.iter().filter(|used| used.is_ok()).count(), 1, "{uses:?}");
    assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.login("ada", PASSWORD).await.is_err() && fixture.login("ada", OTHER).await.is_ok());
    let late = make().await;
    fixture.pass(24 * 3600);
    assert_eq!(reset(&late, PASSWORD).await.unwrap_err().reason, ErrorReason::InvalidCredential);
    let request = CreatePasswordResetRequest { id: "none".into() };
    let refusal = fixture.users().create_password_reset(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
}

async fn nobody_logs_in_with_a_password_where_that_is_off(db: TestDb) {
    let login =
        || LoginRequest { email: "ada@example.com".into(), password: PASSWORD.into(), ..Default::default() };
    let fixture = Fixture::start_with(&db, Config { registration: true, ..Config::default() }).await.unwrap();
    let ada =
        RegisterRequest { email: "ada@example.com".into(), password: PASSWORD.into(), name: "Ada".into() };
    fixture.accounts().register(ada).await.unwrap();
    fixture.sessions().login(login()).await.unwrap();
    drop(fixture);

    let config = Config { password_login: false, ..Config::default() };
    let fixture = Fixture::start_with(&db, config).await.unwrap();
    let refusal = fixture.sessions().login(login()).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::PermissionDenied);
    let methods =
        fixture.sessions().list_login_methods(ListLoginMethodsRequest {}).await.unwrap().into_inner();
    assert_eq!((methods.local, methods.oidc, methods.register), (false, false, false));
}

async fn anyone_registers_where_that_is_on_only(db: TestDb) {
    let request =
        |email: &str| RegisterRequest { email: email.into(), password: PASSWORD.into(), name: "Ada".into() };
    let methods = async |fixture: &Fixture| {
        let methods = fixture.sessions().list_login_methods(ListLoginMethodsRequest {}).await.unwrap();
        let methods = methods.into_inner();
        (methods.local, methods.oidc, methods.register)
    };
    let fixture = Fixture::start(&db).await;
    assert_eq!(methods(&fixture).await, (true, false, false));
    let refusal = fixture.accounts().register(request("ada@example.com")).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::PermissionDenied);
    drop(fixture);

    let config = Config { registration: true, ..Config::default() };
    let fixture = Fixture::start_with(&db, config).await.unwrap();
    assert_eq!(methods(&fixture).await, (true, false, true));
    let refusal = fixture.accounts().register(request("ada")).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "email".into()));
    let made = fixture.accounts().register(request("Ada@example.com")).await.unwrap().into_inner();
    let me = fixture.me(&made.tokens.unwrap().access_token).await.unwrap();
    let user = me.user.unwrap();
    assert_eq!((user.email.as_str(), user.super_admin), ("ada@example.com", false));
    assert!(me.memberships.is_empty());
    let refusal = fixture.accounts().register(request("ADA@example.com")).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "email".into()));
}
