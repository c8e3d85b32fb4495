//! P1: a budget is never overrun by requests whose worst case is known, whatever runs in parallel.

use std::time::Duration;

use headgate_proto::budget::v1::budget_service_client::BudgetServiceClient;
use headgate_proto::budget::v1::scope::Scope as Kind;
use headgate_proto::budget::v1::{
    Budget, BudgetStatus, BudgetWindow, GetBudgetRequest, Scope, SetBudgetRequest,
};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, OTHER_KEY, Setup, TENANT};
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

pub(crate) const USD: i64 = 1_000_000_000;
pub(crate) const CENT: i64 = USD / 100;
/// How long a settled request's spend may take to be counted on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A model whose 100 tokens of answer cost a cent, and whose prompts are free.
pub(crate) fn cent_model(upstream: &Upstream) -> Setup {
    Setup::with_model("m", upstream).model_with(&json!({
        "price": {"input_usd_per_1m_tokens": "0", "output_usd_per_1m_tokens": "100"},
        "max_output_tokens": 1000,
    }))
}

/// A request that costs a cent, and cannot cost more.
pub(crate) fn cent_request() -> Value {
    prompts::chat_with("m", &json!({"max_tokens": 100}))
}

pub(crate) fn tenant_scope() -> Scope {
    Scope { scope: Some(Kind::TenantId(TENANT.into())) }
}

pub(crate) fn key_scope() -> Scope {
    Scope { scope: Some(Kind::KeyId(KEY_ID.into())) }
}

pub(crate) async fn status(headgate: &Headgate, scope: &Scope) -> BudgetStatus {
    let budgets = BudgetServiceClient::new(headgate.operator("budget").await);
    let request = GetBudgetRequest { scope: Some(scope.clone()), ..Default::default() };
    // One that has just started may not reach auth yet, which knows the tenants.
    eventually(SOON, "where the budget stands", async || {
        match budgets.clone().get_budget(request.clone()).await {
            Err(status) if status.code() == tonic::Code::Unavailable => None,
            answer => answer.unwrap().into_inner().status,
        }
    })
    .await
}

/// Where the budget stands once nothing is held any more.
pub(crate) async fn settled(headgate: &Headgate, scope: &Scope) -> i64 {
    eventually(SOON, "every hold to be settled", || async {
        Some(status(headgate, scope).await).filter(|status| status.held_nano_usd == 0)
    })
    .await
    .spent_nano_usd
}

/// The statuses of so many requests at once, sorted.
async fn flood(headgate: &Headgate, requests: usize) -> Vec<u16> {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..requests {
        let client = headgate.client();
        running.spawn(async move { client.verdict(&cent_request()).await });
    }
    let mut statuses = running.join_all().await;
    statuses.sort_unstable();
    statuses
}

fn passed_then_refused(passed: usize, refused: usize) -> Vec<u16> {
    [vec![200; passed], vec![403; refused]].concat()
}

#[tokio::test]
async fn of_500_parallel_requests_at_a_cent_a_dollar_lets_exactly_100_pass() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 100, first_delay: Duration::from_millis(50), ..Answer::default() });
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}));
    let mut headgate = Headgate::start(&setup).await;

    assert_eq!(flood(&headgate, 500).await, passed_then_refused(100, 400));
    assert_eq!(upstream.journal().len(), 100);
    assert_eq!(settled(&headgate, &tenant_scope()).await, USD);
    let rows = headgate.rows(100).await;
    assert!(rows.iter().all(|row| row.cost_nano_usd == CENT && row.overrun_nano_usd == 0));

    // A crash forgives no debt.
    headgate.kill();
    headgate.restart().await;
    // Right after a start a router may not have reached budget yet.
    let refused = eventually(SOON, "budget within reach", || async {
        let reply = headgate.client().chat(&cent_request()).await;
        (reply.status != 503).then_some(reply)
    });
    assert_eq!(refused.await.expect(403).error_code(), "budget_exceeded");
    assert_eq!(status(&headgate, &tenant_scope()).await.spent_nano_usd, USD);
}

#[tokio::test]
async fn a_crash_with_requests_under_way_never_overruns_and_gives_unspent_holds_back() {
    let upstream = Upstream::start().await;
    upstream.script("m", Behaviour::HangBeforeHead);
    let setup = cent_model(&upstream)
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.10"}))
        .section("budget", &json!({"lease_ttl_ms": 2000}));
    let mut headgate = Headgate::start(&setup).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = headgate.client();
        running.spawn(async move { client.verdict(&cent_request()).await });
    }
    eventually(SOON, "ten requests under way", || async { (upstream.journal().len() == 10).then_some(()) })
        .await;
    let full = status(&headgate, &tenant_scope()).await;
    assert_eq!((full.spent_nano_usd, full.held_nano_usd), (0, 10 * CENT));
    headgate.client().chat(&cent_request()).await.expect(403);
    headgate.kill();
    running.abort_all();

    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    headgate.restart().await;
    // Nothing was produced, so nothing is owed.
    let rows = headgate.rows(10).await;
    assert!(rows.iter().all(|row| row.outcome() == Outcome::Abandoned && row.cost_nano_usd == 0));
    assert_eq!(settled(&headgate, &tenant_scope()).await, 0);
    assert_eq!(flood(&headgate, 20).await, passed_then_refused(10, 10));
    assert_eq!(settled(&headgate, &tenant_scope()).await, 10 * CENT);
}

#[tokio::test]
async fn a_refusal_says_why_and_where_the_budget_stands() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    let setup = cent_model(&upstream).budget(json!({"key_id": KEY_ID, "limit_usd": "0.01"}));
    let headgate = Headgate::start(&setup).await;

    let passed = headgate.client().chat(&cent_request()).await.expect(200);
    assert_eq!(passed.header("x-budget-limit"), Some("0.01"));
    assert_eq!(settled(&headgate, &key_scope()).await, CENT);
    let refused = headgate.client().chat(&cent_request()).await.expect(403);
    assert_eq!(refused.error_code(), "budget_exceeded");
    assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
    assert_eq!(refused.header("x-budget-remaining"), Some("0.00"));
    assert_eq!(refused.header("x-budget-exceeded"), Some("true"));
    assert_eq!(refused.header("retry-after"), None);
    let streamed = headgate.client().stream(&prompts::stream("m")).await;
    assert_eq!(streamed.status, 403);

    // It is this key's budget, and an operator can raise it.
    headgate.anonymous().with_key(OTHER_KEY).chat(&cent_request()).await.expect(200);
    let mut budgets = BudgetServiceClient::new(headgate.operator("budget").await);
    let budget = Budget {
        scope: Some(key_scope()),
        window: BudgetWindow::CalendarMonth.into(),
        limit_nano_usd: USD,
        ..Budget::default()
    };
    budgets.set_budget(SetBudgetRequest { budget: Some(budget), ..Default::default() }).await.unwrap();
    headgate.client().chat(&cent_request()).await.expect(200);
}

#[tokio::test]
async fn a_hold_is_the_worst_case_and_what_is_not_spent_comes_back() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 10, first_delay: Duration::from_millis(800), ..Answer::default() });
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}));
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client();
    let running = tokio::spawn(async move { client.chat(&cent_request()).await.status });
    let held = eventually(SOON, "the hold", || async {
        Some(status(&headgate, &tenant_scope()).await.held_nano_usd).filter(|held| *held > 0)
    })
    .await;
    assert_eq!(held, CENT);
    assert_eq!(running.await.unwrap(), 200);
    assert_eq!(settled(&headgate, &tenant_scope()).await, CENT / 10);
}

#[tokio::test]
async fn without_max_tokens_a_cap_is_spliced_in_when_less_than_the_maximum_is_left() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { chunks: 1000, ..Answer::default() });
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "0.15"}));
    let headgate = Headgate::start(&setup).await;

    // 1000 tokens would be 10 cents, and there are 15.
    let first = headgate.client().chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(first.header("x-headgate-output-cap"), None);
    settled(&headgate, &tenant_scope()).await;
    let second = headgate.client().chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(second.header("x-headgate-output-cap"), Some("500"));
    assert_eq!(second.json()["usage"]["completion_tokens"], 500);

    let journal = upstream.journal();
    let limits = |n: usize| {
        let sent = journal[n].json();
        [sent["max_tokens"].clone(), sent["max_completion_tokens"].clone()]
    };
    assert_eq!(limits(0), [Value::Null, Value::Null], "a limit nobody asked for");
    assert!(limits(1).contains(&json!(500)), "{:?}", limits(1));
    assert_eq!(settled(&headgate, &tenant_scope()).await, 15 * CENT);
    let third = headgate.client().chat(&prompts::chat("m")).await.expect(403);
    assert_eq!(third.error_code(), "budget_exceeded");
}

#[tokio::test]
async fn what_an_upstream_bills_beyond_the_hold_is_booked_as_overrun() {
    let upstream = Upstream::start().await;
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "1.00"}));
    let headgate = Headgate::start(&setup).await;
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 250, "total_tokens": 257});
    let body = json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "long"}, "finish_reason": "stop"}],
    });
    upstream.script("m", Behaviour::status(200, &body.to_string()));
    headgate.client().chat(&cent_request()).await.expect(200);
    let row = headgate.only_row().await;
    assert_eq!((row.cost_nano_usd, row.overrun_nano_usd), (CENT * 5 / 2, CENT * 3 / 2));
    assert_eq!(settled(&headgate, &tenant_scope()).await, CENT * 5 / 2);
}

#[tokio::test]
async fn requests_of_one_price_cost_it_however_many_tokens_they_take() {
    let upstream = Upstream::start().await;
    let price = json!({"price": {"input_usd_per_1m_tokens": "900", "request_usd": "0.01"}});
    let setup = Setup::with_model("m", &upstream)
        .model_with(&price)
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.03"}));
    let headgate = Headgate::start(&setup).await;
    upstream.script("m", Behaviour::openai_error(500, "server_error", "x", "broken"));
    headgate.client().chat(&prompts::chat("m")).await.expect(502);
    for (rows, chunks) in [(2, 1), (3, 700), (4, 7)] {
        upstream.script("m", Answer { chunks, ..Answer::default() });
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        // The whole budget fits, so nothing is ever held beyond the price.
        let mut costs: Vec<_> = headgate.rows(rows).await.iter().map(|row| row.cost_nano_usd).collect();
        costs.sort_unstable();
        assert_eq!((costs[0], &costs[1..]), (0, &vec![CENT; rows - 1][..]));
    }
    assert_eq!(settled(&headgate, &tenant_scope()).await, 3 * CENT);
    let over = headgate.client().chat(&prompts::chat("m")).await.expect(403);
    assert_eq!(over.error_code(), "budget_exceeded");
}

#[tokio::test]
async fn vectors_have_their_price_and_are_refused_over_budget() {
    let upstream = Upstream::start().await;
    // A cent for 100 tokens; at worst, every byte is one.
    let price = json!({"input_usd_per_1m_tokens": "100", "output_usd_per_1m_tokens": "0"});
    let setup = Setup::with_model("m", &upstream)
        .model_with(&json!({ "price": price }))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.01"}));
    let headgate = Headgate::start(&setup).await;
    let text = |bytes| "x".repeat(bytes);
    for input in [json!(text(120)), json!([text(60), text(60)])] {
        let refused = headgate.client().embed(&prompts::embed("m", &input)).await.expect(403);
        assert_eq!(refused.error_code(), "budget_exceeded");
        assert_eq!(refused.header("x-budget-remaining"), Some("0.01"));
    }
    assert!(upstream.journal().is_empty());
    headgate.client().embed(&prompts::embed("m", &json!(text(60)))).await.expect(200);
    // The mock counts three tokens a text.
    assert_eq!(settled(&headgate, &tenant_scope()).await, CENT * 3 / 100);
    assert_eq!(headgate.only_row().await.cost_nano_usd, CENT * 3 / 100);
    headgate.client().embed(&prompts::embed("m", &json!(text(99)))).await.expect(403);
}
