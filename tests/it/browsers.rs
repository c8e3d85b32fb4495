//! A browser's session over REST: cookies instead of a token, and only for pages that may.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::setup::Setup;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

const FRIEND: &str = "https://console.example.com";
const PASSWORD: &str = "correct horse battery staple";
/// How long it may take until every service hears from auth, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// What a browser would send of the cookies that an answer sets.
fn cookies(answer: &Reply) -> String {
    let pairs = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let pairs = pairs
        .inspect(|cookie| assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite"), "{cookie}"));
    pairs.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

async fn post(client: &Client, path: &str, body: Value) -> Reply {
    client.send_json(Method::POST, path, &body).await
}

#[tokio::test]
async fn a_session_is_used_by_cookie_and_changed_by_own_pages_only() {
    let setup = Setup::new().section("edge", &json!({"cors": {"allowed_origins": [FRIEND]}}));
    let headgate = Headgate::start(&setup).await;
    let page = headgate.anonymous();
    let owner = json!({"username": "root", "password": PASSWORD, "org_name": "First"});
    post(&page.with_key(&headgate.operator_token()), "/admin/bootstrap-owner", owner).await.expect(201);
    let login = json!({"username": "root", "password": PASSWORD});
    let foreign = page.with_header("origin", "https://evil.example.com");
    assert_eq!(post(&foreign, "/auth/login", login.clone()).await.expect(403).header("set-cookie"), None);
    let session = cookies(&post(&page, "/auth/login", login).await.expect(200));
    assert!(session.contains("headgate_access=") && session.contains("headgate_refresh="), "{session}");

    let browser = page.with_header("cookie", &session);
    let me = eventually(SOON, "the session to be known", || async {
        Some(browser.get("/auth/me").await).filter(|answer| answer.status == 200)
    })
    .await;
    assert!(me.text().contains("root"), "{}", me.text());
    page.get("/auth/me").await.expect(401);

    let tenant = json!({"name": "Made by a page"});
    for (origin, status) in [(None, 403), (Some("https://evil.example.com"), 403), (Some(FRIEND), 200)] {
        let asking = origin.map_or(browser.clone(), |origin| browser.with_header("origin", origin));
        let answer = eventually(SOON, "a verdict", || async {
            let answer = post(&asking, "/admin/tenants", tenant.clone()).await;
            Some(answer).filter(|answer| answer.status != 503)
        })
        .await;
        let answer = answer.expect(status);
        let readable = answer.header("access-control-allow-origin");
        assert_eq!(readable, origin.filter(|origin| *origin == FRIEND), "{origin:?}");
    }

    let own = browser.with_header("sec-fetch-site", "same-origin");
    let renewed = post(&own, "/auth/refresh", json!({})).await.expect(200);
    assert_ne!(cookies(&renewed), session);
}
