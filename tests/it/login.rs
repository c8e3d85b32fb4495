//! People log in, are known by every service, and are cut off everywhere.

use std::time::Duration;

use futures_util::future::join_all;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be heard of on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";
/// A call of each service that people call.
const CALLS: [&str; 5] = [
    "/admin/tenants",
    "/admin/providers",
    "/admin/tenants/acme/limits",
    "/admin/usage?filter.tenant_id=acme",
    "/admin/local-models",
];

/// With a super admin, `root@example.com`, and an owner of [`TENANT`], `ada`.
fn setup() -> Setup {
    Setup::new().seed("admin_users", json!({"email": "root@example.com", "password": PASSWORD})).seed(
        "memberships",
        json!({"tenant_id": TENANT, "email": "ada", "role": "owner", "password": PASSWORD}),
    )
}

fn operator(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

async fn try_login(headgate: &Headgate, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    headgate.anonymous().post("/admin/auth/login", &body).await
}

/// The pair of tokens.
async fn login(headgate: &Headgate, email: &str) -> Value {
    try_login(headgate, email, PASSWORD).await.expect(200).json()["tokens"].clone()
}

fn bearing(headgate: &Headgate, tokens: &Value) -> Client {
    headgate.anonymous().with_key(tokens["access_token"].as_str().unwrap())
}

async fn refresh(headgate: &Headgate, tokens: &Value) -> Reply {
    let body = json!({"refresh_token": tokens["refresh_token"]});
    headgate.anonymous().post("/auth/refresh", &body).await
}

/// Waits until a call is answered with a status.
async fn answers(client: &Client, path: &str, status: u16) {
    let what = format!("{status} at {path}");
    eventually(SOON, &what, async || (client.get(path).await.status == status).then_some(())).await;
}

async fn user_id(headgate: &Headgate, email: &str) -> String {
    let found = operator(headgate).get(&format!("/admin/users?email={email}")).await.expect(200).json();
    found["users"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_login_is_known_by_every_service_and_suspension_ends_it_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let setup = setup().section("runtime", &json!({"models_dir": folder.path()}));
    let headgate = Headgate::start(&setup).await;
    let reply = try_login(&headgate, "Root@example.com", PASSWORD).await.expect(200);
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2);
    for (cookie, name) in cookies.iter().zip(["headgate_access=", "headgate_refresh="]) {
        assert!(cookie.starts_with(name) && cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{name}");
    }
    let root = bearing(&headgate, &reply.json()["tokens"]);
    let me = root.get("/auth/me").await.expect(200).json();
    assert_eq!(
        (&me["user"]["email"], &me["user"]["super_admin"]),
        (&json!("root@example.com"), &json!(true))
    );
    for path in CALLS {
        answers(&root, path, 200).await;
    }
    let ada = bearing(&headgate, &login(&headgate, "ada").await);
    for (path, status) in CALLS.into_iter().zip([200, 403, 200, 200, 403]) {
        answers(&ada, path, status).await;
    }

    let id = user_id(&headgate, "ada").await;
    let suspend = json!({"status": "USER_STATUS_SUSPENDED"});
    root.send_json(Method::PATCH, &format!("/admin/users/{id}"), &suspend).await.expect(200);
    for path in CALLS {
        answers(&ada, path, 401).await;
    }
    try_login(&headgate, "ada", PASSWORD).await.expect(401);
    root.get("/admin/users").await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_once_and_its_reuse_ends_the_session() {
    let headgate = Headgate::start(&setup()).await;
    let first = login(&headgate, "ada").await;
    let second = refresh(&headgate, &first).await.expect(200).json()["tokens"].clone();
    let ada = bearing(&headgate, &second);
    for path in ["/admin/tenants", "/admin/tenants/acme/limits"] {
        answers(&ada, path, 200).await;
    }
    refresh(&headgate, &first).await.expect(401);
    refresh(&headgate, &second).await.expect(401);
    for path in ["/admin/tenants", "/admin/tenants/acme/limits"] {
        answers(&ada, path, 401).await;
    }

    let third = login(&headgate, "ada").await;
    let ada = bearing(&headgate, &third);
    answers(&ada, "/admin/tenants/acme/limits", 200).await;
    let reply = ada.post("/auth/logout", &json!({"refresh_token": third["refresh_token"]})).await.expect(204);
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2, "cleared");
    answers(&ada, "/admin/tenants/acme/limits", 401).await;
    refresh(&headgate, &third).await.expect(401);
}

#[tokio::test]
async fn an_owner_takes_somebody_in_who_sets_a_password_with_a_reset() {
    let headgate = Headgate::start(&setup()).await;
    let ada = bearing(&headgate, &login(&headgate, "ada").await);
    let member = json!({"email": "bob@example.com", "role": "ROLE_VIEWER"});
    let made = ada.post("/admin/tenants/acme/memberships", &member).await.expect(201).json();
    let id = made["membership"]["user_id"].as_str().unwrap();
    ada.post(&format!("/admin/users/{id}/password-reset"), &json!({})).await.expect(403);
    let reset = operator(&headgate).post(&format!("/admin/users/{id}/password-reset"), &json!({})).await;
    let token = reset.expect(201).json()["token"].clone();
    let body = json!({"token": token, "new_password": PASSWORD});
    headgate.anonymous().post("/auth/password/reset", &body).await.expect(204);
    headgate.anonymous().post("/auth/password/reset", &body).await.expect(401);
    let bob = bearing(&headgate, &login(&headgate, "bob@example.com").await);
    let me = bob.get("/me").await.expect(200).json();
    assert_eq!(me["memberships"][0]["role"], "ROLE_VIEWER");
    bob.get("/admin/tenants/globex/memberships").await.expect(404);
    bob.post("/admin/tenants/acme/memberships", &member).await.expect(403);
    let path = format!("/admin/tenants/acme/memberships/{id}");
    ada.send_json(Method::DELETE, &path, &Value::Null).await.expect(204);
    answers(&bob, "/me", 401).await;
}

#[tokio::test]
async fn the_first_owner_is_made_once_however_many_ask() {
    let headgate = Headgate::start(&Setup::new()).await;
    let owner = |n: usize| json!({"username": format!("root{n}"), "password": PASSWORD, "org_name": format!("Org {n}")});
    // There are tenants, so somebody runs this already.
    headgate.anonymous().post("/admin/bootstrap-owner", &owner(0)).await.expect(403);
    let operator = operator(&headgate);
    let asked = join_all((0..20).map(|n| {
        let (operator, body) = (&operator, owner(n));
        async move { operator.post("/admin/bootstrap-owner", &body).await }
    }))
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(|reply| reply.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 19));
    assert!(
        refused.iter().all(|reply| reply.status == 409),
        "{:?}",
        refused.iter().map(|r| r.status).collect::<Vec<_>>()
    );
    let made = made[0].json();
    let root = bearing(&headgate, &login(&headgate, made["user"]["email"].as_str().unwrap()).await);
    let tenants = root.get("/admin/tenants").await.expect(200).json();
    assert!(tenants["tenants"].as_array().unwrap().contains(&made["tenant"]), "{tenants}");
}

#[tokio::test]
async fn guessing_is_stopped_and_told_when_to_come_back() {
    let headgate = Headgate::start(&setup()).await;
    let mut failed = 0;
    let limited = loop {
        let reply = try_login(&headgate, "ada", "a wrong password").await;
        if reply.status == 429 {
            break reply;
        }
        reply.expect(401);
        failed += 1;
        assert!(failed < 200, "nobody stops it");
    };
    assert!(failed >= 10, "{failed}");
    let seconds: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    login(&headgate, "root@example.com").await;
}

#[tokio::test]
async fn the_keys_of_tokens_are_published_as_a_key_set() {
    let headgate = Headgate::start(&setup()).await;
    let set = headgate.anonymous().get("/.well-known/jwks.json").await.expect(200).json();
    assert_eq!(set.as_object().unwrap().len(), 1, "a key set and nothing else");
    let key = &set["keys"][0];
    for (member, value) in [("kty", "EC"), ("use", "sig"), ("alg", "ES256"), ("crv", "P-256")] {
        assert_eq!(key[member], value);
    }
    for coordinate in ["x", "y"] {
        assert_eq!(key[coordinate].as_str().unwrap().len(), 43, "32 bytes in base64url");
    }
    let methods = headgate.anonymous().get("/admin/auth/methods").await.expect(200).json();
    assert_eq!((&methods["local"], &methods["register"]), (&json!(true), &json!(false)));
}
