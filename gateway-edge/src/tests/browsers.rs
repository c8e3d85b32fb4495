use http::HeaderMap;
use serde_json::json;

use super::server::{Answered, Server, request};
use super::things::{self, Echo, PACKAGE};
use crate::{Config, Cors, Services};

const FRIEND: &str = "https://console.example.com";
const STRANGER: &str = "https://evil.example.com";

struct Browsed {
    server: Server,
    echo: Echo,
}

impl Browsed {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// One whose service has more calls.
    async fn start_with(more: &str) -> Self {
        let contract = things::contract_with(more);
        let echo = Echo::new(&contract);
        let services = Services::from([(PACKAGE, echo.conn())]);
        let cors = Cors { allowed_origins: vec![FRIEND.to_owned()] };
        let config = Config { cors, ..Config::default() };
        Self { server: Server::start_configured(&contract, config, services).await, echo }
    }

    /// The answer, and the metadata that the service saw, if it was asked.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Answered, Option<HeaderMap>) {
        *self.echo.seen.lock() = None;
        let mut sent = request(method, path, if method == "POST" { "{}" } else { "" });
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            sent.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = self.server.ask(sent).await;
        let seen = self.echo.seen.lock().take().map(|(metadata, _)| metadata);
        (answer, seen)
    }
}

const SESSION: (&str, &str) =
    ("cookie", "theme=dark; headgate_access=a.b.c; headgate_refresh=r-1; headgate_login=l-1; other=x");

#[tokio::test]
async fn a_cookie_stands_for_a_token_and_services_see_no_other() {
    let browsed = Browsed::start().await;
    let (answer, seen) = browsed.send("GET", "/admin/things/n", &[SESSION]).await;
    let seen = seen.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(seen["authorization"], "Bearer a.b.c");
    assert_eq!(seen["cookie"], "headgate_refresh=r-1; headgate_login=l-1");
    let (_, seen) = browsed.send("GET", "/admin/things/n", &[SESSION, ("authorization", "Bearer own")]).await;
    assert_eq!(seen.unwrap()["authorization"], "Bearer own");
    let (_, seen) = browsed.send("GET", "/admin/things/n", &[SESSION, ("x-api-key", "own")]).await;
    assert_eq!(seen.unwrap()["authorization"], "Bearer own");
    let (_, seen) = browsed.send("GET", "/admin/things/n", &[("cookie", "a=b; headgate_access=")]).await;
    let seen = seen.unwrap();
    assert!(!seen.contains_key("authorization") && !seen.contains_key("cookie"));
}

#[tokio::test]
async fn a_session_is_no_api_key() {
    let more = r#"
  // For consumers.
  rpc UseThing(Thing) returns (Thing) {
    option (google.api.http) = {get: "/v1/things"};
    option (headgate.common.v1.access) = {audience: AUDIENCE_CONSUMER};
  }
"#;
    let browsed = Browsed::start_with(more).await;
    let (_, seen) = browsed.send("GET", "/v1/things", &[SESSION]).await;
    assert!(!seen.unwrap().contains_key("authorization"));
    let (_, seen) = browsed.send("GET", "/v1/things", &[SESSION, ("x-api-key", "sk-a.b")]).await;
    assert_eq!(seen.unwrap()["authorization"], "Bearer sk-a.b");
    let document = browsed.server.get("/openapi.json").await.json();
    assert_eq!(document["paths"]["/v1/things"]["get"]["security"], json!([{"api_key": []}]));
}

#[tokio::test]
async fn only_pages_that_may_change_something_by_cookie() {
    let browsed = Browsed::start().await;
    let refresh = ("cookie", "headgate_refresh=r-1");
    let (own, friend, stranger) = (("origin", "https://edge"), ("origin", FRIEND), ("origin", STRANGER));
    let site = |value| ("sec-fetch-site", value);
    let token = ("authorization", "Bearer own");
    for (headers, passes) in [
        (vec![SESSION, site("same-origin")], true),
        (vec![SESSION, site("none")], true),
        (vec![SESSION, own], true),
        (vec![SESSION, friend, site("cross-site")], true),
        (vec![SESSION, stranger, site("cross-site")], false),
        (vec![SESSION, stranger], false),
        (vec![SESSION, site("same-site")], false),
        (vec![SESSION, ("origin", "null")], false),
        (vec![SESSION, ("origin", "https://edge.evil.example.com")], false),
        (vec![SESSION], false),
        (vec![refresh], false),
        (vec![refresh, site("same-origin")], true),
        // A page cannot send a header of its choice without being asked about before.
        (vec![SESSION, stranger, token], true),
        (vec![SESSION, stranger, ("x-api-key", "own")], true),
        (vec![], true),
        // Nobody is to be logged in by another page.
        (vec![stranger], false),
        (vec![site("cross-site")], false),
    ] {
        let (answer, seen) = browsed.send("POST", "/admin/things", &headers).await;
        assert_eq!((answer.status == 200, seen.is_some()), (passes, passes), "{headers:?}");
        if !passes {
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["error"]["code"]),
                (403, &json!("permission_denied"))
            );
        }
    }
    let (answer, _) = browsed.send("GET", "/admin/things/n", &[SESSION, stranger]).await;
    assert_eq!(answer.status, 200, "what only reads changes nothing, and the page cannot see it");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_read() {
    let browsed = Browsed::start().await;
    let asks = [
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    for path in ["/admin/things", "/v1/chat/completions", "/nowhere"] {
        let headers = [&[("origin", FRIEND)][..], &asks].concat();
        let (answer, _) = browsed.send("OPTIONS", path, &headers).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], FRIEND);
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        assert_eq!(answer.headers["access-control-allow-headers"], "authorization,content-type");
        assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
        let headers = [&[("origin", STRANGER)][..], &asks].concat();
        let (answer, _) = browsed.send("OPTIONS", path, &headers).await;
        assert!(answer.status.is_client_error(), "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    for path in ["/admin/things/n", "/v1/models", "/nowhere"] {
        let (answer, _) = browsed.send("GET", path, &[("origin", FRIEND)]).await;
        assert_eq!(answer.headers["access-control-allow-origin"], FRIEND, "{path}");
        assert_eq!(answer.headers["vary"], "origin");
        let (answer, _) = browsed.send("GET", path, &[("origin", STRANGER)]).await;
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        assert_eq!(answer.headers["vary"], "origin", "caches must not mix them up");
    }
    let plain = Server::start(Config::default()).await.get("/ping").await;
    assert!(!plain.headers.contains_key("vary"));
}
