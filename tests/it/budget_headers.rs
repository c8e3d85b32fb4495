//! What answers say of the budget that covers them.

use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, OTHER_KEY, TENANT};
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::budget::{cent_model, cent_request, key_scope, settled};

/// The `x-budget-*` headers: limit, total, remaining, warning, exceeded. `None` when there is none of them.
fn told(headers: &HeaderMap) -> Option<[&str; 5]> {
    let names = ["limit", "total", "remaining", "warning", "exceeded"].map(|name| format!("x-budget-{name}"));
    let found = names.each_ref().map(|name| headers.get(name).map(|value| value.to_str().unwrap()));
    if found.iter().all(Option::is_none) {
        return None;
    }
    Some(found.map(|value| value.unwrap_or_else(|| panic!("one is missing: {headers:?}"))))
}

/// A streamed request that costs a cent, and cannot cost more.
fn cent_stream() -> Value {
    prompts::chat_with("m", &json!({"max_tokens": 100, "stream": true}))
}

#[tokio::test]
async fn every_answer_to_an_admitted_or_refused_request_says_where_its_budget_stands() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    let setup = cent_model(&upstream)
        .budget(json!({"key_id": KEY_ID, "limit_usd": "1.00"}))
        .limits(json!({"key_id": KEY_ID, "tokens_per_minute": 10_000}));
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client();
    let stands = |total, remaining| Some(["1.00", total, remaining, "false", "false"]);

    // What the request itself holds counts.
    let chat = client.chat(&cent_request()).await.expect(200);
    assert_eq!(told(&chat.headers), stands("0.01", "0.99"));
    settled(&headgate, &key_scope()).await;
    let stream = client.stream(&cent_stream()).await;
    assert_eq!((stream.status, told(&stream.headers)), (200, stands("0.02", "0.98")));
    stream.read_to_end().await;
    settled(&headgate, &key_scope()).await;
    let vectors = client.embed(&prompts::embed("m", &json!("a text"))).await.expect(200);
    assert_eq!(told(&vectors.headers), stands("0.02", "0.98"));

    upstream.script("m", Behaviour::status(500, "out of order"));
    let failed = client.chat(&cent_request()).await.expect(502);
    assert_eq!(told(&failed.headers), stands("0.03", "0.97"));
    settled(&headgate, &key_scope()).await;
    let failed = client.stream(&cent_stream()).await.into_reply().await.expect(502);
    assert_eq!(told(&failed.headers), stands("0.03", "0.97"));
    settled(&headgate, &key_scope()).await;
    let greedy = prompts::chat_with("m", &json!({"max_tokens": 10_001}));
    let limited = client.chat(&greedy).await.expect(429);
    assert_eq!(told(&limited.headers), stands("0.02", "0.98"));
}

#[tokio::test]
async fn who_has_no_budget_or_asks_for_nothing_that_costs_is_told_nothing() {
    let upstream = Upstream::start().await;
    let setup = cent_model(&upstream).budget(json!({"key_id": KEY_ID, "limit_usd": "1.00"}));
    let headgate = Headgate::start(&setup).await;
    let other = headgate.anonymous().with_key(OTHER_KEY).chat(&cent_request()).await.expect(200);
    let unknown = headgate.client().chat(&prompts::chat("no-such-model")).await.expect(404);
    let anonymous = headgate.anonymous().chat(&cent_request()).await.expect(401);
    for reply in [other, unknown, anonymous, headgate.client().get("/v1/models").await.expect(200)] {
        assert_eq!(told(&reply.headers), None);
    }
}

async fn warned(client: &Client) -> bool {
    let reply = client.chat(&cent_request()).await.expect(200);
    told(&reply.headers).expect("a budget covers it")[3] == "true"
}

#[tokio::test]
async fn a_budget_warns_from_its_own_share_on_or_else_from_the_configured_one() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    let setup = cent_model(&upstream)
        .section("budget", &json!({"warning_percent": 50}))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.04"}))
        .budget(json!({"tenant_id": "globex", "limit_usd": "0.04", "warning_percent": 75}));
    let headgate = Headgate::start(&setup).await;
    let (client, other) = (headgate.client(), headgate.anonymous().with_key(OTHER_KEY));
    for (number, expected) in (1..).zip([(false, false), (true, false), (true, true), (true, true)]) {
        assert_eq!((warned(&client).await, warned(&other).await), expected, "request {number}");
        headgate.rows(2 * number).await;
    }
    let refused = client.chat(&cent_request()).await.expect(403);
    assert_eq!(told(&refused.headers), Some(["0.04", "0.04", "0.00", "true", "true"]));
}

#[tokio::test]
async fn of_two_budgets_the_one_nearest_to_its_limit_is_told() {
    let upstream = Upstream::start().await;
    let setup = cent_model(&upstream)
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.50"}))
        .budget(json!({"key_id": KEY_ID, "limit_usd": "2.00"}));
    let headgate = Headgate::start(&setup).await;
    let reply = headgate.client().chat(&cent_request()).await.expect(200);
    assert_eq!(reply.header("x-budget-limit"), Some("0.50"));
}
