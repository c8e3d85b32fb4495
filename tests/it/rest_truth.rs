//! REST says what HTTP's own tools look for, and names things as requests have them.

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use http::Method;
use serde_json::{Value, json};

use crate::budget::{cent_model, cent_request};

const FRIEND: &str = "https://console.example.com";
/// What every answer has that no page need read, and what a page may read unasked.
const PLAIN: [&str; 11] = [
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "referrer-policy",
    "vary",
    "x-content-type-options",
    "x-frame-options",
];

fn operator(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

async fn put(client: &Client, path: &str, body: Value) -> Reply {
    client.send_json(Method::PUT, path, &body).await
}

async fn patch(client: &Client, path: &str, body: Value) -> Reply {
    client.send_json(Method::PATCH, path, &body).await
}

#[tokio::test]
async fn a_change_is_guarded_by_the_etag_that_the_header_told() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = operator(&headgate);
    let limits = |number: u32| json!({"requests_per_minute": number});
    let budget = |amount: &str| json!({"window": "BUDGET_WINDOW_CALENDAR_MONTH", "limit_usd": amount});
    let limits_path = format!("/admin/tenants/{TENANT}/limits");
    let budget_path = format!("/admin/tenants/{TENANT}/budget");
    for (path, first, second, third) in [
        (&limits_path, limits(7), limits(8), limits(9)),
        (&budget_path, budget("1.00"), budget("2.00"), budget("3.00")),
    ] {
        let set = put(&admin, path, first).await.expect(200);
        let read = admin.get(path).await.expect(200);
        let etag = read.header("etag").expect("an etag").to_owned();
        assert_eq!(set.header("etag"), Some(etag.as_str()));
        let knowing = admin.with_header("if-match", &etag);
        let won = put(&knowing, path, second).await.expect(200);
        let lost = put(&knowing, path, third.clone()).await.expect(409);
        assert_eq!(lost.header("etag"), won.header("etag"), "what it has now");
        assert_eq!(admin.get(path).await.expect(200).json(), won.json(), "nothing was lost");
        put(&admin.with_header("if-match", "*"), path, third).await.expect(200);
    }
    let last = admin.get(&budget_path).await.expect(200);
    let knowing = |etag: &str| admin.with_header("if-match", etag);
    knowing("\"other\"").send_json(Method::DELETE, &budget_path, &Value::Null).await.expect(409);
    let etag = last.header("etag").unwrap();
    knowing(etag).send_json(Method::DELETE, &budget_path, &Value::Null).await.expect(200);

    let key = format!("/admin/keys/{KEY_ID}");
    let read = admin.get(&key).await.expect(200);
    assert_eq!(
        read.header("etag"),
        read.json()["api_key"]["etag"].as_str().map(|e| format!("\"{e}\"")).as_deref()
    );
    let knowing = knowing(read.header("etag").unwrap());
    patch(&knowing, &key, json!({"name": "one"})).await.expect(200);
    patch(&knowing, &key, json!({"name": "other"})).await.expect(409);
}

#[tokio::test]
async fn what_is_wrong_is_named_as_the_request_has_it() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = operator(&headgate);
    let limits = format!("/admin/tenants/{TENANT}/limits");
    let key = format!("/admin/keys/{KEY_ID}");
    for (method, path, body, param) in [
        (Method::PUT, &limits, r#"{"requests_per_minute":0}"#, "requests_per_minute"),
        (Method::PUT, &limits, r#"{"requests_per_minute":"x"}"#, "requests_per_minute"),
        (Method::PUT, &limits, r#"{"requests_per_hour":5}"#, "requests_per_hour"),
        (Method::PATCH, &key, r#"{"scopes":["chat","dance"]}"#, "scopes"),
        (Method::PATCH, &key, r#"{"metadata":{"a":1}}"#, "metadata.a"),
        (Method::PATCH, &key, r#"{"metadata":{"a":null}}"#, "metadata.a"),
        (Method::PATCH, &key, r#"{"metadata":{"a":"1","a":"2"}}"#, "metadata.a"),
        (Method::PATCH, &key, r#"{"name":"a","name":"b"}"#, "name"),
    ] {
        let refused = admin.send_raw(method, path, body).await.expect(400).json();
        let error = &refused["error"];
        assert_eq!(error["param"], param, "{body}: {error}");
        let text = error["message"].as_str().unwrap();
        assert!(!text.contains("limits.") && !text.contains("values"), "{body}: {text}");
    }
    let set = patch(&admin, &key, json!({"scopes": ["chat"], "metadata": {"team": "a"}})).await.expect(200);
    let shown = set.json()["api_key"].clone();
    assert_eq!((&shown["scopes"], &shown["metadata"]), (&json!(["chat"]), &json!({"team": "a"})));
    let cleared = patch(&admin, &key, json!({"scopes": [], "metadata": {"values": {}}})).await.expect(200);
    let shown = cleared.json()["api_key"].clone();
    assert_eq!((&shown["scopes"], &shown["metadata"]), (&json!([]), &json!({})));
}

#[tokio::test]
async fn a_page_elsewhere_may_read_all_that_an_answer_says() {
    let upstream = Upstream::start().await;
    let setup = cent_model(&upstream)
        .section("edge", &json!({"cors": {"allowed_origins": [FRIEND]}}))
        .budget(json!({"key_id": KEY_ID, "limit_usd": "0.02"}));
    let headgate = Headgate::start(&setup).await;
    let consumer = headgate.client().with_header("origin", FRIEND);
    let client = consumer.with_header("idempotency-key", "k");
    let capped = client.chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    let again = client.chat(&prompts::chat("m")).await.expect(200);
    assert!(
        capped.header("x-headgate-output-cap").is_some() && again.header("idempotent-replayed").is_some()
    );
    let page = operator(&headgate).with_header("origin", FRIEND);
    let read = page.get(&format!("/admin/keys/{KEY_ID}")).await.expect(200);
    let elsewhere = page.send_json(Method::PUT, "/admin/tenants", &json!({})).await.expect(405);
    let refused = consumer.chat(&cent_request()).await;
    for answer in [capped, again, read, elsewhere, refused] {
        let exposed: Vec<_> = answer.header("access-control-expose-headers").unwrap().split(", ").collect();
        let hidden = answer.headers.keys().map(http::HeaderName::as_str);
        let hidden: Vec<_> = hidden.filter(|name| !PLAIN.contains(name) && !exposed.contains(name)).collect();
        assert_eq!(hidden, [""; 0], "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn a_packed_body_is_refused_and_makes_nothing() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = operator(&headgate);
    let tenant = json!({"name": "Packed", "id": "packed"});
    admin.with_header("content-encoding", "gzip").post("/admin/tenants", &tenant).await.expect(415);
    admin.get("/admin/tenants/packed").await.expect(404);
    admin.post("/admin/tenants", &tenant).await.expect(200);
}
