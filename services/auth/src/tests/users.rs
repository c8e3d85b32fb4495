use headgate_proto::auth::v1::{
    GetUserRequest, ListUsersRequest, LookupUsersRequest, UpdateUserRequest, UserStatus,
};

use super::*;

on_both_engines!(
    users_are_for_super_admins,
    a_user_is_made_read_and_changed,
    of_two_who_change_a_user_one_is_told_of_the_other,
    users_are_found_by_address_status_and_part,
    somebody_stays_who_is_a_super_admin,
);

fn change(user: &User) -> UpdateUserRequest {
    UpdateUserRequest { id: user.id.clone(), ..Default::default() }
}

async fn users_are_for_super_admins(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let list = async |token: &str| {
        let mut users = UserServiceClient::new(local(fixture.auth.user_service()));
        users.list_users(bearing(ListUsersRequest::default(), token)).await.map_err(|s| failure(s).reason)
    };
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    assert_eq!(list(&tokens.access_token).await.unwrap_err(), ErrorReason::PermissionDenied);
    assert_eq!(list("guess").await.unwrap_err(), ErrorReason::InvalidCredential);
    assert!(list("operator-token").await.is_ok());
    let promoted = UpdateUserRequest { super_admin: Some(true), ..change(&user) };
    fixture.users().update_user(promoted).await.unwrap();
    assert_eq!(list(&tokens.access_token).await.unwrap_err(), ErrorReason::InvalidCredential, "void");
    let tokens = fixture.refresh(&tokens.refresh_token).await.unwrap();
    assert!(list(&tokens.access_token).await.is_ok());
}

async fn a_user_is_made_read_and_changed(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.user("Ada@example.com").await;
    assert!(made.id.starts_with("user_") && made.email == "ada@example.com");
    assert_eq!((made.status(), made.super_admin, made.last_login_time), (UserStatus::Active, false, None));
    let get = async |id: &str| fixture.users().get_user(GetUserRequest { id: id.into() }).await;
    assert_eq!(get(&made.id).await.unwrap().into_inner().user.as_ref(), Some(&made));
    assert_eq!(failure(get("none").await.unwrap_err()).reason, ErrorReason::NotFound);
    let renamed = UpdateUserRequest { name: Some("Ada".into()), ..change(&made) };
    let renamed = fixture.users().update_user(renamed).await.unwrap().into_inner().user.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.email.as_str()), ("Ada", "ada@example.com"));
    assert_ne!(renamed.etag, made.etag);
    let same = fixture.users().update_user(change(&made)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(same, renamed, "nothing changed");
    fixture.login("ada@example.com", PASSWORD).await.unwrap();
    let read = get(&made.id).await.unwrap().into_inner().user.unwrap();
    assert_eq!(read.etag, renamed.etag, "a login is no change");

    for (request, wanted) in [
        (
            CreateUserRequest { email: "ADA@example.com".into(), ..Default::default() },
            ErrorReason::AlreadyExists,
        ),
        (CreateUserRequest { email: "not one".into(), ..Default::default() }, ErrorReason::InvalidRequest),
    ] {
        let refusal = fixture.users().create_user(request).await.unwrap_err();
        assert_eq!(field(refusal), (wanted, "email".into()));
    }
    let request = CreateUserRequest { email: "b".into(), password: "short".into(), ..Default::default() };
    let refusal = fixture.users().create_user(request).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "password".into()));
    for status in [0, 99] {
        let request = UpdateUserRequest { status: Some(status), ..change(&made) };
        let refusal = fixture.users().update_user(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "status".into()));
    }
}

async fn of_two_who_change_a_user_one_is_told_of_the_other(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let rename = async |name: &str| {
        let request = UpdateUserRequest { name: Some(name.into()), etag: user.etag.clone(), ..change(&user) };
        fixture.users().update_user(request).await.map(|r| r.into_inner().user.unwrap()).map_err(failure)
    };
    let (one, two) = tokio::join!(rename("one"), rename("two"));
    let (won, lost) = won_and_lost(one, two);
    assert_eq!((lost.reason, &lost.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    let request = UpdateUserRequest { name: Some("x".into()), etag: won.etag, ..change(&user) };
    fixture.users().update_user(request).await.unwrap();
}

async fn users_are_found_by_address_status_and_part(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for (email, name) in [("c@x.org", "Zoë Ünal"), ("a_b@x.org", "Ann"), ("b@y.org", "Bob 100%")] {
        let request = CreateUserRequest { email: email.into(), name: name.into(), ..Default::default() };
        fixture.users().create_user(request).await.unwrap();
    }
    let list = async |request: ListUsersRequest| {
        let page = fixture.users().list_users(request).await.unwrap().into_inner();
        (page.users.into_iter().map(|user| user.email).collect::<Vec<_>>(), page.next_page_token)
    };
    let (first, token) = list(ListUsersRequest { page_size: 2, ..Default::default() }).await;
    let (rest, end) = list(ListUsersRequest { page_size: 2, page_token: token, ..Default::default() }).await;
    assert_eq!((first.len(), rest.len(), end.as_str()), (2, 1, ""));
    let (found, _) = list(ListUsersRequest { email: "B@Y.org".into(), ..Default::default() }).await;
    assert_eq!(found, ["b@y.org"]);
    let (found, _) =
        list(ListUsersRequest { status: UserStatus::Suspended.into(), ..Default::default() }).await;
    assert!(found.is_empty());
    let find = async |query: &str| {
        let found = fixture.users().lookup_users(LookupUsersRequest { query: query.into() }).await;
        found.map(|f| f.into_inner().users.into_iter().map(|u| u.email).collect::<Vec<_>>()).map_err(field)
    };
    assert_eq!(find("X.ORG").await.unwrap(), ["a_b@x.org", "c@x.org"]);
    assert_eq!(find("ünAL").await.unwrap(), ["c@x.org"]);
    assert_eq!(find("a_").await.unwrap(), ["a_b@x.org"]);
    assert_eq!(find("0%").await.unwrap(), ["b@y.org"]);
    assert!(find("_%").await.unwrap().is_empty() && find("!").await.unwrap().is_empty());
    assert_eq!(find(" ").await, Err((ErrorReason::InvalidRequest, "query".into())));
}

async fn somebody_stays_who_is_a_super_admin(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let make = async |email: &str| {
        let request = CreateUserRequest { email: email.into(), super_admin: true, ..Default::default() };
        fixture.users().create_user(request).await.unwrap().into_inner().user.unwrap()
    };
    let (one, two) = (make("one").await, make("two").await);
    let lower = async |user: &User| {
        let request = UpdateUserRequest { super_admin: Some(false), ..change(user) };
        fixture.users().update_user(request).await.map(drop).map_err(|s| failure(s).reason)
    };
    let suspend = async |user: &User| {
        let request = UpdateUserRequest { status: Some(UserStatus::Suspended.into()), ..change(user) };
        fixture.users().update_user(request).await.map(drop).map_err(|s| failure(s).reason)
    };
    let (first, second) = tokio::join!(lower(&one), suspend(&two));
    assert_eq!([first, second].iter().filter(|done| done.is_ok()).count(), 1, "{first:?} {second:?}");
    for user in [one, two] {
        let rules = first.is_ok() == (user.email == "two");
        if rules {
            assert_eq!(lower(&user).await, Err(ErrorReason::Conflict));
            assert_eq!(suspend(&user).await, Err(ErrorReason::Conflict));
        }
    }
}
