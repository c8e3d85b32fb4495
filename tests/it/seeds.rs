//! S1-34, S1-45: what was set by call wins over what the configuration said before, until that says something else.

use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::upstream::Upstream;
use http::Method;
use serde_json::{Value, json};

const ROTATED: &str = "sk-rotated-by-call";

/// Everything of which something is changed.
const PATHS: [&str; 8] = [
    "/admin/models",
    "/admin/models/default",
    "/admin/providers/mock",
    "/admin/tenants/acme/models",
    "/admin/tenants/globex",
    "/admin/tenants/acme/memberships",
    "/admin/tenants/acme/limits",
    "/admin/budgets/default",
];
const BUDGET: &str = "/admin/tenants/acme/budget";

fn setup(upstream: &Upstream) -> Setup {
    let setup = Setup::with_model("m", upstream).model("n", &["mock"]).model("o", &["mock"]);
    setup.section(
        "bootstrap",
        &json!({
            "memberships": [{"tenant_id": TENANT, "email": "ada", "role": "viewer", "password": "the password of ada"}],
            "tenant_models": {TENANT: ["m", "n", "o"]},
            "default_model": "m",
            "tenant_limits": {TENANT: {"requests_per_minute": 6000}},
            "tenant_budgets": {TENANT: {"limit_usd": "7.00"}},
            "default_budget": {"limit_usd": "3.00"},
        }),
    )
}

fn admin(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

async fn all(headgate: &Headgate) -> Vec<Value> {
    let mut all = Vec::new();
    for path in PATHS {
        all.push(admin(headgate).get(path).await.expect(200).json());
    }
    all
}

/// Changes something of each kind, and removes a model and a budget.
async fn change_everything(headgate: &Headgate) {
    let admin = admin(headgate);
    let members = admin.get("/admin/tenants/acme/memberships").await.expect(200).json();
    let ada = members["memberships"][0]["user_id"].as_str().unwrap();
    let ada = format!("/admin/tenants/acme/memberships/{ada}");
    let changes = [
        (Method::PATCH, "/admin/models/n", json!({"enabled": false, "price": {"request_nano_usd": "7"}})),
        (Method::PUT, "/admin/models/default", json!({"model": "n"})),
        (Method::PATCH, "/admin/providers/mock", json!({"api_key": ROTATED})),
        (Method::PUT, "/admin/tenants/acme/models", json!({"restricted": false})),
        (Method::PATCH, "/admin/tenants/globex", json!({"name": "By call"})),
        (Method::PATCH, &ada, json!({"role": "ROLE_ADMIN"})),
        (Method::PUT, "/admin/tenants/acme/limits", json!({"requests_per_minute": 5000})),
        (
            Method::PUT,
            "/admin/budgets/default",
            json!({"window": "BUDGET_WINDOW_CALENDAR_MONTH", "limit_usd": "4.00"}),
        ),
    ];
    for (method, path, body) in changes {
        admin.send_json(method, path, &body).await.expect(200);
    }
    for path in [BUDGET, "/admin/models/o"] {
        let status = admin.send_json(Method::DELETE, path, &Value::Null).await.status;
        assert!([200, 204].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn what_was_set_by_call_stands_over_a_start_unless_its_entry_changed() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&setup(&upstream)).await;
    change_everything(&headgate).await;
    let changed = all(&headgate).await;
    headgate.terminate().await;
    headgate.restart().await;
    assert_eq!(all(&headgate).await, changed, "the same file undoes nothing, not even an etag");
    let budget = admin(&headgate).get(BUDGET).await.expect(200).json();
    assert_eq!(budget["status"]["is_default"], true, "what was removed is not back");
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.client().chat(&prompts::chat("n")).await.expect(404);
    let last = upstream.journal().pop().unwrap();
    assert_eq!(last.headers["authorization"], format!("Bearer {ROTATED}"));

    // One entry says something else, and what is said of others still stands.
    let other = setup(&upstream)
        .section(
            "bootstrap",
            &json!({"tenants": [{"id": TENANT, "name": "Acme"}, {"id": "globex", "name": "Other"}]}),
        )
        .section("bootstrap", &json!({"tenant_budgets": {TENANT: {"limit_usd": "8.00"}}}))
        .model_with(&json!({"context_tokens": 9000}));
    headgate.terminate().await;
    headgate.restart_with(&other).await;
    let now = all(&headgate).await;
    assert_eq!(now[4]["tenant"]["name"], "Other");
    let budget = admin(&headgate).get(BUDGET).await.expect(200).json();
    assert_eq!(budget["status"]["budget"]["limit_usd"], "8.00");
    let models = |all: &[Value]| all[0]["models"].as_array().unwrap().clone();
    let back = models(&now).into_iter().find(|model| model["name"] == "o").expect("it is back");
    assert_eq!(back["context_tokens"], 9000);
    let rest = |all: &[Value]| {
        let mut models = models(all);
        models.retain(|model| model["name"] != "o");
        let others = [1, 2, 3, 5, 6, 7].map(|at: usize| all[at].clone());
        (models, others)
    };
    assert_eq!(rest(&now), rest(&changed));
}
