//! S1-16, S1-17, S1-20, S1-46, S1-47: budgets of tenants and keys, and of all who have none, over REST.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, OTHER_KEY, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be heard of, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const MONTH: &str = "BUDGET_WINDOW_CALENDAR_MONTH";

struct Admin(Client);

impl Admin {
    fn of(headgate: &Headgate) -> Self {
        Self(headgate.anonymous().with_key(&headgate.operator_token()))
    }

    async fn put(&self, path: &str, budget: Value) -> Reply {
        self.0.send_json(Method::PUT, path, &budget).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.0.send_json(Method::DELETE, path, &Value::Null).await
    }

    async fn get(&self, path: &str) -> Value {
        self.0.get(path).await.expect(200).json()
    }
}

/// Waits until a chat request is answered with `status`.
async fn answered_with(status: u16, client: &Client) {
    eventually(SOON, &format!("HTTP {status}"), async || {
        (client.chat(&prompts::chat("m")).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_default_budget_covers_who_has_none_over_a_restart() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let admin = Admin::of(&headgate);
    let path = "/admin/budgets/default";
    admin.0.get(path).await.expect(404);
    let set = admin.put(path, json!({"window": MONTH, "limit_usd": "0.00"})).await.expect(200).json();
    assert_eq!(
        (&set["budget"]["limit_usd"], &set["budget"]["limit_nano_usd"]),
        (&json!("0.00"), &json!("0"))
    );
    answered_with(403, &headgate.client()).await;

    // A tenant's own budget takes its place, and so does a key's.
    let own = format!("/admin/tenants/{TENANT}/budget");
    assert_eq!(admin.get(&own).await["status"]["is_default"], true);
    admin.put(&own, json!({"window": MONTH, "limit_usd": "10.00"})).await.expect(200);
    answered_with(200, &headgate.client()).await;
    let other = headgate.anonymous().with_key(OTHER_KEY);
    answered_with(403, &other).await;
    let quota = json!({"window": MONTH, "limit_usd": "1.00", "warning_percent": 50});
    admin.put("/admin/keys/key_globex/budget", quota).await.expect(200);
    answered_with(200, &other).await;
    let reply = other.chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(reply.header("x-budget-limit"), Some("1.00"));

    headgate.terminate().await;
    headgate.restart().await;
    let admin = Admin::of(&headgate);
    assert_eq!(admin.get(path).await, set);
    admin.delete(&own).await.expect(200);
    answered_with(403, &headgate.client()).await;
    admin.delete(path).await.expect(200);
    answered_with(200, &headgate.client()).await;
}

#[tokio::test]
async fn budgets_change_for_whoever_knows_them_as_they_are() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = Admin::of(&headgate);
    let path = format!("/admin/keys/{KEY_ID}/budget");
    let dollars = |amount: &str| json!({"window": MONTH, "limit_usd": amount});
    let first = admin.put(&path, dollars("1.00")).await.expect(200).json();
    let etag = first["status"]["etag"].as_str().unwrap().to_owned();
    let known = format!("{path}?etag={etag}");
    let (one, other) = tokio::join!(admin.put(&known, dollars("2.00")), admin.put(&known, dollars("3.00")));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    admin.delete(&known).await.expect(409);
    let wrong = admin.put(&path, dollars("a lot")).await.expect(400).json();
    assert!(wrong["error"].to_string().contains("budget.limit_usd"), "{wrong}");
}

#[tokio::test]
async fn tenants_are_listed_with_budget_and_usage_and_what_was_set_with_its_scope() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let admin = Admin::of(&headgate);
    let path = format!("/admin/tenants/{TENANT}/budget");
    admin.put(&path, json!({"window": MONTH, "limit_usd": "10.00"})).await.expect(200);
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let cost = headgate.only_row().await.cost_nano_usd;
    assert!(cost > 0);
    let cost = cost.to_string();
    let spent = eventually(SOON, "the spend", async || {
        let list = admin.get("/admin/tenant-budgets").await;
        let row = list["tenants"].as_array().unwrap().iter().find(|row| row["tenant_id"] == TENANT).cloned();
        row.filter(|row| row["status"]["spent_nano_usd"] == *cost)
    })
    .await;
    assert_eq!(spent["status"]["budget"]["limit_usd"], "10.00");
    assert!(spent["status"]["spent_usd"].as_str().unwrap().starts_with("0.0"), "{spent}");

    let overrides = admin.get("/admin/budgets/overrides").await;
    let scope = json!({"tenant_id": TENANT});
    let rows = overrides["overrides"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["scope"] == scope).count(), 1, "{overrides}");
}
