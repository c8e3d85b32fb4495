//! People log in with an account elsewhere: at a real OpenID Connect provider, as a browser does it.

use std::path::Path;
use std::time::Duration;

use headgate_tests::authority::Authority;
use headgate_tests::browser::Browser;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::servers::oidc::{CLIENT_ID, CLIENT_SECRET, GATE, Oidc};
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be heard of on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

/// Two tenants, and a provider whose groups stand for roles in them. Whoever it knows may come in.
fn setup(oidc: &Oidc) -> Setup {
    with(oidc, json!({}), None)
}

/// The same with other members of the provider's section, and an authority to believe.
fn with(oidc: &Oidc, members: Value, ca_file: Option<&Path>) -> Setup {
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
    let public_url = format!("http://{GATE}");
    let section = json!({"public_url": public_url, "ca_file": ca_file, "providers": {"corp": provider}});
    Setup::new().section("auth", &json!({"oidc": section}))
}

fn account(groups: &[&str]) -> Value {
    json!({"email": "Ada@example.com", "email_verified": true, "name": "Ada", "groups": groups})
}

fn browser(headgate: &Headgate) -> Browser {
    Browser::default().knowing(GATE, headgate.listeners().edge)
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
    operator(&headgate).send_json(Method::PATCH, &path, &by_hand).await.expect(200);
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

#[tokio::test]
async fn who_is_new_comes_in_as_the_policy_says_and_by_a_verified_address_only() {
    let oidc = Oidc::start().await;
    let unverified = json!({"email": "bob@example.com", "email_verified": false});
    oidc.set_accounts(&json!({"ada": account(&[]), "mallory": unverified, "nobody": {}}));
    let bob = json!({"tenant_id": TENANT, "email": "bob@example.com", "role": "owner", "password": PASSWORD});
    let bob_and_ada = |setup: Setup| {
        let ada = json!({"tenant_id": TENANT, "email": "ada@example.com", "role": "viewer"});
        setup.seed("memberships", bob.clone()).seed("memberships", ada)
    };
    let refused = async |headgate: &Headgate, account: &str| {
        let reply = log_in(&oidc, &mut browser(headgate), account).await.expect(403);
        assert!(reply.headers.get("set-cookie").is_none() && !reply.text().contains("@"), "{}", reply.text());
    };

    let headgate = Headgate::start(&bob_and_ada(with(&oidc, json!({"first_login": "deny"}), None))).await;
    refused(&headgate, "ada").await;
    drop(headgate);

    let headgate = Headgate::start(&bob_and_ada(setup(&oidc))).await;
    // Whoever writes another's address into an account gets nothing of theirs.
    refused(&headgate, "mallory").await;
    refused(&headgate, "nobody").await;
    let session = log_in(&oidc, &mut browser(&headgate), "ada").await.expect(200).json();
    let invited = me(&bearing(&headgate, &session)).await;
    assert_eq!(memberships(&invited), [(TENANT, "ROLE_VIEWER", "")], "who was invited is who comes");
    // Found by the account and no longer by its address.
    oidc.set_accounts(&json!({"ada": {"email": "bob@example.com", "email_verified": true}}));
    let session = log_in(&oidc, &mut browser(&headgate), "ada").await.expect(200).json();
    assert_eq!(session["user"], me(&bearing(&headgate, &session)).await["user"]);
    assert_eq!(session["user"]["id"], invited["user"]["id"]);

    let path = format!("/admin/users/{}", invited["user"]["id"].as_str().unwrap());
    let suspend = json!({"status": "USER_STATUS_SUSPENDED"});
    operator(&headgate).send_json(Method::PATCH, &path, &suspend).await.expect(200);
    refused(&headgate, "ada").await;
}

#[tokio::test]
async fn an_answer_is_good_once_in_the_browser_that_asked_and_a_refusal_is_told() {
    let oidc = Oidc::start().await;
    oidc.set_accounts(&json!({"ada": account(&[])}));
    let headgate = Headgate::start(&setup(&oidc)).await;
    let mut ada = browser(&headgate);
    let away = begin(&mut ada, "").await;
    let back = oidc.log_in(&mut ada, &away, "ada").await;
    let stranger = browser(&headgate).get(&back).await.expect(401);
    assert_eq!(stranger.header("set-cookie"), None);
    let mut other = browser(&headgate);
    begin(&mut other, "").await;
    other.get(&back).await.expect(401);
    let before = ada.clone();
    ada.get(&back).await.expect(200);
    before.clone().get(&back).await.expect(401);

    let mut bob = browser(&headgate);
    let away = begin(&mut bob, "").await;
    let back = oidc.abort(&mut bob, &away).await;
    assert!(back.contains("error=access_denied"), "{back}");
    let refused = bob.get(&back).await.expect(403);
    assert_eq!((refused.error_code().as_str(), refused.header("set-cookie")), ("permission_denied", None));
    let mut begun = browser(&headgate);
    begin(&mut begun, "").await;
    for (query, param) in
        [("?code=x", "state"), ("?state=x", "code"), ("?state=x&code=y&iss=z&more=ignored", "")]
    {
        let reply = begun.get(&gate(&format!("/admin/auth/oidc/callback{query}"))).await;
        let wanted = if param.is_empty() { 401 } else { 400 };
        assert_eq!(reply.expect(wanted).json()["error"]["param"].as_str().unwrap_or_default(), param);
    }
    for elsewhere in ["//evil.example", "https://evil.example", "%2F%5Cevil.example"] {
        let path = format!("/admin/auth/oidc/start?return_to={elsewhere}");
        assert_eq!(begun.get(&gate(&path)).await.expect(400).json()["error"]["param"], "return_to");
    }
    begun.get(&gate("/admin/auth/oidc/none/start")).await.expect(404);
}

#[tokio::test]
async fn a_provider_may_be_away_at_the_start_and_change_its_keys() {
    let mut oidc = Oidc::start().await;
    oidc.set_accounts(&json!({"ada": account(&[])}));
    oidc.kill();
    let headgate = Headgate::start(&setup(&oidc)).await;
    let start = gate("/admin/auth/oidc/start");
    let mut ada = browser(&headgate);
    let away = ada.get(&start).await.expect(503);
    assert!(away.header("retry-after").is_some() && !away.text().contains("127.0.0.1"), "{}", away.text());
    oidc.restart().await;
    log_in(&oidc, &mut ada, "ada").await.expect(200);

    // Every start has keys of its own.
    oidc.restart().await;
    log_in(&oidc, &mut browser(&headgate), "ada").await.expect(200);
    let mut late = browser(&headgate);
    let away = begin(&mut late, "").await;
    let back = oidc.log_in(&mut late, &away, "ada").await;
    oidc.kill();
    late.get(&back).await.expect(503);
    headgate.anonymous().get("/admin/auth/methods").await.expect(200);
}

#[tokio::test]
async fn a_provider_is_believed_by_an_authority_of_our_own_and_by_no_other() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.write(folder.path(), &[]);
    let (oidc, front) = Oidc::start_with_tls(&authority).await;
    oidc.set_accounts(&json!({"ada": account(&["staff"])}));
    let headgate = Headgate::start(&setup(&oidc)).await;
    headgate.anonymous().get("/admin/auth/oidc/start").await.expect(503);
    drop(headgate);

    let ca_file = folder.path().join("ca.crt");
    let headgate = Headgate::start(&with(&oidc, json!({}), Some(&ca_file))).await;
    // The browser speaks no TLS, and goes behind the front.
    let mut ada = browser(&headgate).knowing(&front.at.to_string(), oidc.address());
    let session = log_in(&oidc, &mut ada, "ada").await.expect(200).json();
    let now = me(&bearing(&headgate, &session)).await;
    assert_eq!(memberships(&now)[0], (TENANT, "ROLE_VIEWER", oidc.issuer()));
}
