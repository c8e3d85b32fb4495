//! S1-45: what the configuration says of keys, tenants and all others holds from the start, and again after a restart.

use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{OTHER_KEY, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use serde_json::{Value, json};

const QUOTA_KEY: &str = "sk-quota.quota-client-secret";

async fn read(headgate: &Headgate, path: &str) -> Value {
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    admin.get(path).await.expect(200).json()
}

#[tokio::test]
async fn limits_and_budgets_are_said_where_a_key_is_made_and_of_tenants_and_all_others() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).seed(
        "api_keys",
        json!({
            "tenant_id": TENANT, "name": "quota", "key": QUOTA_KEY,
            "rate_limit": {"requests_per_minute": 600, "parallel_requests": 5},
            "budget": {"limit_usd": "0.00", "warning_percent": 60},
        }),
    );
    let setup = setup.section(
        "bootstrap",
        &json!({
            "tenant_limits": {TENANT: {"tokens_per_minute": 1_000_000}},
            "tenant_budgets": {TENANT: {"limit_usd": "7.00"}},
            "default_budget": {"limit_usd": "3.00", "window": "rolling_7d", "alerts": {
                "emails": ["ada@example.com"],
                "webhooks": [{"name": "chat", "url": "https://hooks.example.com/a-secret"}],
                "cooldown_seconds": 3600,
            }},
        }),
    );
    let mut headgate = Headgate::start(&setup).await;
    let paths = [
        "/admin/keys/key_quota/limits".to_owned(),
        "/admin/keys/key_quota/budget".to_owned(),
        format!("/admin/tenants/{TENANT}/limits"),
        format!("/admin/tenants/{TENANT}/budget"),
        "/admin/budgets/default".to_owned(),
    ];
    let all = async |headgate: &Headgate| {
        let mut all = Vec::new();
        for path in &paths {
            all.push(read(headgate, path).await);
        }
        all
    };
    let first = all(&headgate).await;
    assert_eq!(first[0]["limits"], json!({"requests_per_minute": 600, "parallel_requests": 5}));
    let budget = &first[1]["status"]["budget"];
    assert_eq!((&budget["limit_usd"], &budget["warning_percent"]), (&json!("0.00"), &json!(60)));
    assert_eq!(first[2]["limits"], json!({"tokens_per_minute": 1_000_000}));
    assert_eq!(first[3]["status"]["budget"]["limit_usd"], "7.00");
    let default = &first[4]["budget"];
    assert_eq!((&default["limit_usd"], &default["rolling_days"]), (&json!("3.00"), &json!(7)));
    assert_eq!(default["alerts"]["webhooks"][0]["origin"], "https://hooks.example.com");

    // They hold for the first request there is.
    let quota = headgate.anonymous().with_key(QUOTA_KEY);
    assert_eq!(quota.chat(&prompts::chat("m")).await.expect(403).error_code(), "budget_exceeded");
    let limit = |key: &str| headgate.anonymous().with_key(key);
    let reply = headgate.client().chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(reply.header("x-budget-limit"), Some("7.00"));
    let reply = limit(OTHER_KEY).chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(reply.header("x-budget-limit"), Some("3.00"));

    headgate.rows(2).await;
    let spent = all(&headgate).await;
    headgate.terminate().await;
    headgate.restart().await;
    assert_eq!(all(&headgate).await, spent, "nothing is set anew");
}
