//! People log in with an account elsewhere: at a real OpenID Connect provider, as a browser does it.

use std::time::Duration;

use headgate_tests::browser::Browser;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::servers::oidc::{CLIENT_ID, CLIENT_SECRET, GATE, Oidc};
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

/// How long a change may take to be heard of on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

/// Two tenants, and a provider whose groups stand for roles in them. Whoever it knows may come in.
fn setup(oidc: &Oidc) -> Setup {
    with(oidc, json!({}))
}

/// The same with other members of the provider's section.
fn with(oidc: &Oidc, members: Value) -> Setup {
    let mut provider = json!({
        "display_name": "Example Inc.",
        "issuer": oidc.issuer(),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": ["openid", "email", "profile", "groups"],
        "first_login": "existing_or_create",
        "role_mappings": [
            {"group": "staff", "tenant_id": TENANT, "role": "viewer"},
            {"group": "leads", "tenant_id": TENANT, "role": "admin"},
            {"group": "staff", "tenant_id": "globex", "role": "viewer"},
        ],
        "super_admin_groups": ["root"],
    });
    provider.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let section = json!({"public_url": format!("http://{GATE}"), "providers": {"corp": provider}});
    Setup::new().section("auth", &json!({"oidc": section}))
}

fn account(groups: &[&str]) -> Value {
    json!({"email": "Ada@example.com", "email_verified": true, "name": "Ada", "groups": groups})
}

fn browser(headgate: &Headgate) -> Browser {
    Browser::knowing(GATE, headgate.listeners().edge)
}

fn operator(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

fn gate(path: &str) -> String {
    format!("http://{GATE}{path}")
}

/// Begins a login; where the browser is sent.
async fn begin(browser: &mut Browser, query: &str) -> String {
    let reply = browser.get(&gate(&format!("/admin/auth/oidc/corp/start{query}"))).await.expect(302);
    reply.header("location").unwrap().to_owned()
}

/// A whole login; what Headgate answers the browser that comes back.
async fn log_in(oidc: &Oidc, browser: &mut Browser, account: &str) -> Reply {
    let away = begin(browser, "").await;
    let back = oidc.log_in(browser, &away, account).await;
    browser.get(&back).await
}

fn bearing(headgate: &Headgate, session: &Value) -> Client {
    headgate.anonymous().with_key(session["tokens"]["access_token"].as_str().unwrap())
}

/// Each membership's tenant, role and issuer.
fn memberships(me: &Value) -> Vec<(&str, &str, &str)> {
    let rows = me["memberships"].as_array().unwrap().iter();
    rows.map(|m| {
        (m["tenant_id"].as_str().unwrap(), m["role"].as_str().unwrap(), m["issuer"].as_str().unwrap())
    })
    .collect()
}

/// Waits until every process knows the session, and tells who it is.
async fn me(client: &Client) -> Value {
    let known = || async { Some(client.get("/me").await).filter(|reply| reply.status == 200) };
    eventually(SOON, "a session to be known", known).await.json()
}

#[tokio::test]
async fn somebody_logs_in_with_an_account_elsewhere_and_their_groups_are_followed() {
    let oidc = Oidc::start().await;
    oidc.set_accounts(&json!({"ada": account(&["staff", "other"])}));
    let headgate = Headgate::start(&setup(&oidc)).await;
    let methods = headgate.anonymous().get("/admin/auth/methods").await.expect(200).json();
    let provider =
        json!({"name": "corp", "display_name": "Example Inc.", "start_path": "/admin/auth/oidc/corp/start"});
    assert_eq!((&methods["oidc"], &methods["providers"]), (&json!(true), &json!([provider])));

    let mut browser = browser(&headgate);
    let away = begin(&mut browser, "?return_to=/console?tab=keys").await;
    for part in ["code_challenge_method=S256", "nonce=", "state=", "response_type=code"] {
        assert!(away.contains(part), "{part}: {away}");
    }
    let back = oidc.log_in(&mut browser, &away, "ada").await;
    assert!(back.contains("code=") && back.contains("state="), "{back}");
    let reply = browser.get(&back).await.expect(302);
    assert_eq!(reply.header("location"), Some("/console?tab=keys"));
    assert!(!reply.text().contains(browser.cookie(GATE, "headgate_access").unwrap()));
    assert_eq!(browser.cookie(GATE, "headgate_login"), None, "it is of no use any more");
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert!(
        cookies.iter().all(|c| c.ends_with("; HttpOnly; SameSite=Lax; Secure")),
        "three: {}",
        cookies.len()
    );

    let known =
        || async { Some(browser.clone().get(&gate("/me")).await).filter(|reply| reply.status == 200) };
    let me_by_cookie = eventually(SOON, "the session to be known", known).await.json();
    assert_eq!(
        (&me_by_cookie["user"]["email"], &me_by_cookie["user"]["name"]),
        (&json!("ada@example.com"), &json!("Ada"))
    );
    let viewer = "ROLE_VIEWER";
    let wanted = vec![(TENANT, viewer, oidc.issuer()), ("globex", viewer, oidc.issuer())];
    assert_eq!(memberships(&me_by_cookie), wanted);

    // What is given by hand stays; what groups stand for is changed and taken away.
    let user_id = me_by_cookie["user"]["id"].as_str().unwrap();
    let path = format!("/admin/tenants/globex/memberships/{user_id}");
    let by_hand = json!({"role": "ROLE_OWNER"});
    operator(&headgate).send_json(http::Method::PATCH, &path, &by_hand).await.expect(200);
    oidc.set_accounts(&json!({"ada": account(&["leads", "staff", "root"])}));
    let session = log_in(&oidc, &mut browser, "ada").await.expect(200).json();
    let ada = bearing(&headgate, &session);
    let now = me(&ada).await;
    let kept = ("globex", "ROLE_OWNER", "");
    assert_eq!(now["user"]["id"], user_id, "the same person");
    assert_eq!(memberships(&now), [(TENANT, "ROLE_ADMIN", oidc.issuer()), kept]);
    assert_eq!(now["user"]["super_admin"], true);
    oidc.set_accounts(&json!({"ada": account(&[])}));
    let session = log_in(&oidc, &mut browser, "ada").await.expect(200).json();
    eventually(SOON, "what was issued before to be void", || async {
        (ada.get("/admin/users").await.status == 401).then_some(())
    })
    .await;
    let ada = bearing(&headgate, &session);
    let now = me(&ada).await;
    assert_eq!((memberships(&now), &now["user"]["super_admin"]), (vec![kept], &json!(false)));

    // The session is one like any other.
    let body = json!({"refresh_token": session["tokens"]["refresh_token"]});
    headgate.anonymous().post("/auth/refresh", &body).await.expect(200);
    headgate.anonymous().post("/auth/refresh", &body).await.expect(401);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    headgate.anonymous().post("/auth/login", &body).await.expect(401);
    assert!(!headgate.logs().contains(CLIENT_SECRET));
}
