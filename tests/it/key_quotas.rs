//! S1-17, S1-47: limits and budget in the call that makes the key, over REST.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

/// How long what services tell each other may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const MONTH: &str = "BUDGET_WINDOW_CALENDAR_MONTH";
const PASSWORD: &str = "correct horse battery";

fn people(setup: Setup) -> Setup {
    let member = |email: &str, role: &str| json!({"tenant_id": TENANT, "email": email, "role": role, "password": PASSWORD});
    setup.seed("memberships", member("ada", "admin")).seed("memberships", member("vic", "viewer"))
}

async fn login(headgate: &Headgate, email: &str) -> Client {
    let body = json!({"email": email, "password": PASSWORD});
    let reply = headgate.anonymous().post("/auth/login", &body).await.expect(200).json();
    headgate.anonymous().with_key(reply["tokens"]["access_token"].as_str().unwrap())
}

fn operator(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

/// Asks for a key of [`TENANT`] with what else is said of it.
async fn ask(admin: &Client, said: Value) -> Reply {
    admin.post(&format!("/admin/tenants/{TENANT}/api-keys"), &said).await
}

/// The names of the tenant's keys.
async fn keys(admin: &Client) -> Vec<String> {
    let page = admin.get(&format!("/admin/tenants/{TENANT}/api-keys")).await.expect(200).json();
    let name = |key: &Value| key["name"].as_str().unwrap_or_default().to_owned();
    page["api_keys"].as_array().unwrap().iter().map(name).collect()
}

/// What was set for anybody in place of the defaults.
async fn overrides(admin: &Client) -> Vec<Value> {
    let page = admin.get("/admin/budgets/overrides").await.expect(200).json();
    page["overrides"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_key_is_never_let_in_without_what_it_was_made_with() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&people(Setup::with_model("m", &upstream))).await;
    let ada = login(&headgate, "ada").await;
    let budget = json!({"limit_usd": "0.000001", "warning_percent": 70});
    let limits = json!({"sliding_window": {"requests": 1, "seconds": 86400}});
    let poor = ask(&ada, json!({"name": "poor", "budget": budget})).await.expect(200).json();
    let id = poor["api_key"]["id"].as_str().unwrap();
    let shown = &poor["budget"];
    assert_eq!((&shown["scope"], &shown["window"]), (&json!({"key_id": id}), &json!(MONTH)));
    assert_eq!((&shown["limit_usd"], &shown["warning_percent"]), (&json!("0.000001"), &json!(70)));
    assert_eq!(poor["limits"], Value::Null);
    let client = headgate.anonymous().with_key(poor["secret_key"].as_str().unwrap());
    let refused = client.chat(&prompts::chat("m")).await.expect(403).json();
    assert_eq!(refused["error"]["code"], "budget_exceeded");

    let rare = ask(&ada, json!({"name": "rare", "limits": limits})).await.expect(200).json();
    assert_eq!((&rare["budget"], &rare["limits"]), (&Value::Null, &limits));
    let client = headgate.anonymous().with_key(rare["secret_key"].as_str().unwrap());
    client.chat(&prompts::chat("m")).await.expect(200);
    client.chat(&prompts::chat("m")).await.expect(429);

    // It is what is set below the key, and changes there.
    let below = |key: &Value, what: &str| {
        format!("/admin/tenants/{TENANT}/api-keys/{}/{what}", key["api_key"]["id"].as_str().unwrap())
    };
    let of_rare = eventually(SOON, "budget to know who Ada is", async || {
        let reply = ada.get(&below(&rare, "limits")).await;
        (reply.status == 200).then(|| reply.json())
    })
    .await;
    assert_eq!(of_rare["limits"], limits);
    let of_poor = ada.get(&below(&poor, "budget")).await.expect(200).json();
    assert_eq!(of_poor["status"]["budget"], *shown);
    let free = ask(&ada, json!({"name": "free"})).await.expect(200).json();
    assert_eq!((&free["budget"], &free["limits"]), (&Value::Null, &Value::Null));
    ada.get(&below(&free, "budget")).await.expect(404);
}

#[tokio::test]
async fn a_quota_that_cannot_be_makes_no_key() {
    let headgate = Headgate::start(&people(Setup::new())).await;
    let (ada, vic, operator) =
        (login(&headgate, "ada").await, login(&headgate, "vic").await, operator(&headgate));
    let before = (keys(&ada).await, overrides(&operator).await);
    let good = json!({"limit_usd": "1.00"});
    for (field, said) in [
        ("limits.requests_per_minute", json!({"limits": {"requests_per_minute": 0}, "budget": good})),
        ("limits.request_burst", json!({"limits": {"request_burst": 5}})),
        ("limits.nonsense", json!({"limits": {"nonsense": 5}})),
        ("budget.limit_usd", json!({"limits": {"requests_per_minute": 5}, "budget": {"limit_usd": "a lot"}})),
        ("budget.warning_percent", json!({"budget": {"limit_usd": "1", "warning_percent": 101}})),
        ("budget.window", json!({"budget": {"limit_usd": "1", "window": "NEVER"}})),
        ("budget.scope", json!({"budget": {"limit_usd": "1", "scope": {"tenant_id": TENANT}}})),
        ("name", json!({"name": "a\nb", "budget": good})),
    ] {
        let refused = ask(&ada, said.clone()).await.expect(400).json();
        assert_eq!(refused["error"]["param"], field, "{said}: {refused}");
    }
    let quota = json!({"name": "theirs", "budget": good});
    ask(&vic, quota.clone()).await.expect(403);
    ada.post("/admin/tenants/globex/api-keys", &quota).await.expect(404);
    operator.post("/admin/tenants/nowhere/api-keys", &quota).await.expect(404);
    assert_eq!((keys(&ada).await, overrides(&operator).await), before, "nothing was made or set");
}

#[tokio::test]
async fn the_audit_log_tells_who_gave_a_key_its_quota() {
    let headgate = Headgate::start(&people(Setup::new())).await;
    let ada = login(&headgate, "ada")
        .await
        .with_header("x-request-id", "quota-1")
        .with_header("user-agent", "terraform/1");
    let said = json!({"budget": {"limit_usd": "2.50"}, "limits": {"requests_per_minute": 60}});
    let made = ask(&ada, said).await.expect(200).json();
    let operator = operator(&headgate);
    let told = eventually(SOON, "what was set with the key", async || {
        let page = operator.get("/admin/audit?filter.request_id=quota-1").await.expect(200).json();
        page["events"].as_array().filter(|events| events.len() == 3).cloned()
    })
    .await;
    let mut kinds: Vec<_> = told.iter().map(|event| event["resource_kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["api_key", "budget", "limits"]);
    for event in &told {
        assert_eq!(event["actor"]["email"], "ada");
        assert_eq!(event["action"], "auth.v1.ApiKeyService.CreateApiKey");
        assert_eq!((&event["resource_id"], &event["tenant_id"]), (&made["api_key"]["id"], &json!(TENANT)));
        assert_eq!(event["origin"]["user_agent"], "terraform/1");
    }
    let of = |kind: &str| told.iter().find(|event| event["resource_kind"] == kind).unwrap();
    assert_eq!(of("budget")["after"]["limit_usd"], "2.50");
    assert_eq!(of("limits")["after"]["limits"]["requests_per_minute"].as_f64(), Some(60.0));
}

#[tokio::test]
async fn while_budget_is_away_keys_are_made_without_a_quota_only() {
    let mut headgate = Headgate::start_on(Topology::Split, &people(Setup::new())).await;
    let ada = login(&headgate, "ada").await;
    headgate.node_mut("budget").kill();
    let said = json!({"name": "late", "budget": {"limit_usd": "1.00"}});
    let away = ask(&ada, said.clone()).await.expect(503).json();
    assert_eq!(away["error"]["message"], "budget is unavailable, try again shortly");
    ask(&ada, json!({"name": "bare"})).await.expect(200);
    let made = keys(&ada).await;
    assert!(made.contains(&"bare".to_owned()) && !made.contains(&"late".to_owned()), "{made:?}");

    headgate.node_mut("budget").restart().await;
    headgate.node("budget").ready().await;
    let operator = operator(&headgate);
    let of_keys = async || {
        let reply = operator.get("/admin/budgets/overrides").await;
        (reply.status == 200).then(|| reply.json()["overrides"].as_array().cloned().unwrap_or_default())
    };
    assert_eq!(eventually(SOON, "budget", of_keys).await, Vec::<Value>::new());
    eventually(SOON, "a key with a budget", async || {
        (ask(&ada, said.clone()).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(overrides(&operator).await.len(), 1);
}
