use http::{HeaderMap, Method};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::server::{Answered, Server, request};
use super::things::{self, Echo, PACKAGE};
use crate::Services;
use crate::transcode::etag;

const PATH: &str = "/admin/kept-things/n";

struct Things {
    server: Server,
    echo: Echo,
}

impl Things {
    async fn start() -> Self {
        let contract = things::contract_with("");
        let echo = Echo::new(&contract);
        let services = Services::from([(PACKAGE, echo.conn())]);
        Self { server: Server::start_with(&contract, services).await, echo }
    }

    async fn ask(&self, method: &Method, path: &str, conditions: &[&str], body: &str) -> Answered {
        *self.echo.seen.lock() = None;
        let mut sent = request(method.as_str(), path, body);
        for condition in conditions {
            sent.headers_mut().append("if-match", condition.parse().unwrap());
        }
        self.server.ask(sent).await
    }

    fn seen(&self) -> Option<Value> {
        let (_, message): (HeaderMap, DynamicMessage) = self.echo.seen.lock().take()?;
        Some(serde_json::to_value(&message).unwrap())
    }
}

#[tokio::test]
async fn what_if_match_says_is_the_etag_of_the_request() {
    let things = Things::start().await;
    for (conditions, query, etag) in [
        (&[][..], "", None),
        (&["*"], "", None),
        (&[" \"33\" "], "", Some("33")),
        (&["\"a,b\""], "", Some("a,b")),
        (&["\"33\""], "?etag=33", Some("33")),
        (&["*"], "?etag=34", Some("34")),
    ] {
        for (method, body) in [(Method::PUT, "{}"), (Method::DELETE, "")] {
            let answer = things.ask(&method, &format!("{PATH}{query}"), conditions, body).await;
            assert_eq!(answer.status, 200, "{conditions:?} {query}");
            let seen = things.seen().unwrap();
            assert_eq!(seen["etag"].as_str(), etag, "{conditions:?} {query}");
            let told = answer.headers.get("etag").map(|etag| etag.to_str().unwrap().to_owned());
            assert_eq!(told, etag.map(|etag| format!("\"{etag}\"")), "{conditions:?} {query}");
        }
    }
}

#[tokio::test]
async fn conditions_that_say_no_one_version_are_refused() {
    let things = Things::start().await;
    let cases: [(&[&str], &str); 9] = [
        (&["\"33\""], "?etag=34"),
        (&["W/\"33\""], ""),
        (&["\"33\", \"34\""], ""),
        (&["\"33\"", "\"33\""], ""),
        (&["*", "\"33\""], ""),
        (&["33"], ""),
        (&["\"\""], ""),
        (&["\""], ""),
        (&[""], ""),
    ];
    for (conditions, query) in cases {
        let answer = things.ask(&Method::PUT, &format!("{PATH}{query}"), conditions, "{}").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!("etag")));
        assert_eq!(things.seen(), None, "{conditions:?}");
    }
}

#[tokio::test]
async fn a_call_without_an_etag_changes_nothing_on_a_condition() {
    let things = Things::start().await;
    let refused = things.ask(&Method::DELETE, "/admin/things/n", &["\"33\""], "").await;
    assert_eq!((refused.status.as_u16(), things.seen()), (400, None));
    for (method, condition) in
        [(Method::DELETE, "*"), (Method::GET, "*"), (Method::GET, "\"33\""), (Method::HEAD, "\"33\"")]
    {
        let answer = things.ask(&method, "/admin/things/n", &[condition], "").await;
        assert_eq!((answer.status.as_u16(), things.seen().is_some()), (200, true), "{method} {condition}");
    }
}

#[test]
fn an_answer_has_the_etag_on_top_or_in_the_only_message_that_has_one() {
    let contract = things::contract_with("");
    let place = |name: &str| {
        let message = contract.get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap();
        let path = etag::place(&message)?;
        Some(path.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>().join("."))
    };
    assert_eq!(place("Kept").as_deref(), Some("etag"));
    assert_eq!(place("Keeper").as_deref(), Some("kept.etag"));
    assert_eq!(place("Thing"), None);
    assert_eq!(place("Two"), None, "it does not say of which");
    assert_eq!(place("List"), None, "it shows many");
}

#[tokio::test]
async fn the_document_shows_where_etags_are_taken_and_told() {
    let document = Things::start().await.server.get("/openapi.json").await.json();
    let takes = |operation: &Value| {
        let parameters = operation["parameters"].as_array().unwrap();
        parameters.contains(&json!({"$ref": "#/components/parameters/IfMatch"}))
    };
    let tells = |operation: &Value| operation["responses"]["2XX"]["headers"]["etag"].is_object();
    let kept = &document["paths"]["/admin/kept-things/{name}"];
    assert!(takes(&kept["put"]) && takes(&kept["delete"]) && takes(&kept["put"]) && tells(&kept["put"]));
    assert!(tells(&kept["get"]));
    let things = &document["paths"]["/admin/things/{name}"];
    assert!(!takes(&things["delete"]) && !tells(&things["delete"]) && !tells(&things["get"]));
    assert_eq!(document["components"]["parameters"]["IfMatch"]["in"], "header");
    assert!(document["components"]["headers"]["ETag"].is_object());
}
