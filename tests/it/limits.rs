//! P3: N per minute is N at once, then refill; parallel means at the same time; the strictest of key and tenant holds.

use std::time::{Duration, Instant};

use headgate_proto::budget::v1::budget_service_client::BudgetServiceClient;
use headgate_proto::budget::v1::scope::Scope as Kind;
use headgate_proto::budget::v1::{Limits, Scope, SetLimitsRequest};
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, OTHER_KEY, Setup, TENANT};
use headgate_tests::upstream::{Answer, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// Further keys of the tenant `globex`.
const MORE_KEY: &str = "sk-more.more-client-secret";
const MOST_KEY: &str = "sk-most.most-client-secret";

/// Sends so many requests at once to a limit of `at_once`, of which one comes back every `refill`. A machine that takes
/// long has time to see some of it come back.
async fn assert_limited(headgate: &Headgate, requests: usize, at_once: usize, refill: Duration) {
    let begin = Instant::now();
    let statuses = flood(headgate, requests, &prompts::chat("m")).await;
    let back = usize::try_from(begin.elapsed().as_millis() / refill.as_millis()).unwrap();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((at_once..=at_once + back).contains(&passed), "{passed} passed in {:?}", begin.elapsed());
    assert_eq!(statuses[passed..], vec![429; requests - passed]);
}

async fn flood(headgate: &Headgate, requests: usize, request: &Value) -> Vec<u16> {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..requests {
        let (client, request) = (headgate.client(), request.clone());
        running.spawn(async move { client.verdict(&request).await });
    }
    let mut statuses = running.join_all().await;
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn n_per_minute_is_n_at_once_then_429_with_retry_after() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).limits(json!({"key_id": KEY_ID, "requests_per_minute": 6}));
    let headgate = Headgate::start(&setup).await;
    let statuses = flood(&headgate, 20, &prompts::chat("m")).await;
    assert_eq!(statuses, [vec![200; 6], vec![429; 14]].concat());

    let refused = headgate.client().chat(&prompts::chat("m")).await.expect(429);
    assert_eq!(refused.error_code(), "rate_limit_exceeded");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // One every ten seconds.
    assert!((1..=10).contains(&seconds), "Retry-After: {seconds}");
    headgate.anonymous().with_key(OTHER_KEY).chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(upstream.journal().len(), 7);
    headgate.rows(7).await;
}

#[tokio::test]
async fn n_per_second_is_back_after_a_second() {
    let upstream = Upstream::start().await;
    let setup =
        Setup::with_model("m", &upstream).limits(json!({"tenant_id": TENANT, "requests_per_second": 2}));
    let headgate = Headgate::start(&setup).await;
    let refill = Duration::from_millis(500);
    assert_limited(&headgate, 6, 2, refill).await;
    tokio::time::sleep(2 * refill).await;
    assert_limited(&headgate, 4, 2, refill).await;
}

#[tokio::test]
async fn parallel_requests_are_bounded_while_they_run_and_no_longer() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { first_delay: Duration::from_secs(2), ..Answer::default() });
    let setup = Setup::with_model("m", &upstream).limits(json!({"key_id": KEY_ID, "parallel_requests": 3}));
    let headgate = Headgate::start(&setup).await;
    let expected = [vec![200; 3], vec![429; 5]].concat();
    assert_eq!(flood(&headgate, 8, &prompts::chat("m")).await, expected);
    // The end of an answer is told to the limits after the caller has it.
    eventually(SOON, "all slots to be free", || async {
        (flood(&headgate, 8, &prompts::chat("m")).await == expected).then_some(())
    })
    .await;

    // A client that hangs up gives its slot back.
    upstream.script("m", Answer::paced(1000, Duration::from_millis(20)));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = headgate.client().stream(&prompts::stream("m")).await;
        stream.read_content(1).await;
        streams.push(stream);
    }
    headgate.client().chat(&prompts::chat("m")).await.expect(429);
    drop(streams);
    upstream.script("m", Answer::default());
    eventually(SOON, "a free slot", || async {
        (headgate.client().chat(&prompts::chat("m")).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_burst_is_let_through_at_once_and_then_the_rate() {
    let upstream = Upstream::start().await;
    let limits = json!({"key_id": KEY_ID, "requests_per_second": 1, "request_burst": 5});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).limits(limits)).await;
    let begun = Instant::now();
    let statuses = flood(&headgate, 40, &prompts::chat("m")).await;
    let refilled = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((5..=5 + refilled).contains(&passed), "{passed} passed");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 40 - passed);
}

#[tokio::test]
async fn a_sliding_window_refills_only_as_its_requests_grow_old() {
    let upstream = Upstream::start().await;
    let limits = json!({"tenant_id": TENANT, "sliding_window": {"requests": 3, "seconds": 3600}});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).limits(limits)).await;
    assert_eq!(flood(&headgate, 10, &prompts::chat("m")).await, [vec![200; 3], vec![429; 7]].concat());
    let refused = headgate.client().chat(&prompts::chat("m")).await.expect(429);
    assert!(refused.text().contains("3 requests in any 3600 seconds for this tenant"), "{}", refused.text());
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // A third of it, if it refilled evenly.
    assert!((1201..=3600).contains(&seconds), "Retry-After: {seconds}");
}

#[tokio::test]
async fn parallel_streams_are_bounded_and_what_is_no_stream_is_not() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(10_000, Duration::from_millis(20)));
    let setup = Setup::with_model("m", &upstream)
        .model("quick", &["mock"])
        .limits(json!({"key_id": KEY_ID, "parallel_streams": 2}));
    let headgate = Headgate::start(&setup).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = headgate.client().stream(&prompts::stream("m")).await;
        stream.read_content(1).await;
        streams.push(stream);
    }
    let refused = headgate.client().chat(&prompts::stream("m")).await.expect(429);
    assert_eq!(refused.error_code(), "rate_limit_exceeded");
    assert!(refused.text().contains("2 parallel streams for this key"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let counted = r#"headgate_budget_limited_requests_total{limit="parallel_streams",scope="key"} 1"#;
    let metrics = headgate.node("budget").ops().get("/metrics").await.expect(200).text();
    assert!(metrics.contains(counted), "{metrics}");
    headgate.client().chat(&prompts::chat("quick")).await.expect(200);

    // A client that hangs up gives its slot back, and no more than that.
    streams.pop();
    let mut third = eventually(Duration::from_secs(20), "a free slot", || async {
        let stream = headgate.client().stream(&prompts::stream("m")).await;
        (stream.status == 200).then_some(stream)
    })
    .await;
    third.read_content(1).await;
    headgate.client().chat(&prompts::stream("m")).await.expect(429);
}

#[tokio::test]
async fn tokens_per_minute_count_prompt_and_answer() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 400, ..Answer::default() });
    let setup =
        Setup::with_model("m", &upstream).limits(json!({"key_id": KEY_ID, "tokens_per_minute": 1000}));
    let headgate = Headgate::start(&setup).await;
    let request = prompts::chat_with("m", &json!({"max_tokens": 400}));
    headgate.client().chat(&request).await.expect(200);
    headgate.client().chat(&request).await.expect(200);
    let refused = headgate.client().chat(&request).await.expect(429);
    assert_eq!(refused.error_code(), "rate_limit_exceeded");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn tokens_per_minute_count_the_prompt_alone_too() {
    let upstream = Upstream::start().await;
    // As many as the gateway estimates.
    upstream.script("long", Answer { chunks: 1, prompt_tokens: 600, ..Answer::default() });
    // What the upstream counts beyond the estimate is taken when it is known.
    upstream.script("dear", Answer { chunks: 1, prompt_tokens: 9000, ..Answer::default() });
    let setup = Setup::with_model("long", &upstream)
        .model("dear", &["mock"])
        .model("vectors", &["mock"])
        .section("budget", &json!({"default_key_limits": {"tokens_per_minute": 1000}}));
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(2400)}], "max_tokens": 1});
    // Three tokens each, as the mock counts.
    let texts = vec!["twelve bytes"; 200];
    let cases = [
        ("/v1/chat/completions", prompts::chat_with("long", &long)),
        ("/v1/chat/completions", prompts::chat_with("dear", &json!({"max_tokens": 20}))),
        ("/v1/embeddings", prompts::embed("vectors", &json!(texts))),
    ];
    for (path, request) in cases {
        // A process each: what one case takes of the limit the next would miss.
        let headgate = Headgate::start(&setup).await;
        headgate.client().post(path, &request).await.expect(200);
        // The end of an answer is told to the limits after the caller has it.
        let refused = eventually(SOON, "a refusal", || async {
            let reply = headgate.client().post(path, &request).await;
            (reply.status != 200).then_some(reply)
        });
        let refused = refused.await.expect(429);
        assert_eq!(refused.error_code(), "rate_limit_exceeded");
        assert!(refused.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn defaults_hold_where_nothing_was_set() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream)
        .section("budget", &json!({"default_key_limits": {"requests_per_minute": 2}}))
        .section("budget", &json!({"default_tenant_limits": {"requests_per_minute": 4}}))
        .limits(json!({"key_id": KEY_ID, "requests_per_minute": 5}))
        .seed("api_keys", json!({"tenant_id": "globex", "name": "more", "key": MORE_KEY, "scopes": []}))
        .seed("api_keys", json!({"tenant_id": "globex", "name": "most", "key": MOST_KEY, "scopes": []}));
    let headgate = Headgate::start(&setup).await;
    let statuses = async |client: Client| {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(client.chat(&prompts::chat("m")).await.status);
        }
        statuses
    };
    let of_key = async |key| statuses(headgate.anonymous().with_key(key)).await;
    // Its own limit in place of a key's default, but not of its tenant's.
    assert_eq!(statuses(headgate.client()).await, [200, 200, 200, 200, 429, 429]);
    assert_eq!(of_key(OTHER_KEY).await, [200, 200, 429, 429, 429, 429]);
    assert_eq!(of_key(MORE_KEY).await, [200, 200, 429, 429, 429, 429]);
    assert_eq!(of_key(MOST_KEY).await, [429; 6], "the tenant's default holds for all its keys together");
}

#[tokio::test]
async fn the_strictest_of_key_and_tenant_holds_and_changes_at_once() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream)
        .limits(json!({"key_id": KEY_ID, "requests_per_minute": 100}))
        .limits(json!({"tenant_id": TENANT, "requests_per_minute": 2}));
    let headgate = Headgate::start(&setup).await;
    assert_eq!(flood(&headgate, 4, &prompts::chat("m")).await, [200, 200, 429, 429]);

    let mut budgets = BudgetServiceClient::new(headgate.operator("budget").await);
    let scope = Some(Scope { scope: Some(Kind::TenantId(TENANT.into())) });
    budgets
        .set_limits(SetLimitsRequest { scope, limits: Some(Limits::default()), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(flood(&headgate, 4, &prompts::chat("m")).await, [200; 4]);
}
