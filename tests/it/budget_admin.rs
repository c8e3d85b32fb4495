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
    assert_eq!(wrong["error"]["param"], "limit_usd", "as the body has it");
    assert!(!wrong["error"]["message"].as_str().unwrap().contains("budget."), "{wrong}");
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

    let tenants = admin.get("/admin/tenants").await;
    let rows = tenants["tenants"].as_array().unwrap();
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    let own = &row(TENANT)["budget"];
    assert_eq!(
        (&own["budget"]["limit_usd"], &own["spent_usd"]),
        (&json!("10.00"), &spent["status"]["spent_usd"])
    );
    assert_eq!((&row("globex")["budget"], &tenants["budgets_unavailable"]), (&Value::Null, &json!(false)));

    let overrides = admin.get("/admin/budgets/overrides").await;
    let scope = json!({"tenant_id": TENANT});
    let rows = overrides["overrides"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["scope"] == scope).count(), 1, "{overrides}");
}

#[tokio::test]
async fn a_tenants_admin_sets_limits_and_budget_of_its_keys() {
    let upstream = Upstream::start().await;
    let person = |email: &str, role: &str| json!({"tenant_id": TENANT, "email": email, "role": role, "password": "a long password"});
    let setup = Setup::with_model("m", &upstream);
    let setup = setup.seed("memberships", person("ada@example.com", "admin"));
    let headgate = Headgate::start(&setup.seed("memberships", person("bob@example.com", "member"))).await;
    let log_in = async |email: &str| {
        let login = json!({"email": email, "password": "a long password"});
        let session = headgate.anonymous().post("/admin/auth/login", &login).await.expect(200).json();
        let token = session["tokens"]["access_token"].as_str().unwrap().to_owned();
        Admin(headgate.anonymous().with_key(&token))
    };
    let (ada, bob) = (log_in("ada@example.com").await, log_in("bob@example.com").await);
    let path = |tenant: &str, key: &str, what: &str| format!("/admin/tenants/{tenant}/api-keys/{key}/{what}");
    let (limits, budget) =
        (json!({"requests_per_minute": 600}), json!({"window": MONTH, "limit_usd": "0.00"}));
    let own = path(TENANT, KEY_ID, "limits");
    eventually(SOON, "budget to know who Ada is", async || {
        (ada.put(&own, limits.clone()).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(bob.get(&own).await["limits"], limits, "a member reads");
    bob.put(&own, limits.clone()).await.expect(403);

    // A key of another tenant is answered like none, wherever it is looked for.
    for what in ["limits", "budget"] {
        let none = ada.0.get(&path(TENANT, "key_none", what)).await.expect(404);
        let value = if what == "limits" { &limits } else { &budget };
        for path in [path(TENANT, "key_globex", what), path("globex", "key_globex", what)] {
            let seen = ada.0.get(&path).await.expect(404);
            assert_eq!(seen.json()["error"], none.json()["error"], "{path}");
            ada.put(&path, value.clone()).await.expect(404);
        }
        ada.put(&format!("/admin/keys/key_globex/{what}"), value.clone()).await.expect(404);
        Admin::of(&headgate).put(&path(TENANT, "key_globex", what), value.clone()).await.expect(404);
    }
    headgate.anonymous().with_key(OTHER_KEY).chat(&prompts::chat("m")).await.expect(200);

    let own = path(TENANT, KEY_ID, "budget");
    bob.put(&own, budget.clone()).await.expect(403);
    ada.put(&own, budget).await.expect(200);
    answered_with(403, &headgate.client()).await;
    ada.delete(&own).await.expect(200);
    answered_with(200, &headgate.client()).await;
}
