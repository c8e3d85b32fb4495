use headgate_proto::auth::v1::{LogoutRequest, UpdateUserRequest, UserStatus};

use super::*;

on_both_engines!(
    who_logs_in_is_known_by_the_token_and_keeps_cookies,
    whatever_is_wrong_at_login_the_answer_is_the_same,
    a_refresh_token_is_good_once_and_its_reuse_ends_the_session,
    of_many_who_use_one_refresh_token_one_wins_and_the_session_ends,
    a_session_ends_at_its_time,
    logging_out_voids_what_was_issued,
    logging_out_everywhere_ends_every_session_of_the_user,
    guessing_at_an_account_is_stopped,
    a_suspended_user_has_nothing_left,
    no_secret_of_a_session_is_stored,
);

/// The values of `set-cookie`.
fn cookies<T>(response: &tonic::Response<T>) -> Vec<String> {
    let lines = response.metadata().get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

async fn logout(fixture: &Fixture, refresh_token: &str, everywhere: bool) {
    let request = LogoutRequest { refresh_token: refresh_token.into(), everywhere };
    fixture.sessions().logout(request).await.unwrap();
}

async fn who_logs_in_is_known_by_the_token_and_keeps_cookies(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let user = fixture.user("Ada@Example.com").await;
    fixture.join("a", &user, Role::Admin).await;
    let request =
        LoginRequest { username: "ADA@example.COM".into(), password: PASSWORD.into(), ..Default::default() };
    let response = fixture.sessions().login(request).await.unwrap();
    let cookies = cookies(&response);
    let tokens = response.into_inner().tokens.unwrap();
    let wanted = [
        format!(
            "headgate_access={}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure",
            tokens.access_token
        ),
        format!(
            "headgate_refresh={}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax; Secure",
            tokens.refresh_token
        ),
    ];
    assert_eq!(cookies, wanted);
    assert_eq!(tokens.access_expire_time.unwrap().seconds, NOW_MICROS / 1_000_000 + 600);

    let me = fixture.me(&tokens.access_token).await.unwrap();
    let known = me.user.unwrap();
    assert_eq!((known.id.as_str(), known.email.as_str()), (user.id.as_str(), "ada@example.com"));
    assert_eq!(known.last_login_time.unwrap().seconds, NOW_MICROS / 1_000_000);
    assert_eq!(me.memberships.len(), 1);
    assert_eq!((me.memberships[0].tenant_id.as_str(), me.memberships[0].role()), ("a", Role::Admin));
    assert_eq!(fixture.me("operator-token").await, Err(ErrorReason::PermissionDenied));
    assert_eq!(fixture.me(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
    fixture.pass(661);
    assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential), "it expired");
}

async fn whatever_is_wrong_at_login_the_answer_is_the_same(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada@example.com").await;
    let suspended = fixture.user("sus@example.com").await;
    let request = UpdateUserRequest {
        id: suspended.id,
        status: Some(UserStatus::Suspended.into()),
        ..Default::default()
    };
    fixture.users().update_user(request).await.unwrap();
    let request = CreateUserRequest { email: "none@example.com".into(), ..Default::default() };
    fixture.users().create_user(request).await.unwrap();
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong horse battery"),
        ("bob@example.com", PASSWORD),
        ("sus@example.com", PASSWORD),
        ("none@example.com", PASSWORD),
        ("a malformed one", "x"),
    ] {
        answers.push(fixture.login(email, password).await.unwrap_err());
    }
    assert_eq!(answers[0].reason, ErrorReason::InvalidCredential);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for (request, wanted) in [
        (LoginRequest { password: "x".into(), ..Default::default() }, "email"),
        (LoginRequest { email: "x".into(), ..Default::default() }, "password"),
    ] {
        let refusal = fixture.sessions().login(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
}

async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let first = fixture.login("ada", PASSWORD).await.unwrap();
    let other = fixture.login("ada", PASSWORD).await.unwrap();
    fixture.pass(60);
    let second = fixture.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.refresh_expire_time, first.refresh_expire_time, "it does not live longer for that");
    let third = fixture.refresh(&second.refresh_token).await.unwrap();
    assert!(fixture.me(&third.access_token).await.is_ok());

    assert_eq!(fixture.refresh(&first.refresh_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.refresh(&third.refresh_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.me(&third.access_token).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.me(&other.access_token).await.is_ok(), "another session goes on");
    assert!(fixture.refresh(&other.refresh_token).await.is_ok());
    assert_eq!(fixture.refresh("made-up").await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.refresh("").await, Err(ErrorReason::MissingCredential));
}

async fn of_many_who_use_one_refresh_token_one_wins_and_the_session_ends(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    let uses = (0..8).map(|_| fixture.refresh(&tokens.refresh_token));
    let won: Vec<_> = futures_util::future::join_all(uses).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(fixture.refresh(&won[0].refresh_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.me(&won[0].access_token).await, Err(ErrorReason::InvalidCredential));
}

async fn a_session_ends_at_its_time(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let life = Duration::from_millis(u64::try_from(Config::default().session_ms).unwrap());
    let mut tokens = fixture.login("ada", PASSWORD).await.unwrap();
    fixture.clock.advance(life - Duration::from_secs(60));
    tokens = fixture.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(tokens.access_expire_time, tokens.refresh_expire_time, "a token outlives no session");
    fixture.pass(60);
    assert_eq!(fixture.refresh(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
    fixture.auth.people.keep_up().await.unwrap();
    let left: i64 = headgate_kit::fetch!(fixture.auth.registry.db().read(), pool => {
        sqlx::query_scalar("SELECT COUNT(*) FROM sessions").fetch_one(pool)
    })
    .unwrap();
    assert_eq!(left, 0, "it is forgotten");
}

async fn logging_out_voids_what_was_issued(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    let other = fixture.login("ada", PASSWORD).await.unwrap();
    logout(&fixture, &tokens.refresh_token, false).await;
    assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.refresh(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.me(&other.access_token).await.is_ok());

    // By the access token alone, and by the cookie.
    let request = bearing(LogoutRequest::default(), &other.access_token);
    let response = fixture.sessions().logout(request).await.unwrap();
    assert_eq!(response.metadata().get("x-headgate-http-status").unwrap(), "204");
    let cleared = ["headgate_access=; Path=/; Max-Age=0", "headgate_refresh=; Path=/; Max-Age=0"];
    assert!(cookies(&response).iter().zip(cleared).all(|(cookie, start)| cookie.starts_with(start)));
    assert_eq!(fixture.me(&other.access_token).await, Err(ErrorReason::InvalidCredential));
    let third = fixture.login("ada", PASSWORD).await.unwrap();
    let mut request = Request::new(LogoutRequest::default());
    let cookie = format!("headgate_refresh={}", third.refresh_token);
    request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    fixture.sessions().logout(request).await.unwrap();
    assert_eq!(fixture.me(&third.access_token).await, Err(ErrorReason::InvalidCredential));
    logout(&fixture, "made-up", true).await;
    logout(&fixture, "", false).await;
}

async fn logging_out_everywhere_ends_every_session_of_the_user(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    fixture.user("bob").await;
    let (one, two) =
        (fixture.login("ada", PASSWORD).await.unwrap(), fixture.login("ada", PASSWORD).await.unwrap());
    let bob = fixture.login("bob", PASSWORD).await.unwrap();
    logout(&fixture, &one.refresh_token, true).await;
    for tokens in [one, two] {
        assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential));
        assert_eq!(fixture.refresh(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
    }
    assert!(fixture.me(&bob.access_token).await.is_ok());
    let again = fixture.login("ada", PASSWORD).await.unwrap();
    assert!(fixture.me(&again.access_token).await.is_ok());
}

async fn guessing_at_an_account_is_stopped(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.user("ada").await;
    let from = |n: u8, password: &str| {
        let request = LoginRequest { email: "ada".into(), password: password.into(), ..Default::default() };
        let mut request = Request::new(request);
        let address = format!("192.0.2.{n}");
        request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
        request
    };
    for _ in 0..5 {
        fixture.sessions().login(from(1, PASSWORD)).await.unwrap();
    }
    let guesses = (0..12).map(|n| {
        let (mut sessions, request) = (fixture.sessions(), from(1, &format!("guess {n}")));
        async move { failure(sessions.login(request).await.unwrap_err()) }
    });
    let refusals = futures_util::future::join_all(guesses).await;
    let limited: Vec<_> = refusals.iter().filter(|f| f.reason == ErrorReason::RateLimited).collect();
    assert_eq!(limited.len(), 2, "ten at once, also when all come at once");
    assert!(limited.iter().all(|f| f.retry_after == Some(Duration::from_secs(30))), "{limited:?}");
    let refusal = fixture.sessions().login(from(1, PASSWORD)).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::RateLimited, "the right one, too");
    fixture.sessions().login(from(2, PASSWORD)).await.unwrap();
    fixture.pass(30);
    fixture.sessions().login(from(1, PASSWORD)).await.unwrap();
}

async fn a_suspended_user_has_nothing_left(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    let set = |status: UserStatus| UpdateUserRequest {
        id: user.id.clone(),
        status: Some(status.into()),
        ..Default::default()
    };
    fixture.users().update_user(set(UserStatus::Suspended)).await.unwrap();
    assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential));
    assert_eq!(fixture.refresh(&tokens.refresh_token).await, Err(ErrorReason::InvalidCredential));
    assert!(fixture.login("ada", PASSWORD).await.is_err());
    fixture.users().update_user(set(UserStatus::Active)).await.unwrap();
    assert_eq!(fixture.me(&tokens.access_token).await, Err(ErrorReason::InvalidCredential), "it stays void");
    assert!(fixture.login("ada", PASSWORD).await.is_ok());
}

async fn no_secret_of_a_session_is_stored(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let user = fixture.user("ada").await;
    let tokens = fixture.login("ada", PASSWORD).await.unwrap();
    let request = headgate_proto::auth::v1::CreatePasswordResetRequest { id: user.id };
    let reset = fixture.users().create_password_reset(request).await.unwrap().into_inner();
    assert!(!format!("{reset:?} {tokens:?}").contains(&reset.token), "nor printed");
    let stored = db.bytes("auth").await;
    assert!(contains(&stored, b"$argon2id$"));
    for secret in [PASSWORD, &tokens.refresh_token, &tokens.access_token, &reset.token] {
        assert!(!contains(&stored, secret.as_bytes()));
    }
    // A private key in PKCS #8 begins with the algorithm: id-ecPublicKey, prime256v1.
    let algorithm = hex::decode("06072a8648ce3d020106082a8648ce3d030107").unwrap();
    assert!(!contains(&stored, &algorithm) && !contains(&stored, hex::encode(&algorithm).as_bytes()));
}
