//! The admin API over REST: every call of every service, through the edge.

use std::time::Duration;

use headgate_proto::auth::v1::GetTenantRequest;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, KEY_ID, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be seen on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// An operator's client of the edge.
struct Admin(Client);

impl Admin {
    fn of(headgate: &Headgate) -> Self {
        Self(headgate.anonymous().with_key(&headgate.operator_token()))
    }

    async fn get(&self, path: &str) -> Value {
        self.0.get(path).await.expect(200).json()
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.0.send_json(method, path, body).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, &body).await.expect(200).json()
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        self.send(Method::PUT, path, &body).await.expect(200).json()
    }

    async fn patch(&self, path: &str, body: Value) -> Value {
        self.send(Method::PATCH, path, &body).await.expect(200).json()
    }

    async fn delete(&self, path: &str) -> Value {
        self.send(Method::DELETE, path, &Value::Null).await.expect(200).json()
    }
}

#[tokio::test]
async fn tenants_are_managed_over_rest_as_over_grpc() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = Admin::of(&headgate);
    let made = admin.post("/admin/tenants", json!({"name": "Initech", "id": "initech"})).await;
    assert_eq!(
        (&made["tenant"]["id"], &made["tenant"]["status"]),
        (&json!("initech"), &json!("TENANT_STATUS_ACTIVE"))
    );
    let mut grpc = TenantServiceClient::new(headgate.operator("auth").await);
    let told = grpc.get_tenant(GetTenantRequest { id: "initech".into() }).await.unwrap().into_inner();
    assert_eq!(told.tenant.unwrap().name, "Initech");
    assert_eq!(admin.get("/admin/tenants/initech").await, made);

    let body = json!({"status": "TENANT_STATUS_SUSPENDED"});
    let suspended = admin.patch("/admin/tenants/initech/status", body).await;
    assert_eq!(suspended["tenant"]["status"], "TENANT_STATUS_SUSPENDED");

    let mut ids = Vec::new();
    let mut path = "/admin/tenants?page_size=1".to_owned();
    loop {
        let page = admin.get(&path).await;
        ids.extend(page["tenants"].as_array().unwrap().iter().map(|tenant| tenant["id"].clone()));
        let Some(token) = page["next_page_token"].as_str().filter(|token| !token.is_empty()) else { break };
        path = format!("/admin/tenants?page_size=1&page_token={token}");
    }
    assert_eq!(ids, [json!(TENANT), json!("globex"), json!("initech")]);
}

#[tokio::test]
async fn a_key_that_is_made_over_rest_works_until_it_is_revoked() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).patient_with_strangers()).await;
    let admin = Admin::of(&headgate);
    let body = json!({"name": "ci", "scopes": ["chat"], "expire_time": "2126-01-01T00:00:00Z"});
    let made = admin.post(&format!("/admin/tenants/{TENANT}/api-keys"), body).await;
    let (id, secret) = (made["api_key"]["id"].as_str().unwrap(), made["secret_key"].as_str().unwrap());
    assert_eq!(made["api_key"]["expire_time"], "2126-01-01T00:00:00Z");
    let client = headgate.anonymous().with_key(secret);
    client.chat(&prompts::chat("m")).await.expect(200);

    let shown = admin.get(&format!("/admin/keys/{id}")).await;
    assert_eq!(shown["api_key"], made["api_key"]);
    assert!(!shown.to_string().contains(secret.split('.').nth(1).unwrap()));
    for list in [format!("/admin/tenants/{TENANT}/api-keys"), format!("/admin/keys?tenant_id={TENANT}")] {
        let list = admin.get(&list).await;
        assert!(list["api_keys"].as_array().unwrap().contains(&made["api_key"]), "{list}");
    }
    let revoked = admin.delete(&format!("/admin/keys/{id}")).await;
    assert!(revoked["api_key"]["revoke_time"].is_string(), "{revoked}");
    eventually(SOON, "a refusal", || async {
        Some(client.chat(&prompts::chat("m")).await.status).filter(|status| *status == 401)
    })
    .await;
    let again = admin.post(&format!("/admin/keys/{id}:revoke"), json!({})).await;
    assert_eq!(again, revoked);
    let other = admin.post("/admin/keys", json!({"tenant_id": TENANT})).await;
    assert_eq!(other["api_key"]["tenant_id"], TENANT);
}

#[tokio::test]
async fn a_model_with_slashes_in_its_name_is_made_priced_used_and_removed() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = Admin::of(&headgate);
    let provider = json!({"name": "mock", "id": "mock", "kind": "PROVIDER_KIND_OPENAI", "base_url": upstream.url(),
        "api_key": "sk-planted-credential"});
    let provider = admin.post("/admin/providers", provider).await["provider"].clone();
    assert_eq!((&provider["has_credential"], &provider["is_active"]), (&json!(true), &json!(true)));
    assert_eq!(admin.get("/api/providers/mock").await["provider"], provider);
    let listed = admin.get("/api/providers").await;
    assert!(listed["providers"].as_array().unwrap().contains(&provider), "{listed}");
    assert!(!listed.to_string().contains("sk-planted"));
    let renamed = admin.patch("/admin/providers/mock", json!({"name": "Mock"})).await;
    assert_eq!(
        (&renamed["provider"]["name"], &renamed["provider"]["has_credential"]),
        (&json!("Mock"), &json!(true))
    );

    let price = i64::MAX.to_string();
    let model = json!({"name": "org/m", "enabled": true, "operations": ["OPERATION_CHAT"], "max_output_tokens": 100,
        "price": {"input_nano_usd_per_1k_tokens": "3000", "output_nano_usd_per_1k_tokens": "15000"},
        "targets": [{"provider_id": "mock", "upstream_model": "m", "weight": 1, "price":
            {"input_nano_usd_per_1k_tokens": 1, "output_nano_usd_per_1k_tokens": "2"}}]});
    let made = admin.post("/admin/models", model).await["model"].clone();
    assert_eq!(made["targets"][0]["price"]["input_nano_usd_per_1k_tokens"], "1");
    for path in ["/admin/models/org/m", "/admin/models/org%2Fm", "/admin/model-catalog/org/m"] {
        assert_eq!(admin.get(path).await["model"], made, "{path}");
    }
    let consumer = headgate.anonymous().with_key(KEY);
    eventually(SOON, "the model", || async {
        Some(consumer.chat(&prompts::chat("org/m")).await.status).filter(|status| *status == 200)
    })
    .await;

    let mut dearer = made.clone();
    dearer["price"]["input_nano_usd_per_1k_tokens"] = json!(price);
    let id = made["id"].as_str().unwrap();
    let refused = admin.send(Method::PUT, &format!("/admin/models/{id}"), &dearer).await;
    // As dear as 64 bits can say is beyond what a price may be, but it arrives as it was sent.
    assert_eq!(refused.status, 400, "{}", refused.text());
    dearer["price"]["input_nano_usd_per_1k_tokens"] = json!("9007199254740");
    dearer["price"]["cached_input_nano_usd_per_1k_tokens"] = json!(0);
    let changed = admin.put(&format!("/admin/models/{id}"), dearer).await["model"].clone();
    assert_eq!(changed["price"]["input_nano_usd_per_1k_tokens"], "9007199254740");
    assert_eq!(changed["price"]["cached_input_nano_usd_per_1k_tokens"], "0");

    let path = format!("/admin/tenants/{TENANT}/models");
    let mut allowed = admin.get(&path).await;
    assert_eq!(allowed, json!({"restricted": false, "models": [], "etag": "0"}));
    (allowed["restricted"], allowed["models"]) = (json!(true), json!(["org/m"]));
    let set = admin.put(&path, allowed.clone()).await;
    assert_eq!((&set["restricted"], &set["models"]), (&json!(true), &json!(["org/m"])));
    assert_eq!(admin.get(&path).await, set);
    assert_eq!(admin.send(Method::PUT, &path, &allowed).await.expect(409).error_code(), "conflict");
    assert_eq!(admin.delete(&path).await, json!({}));
    admin.0.send_json(Method::DELETE, &path, &Value::Null).await.expect(404);

    let held = admin.send(Method::DELETE, "/admin/providers/mock", &Value::Null).await.expect(409);
    assert_eq!(held.error_code(), "conflict");
    assert_eq!(admin.delete("/admin/models/org/m").await, json!({}));
    assert_eq!(admin.get("/admin/models").await["models"], json!([]));
    assert_eq!(admin.delete("/api/providers/mock").await, json!({}));
    admin.0.get("/admin/providers/mock").await.expect(404);
}

#[tokio::test]
async fn limits_and_budgets_of_tenants_and_keys_are_set_read_and_removed() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = Admin::of(&headgate);
    for owner in [format!("/admin/tenants/{TENANT}"), format!("/admin/keys/{KEY_ID}")] {
        let limits = json!({"requests_per_minute": 7, "sliding_window": {"requests": 3, "seconds": 60}});
        let set = admin.put(&format!("{owner}/limits"), limits.clone()).await;
        assert_eq!(set["limits"], limits);
        assert_eq!(admin.get(&format!("{owner}/limits")).await["limits"], limits);

        let path = format!("{owner}/budget");
        admin.0.get(&path).await.expect(404);
        let budget = json!({"window": "BUDGET_WINDOW_CALENDAR_MONTH", "limit_nano_usd": "9007199254740993"});
        let status = admin.put(&path, budget).await["status"].clone();
        assert_eq!(status["budget"]["limit_nano_usd"], "9007199254740993");
        assert_eq!(status["spent_nano_usd"], "0");
        assert_eq!(admin.get(&path).await["status"]["budget"], status["budget"]);
        assert_eq!(admin.delete(&path).await, json!({}));
        admin.0.get(&path).await.expect(404);
    }
}

#[tokio::test]
async fn a_tenant_that_there_is_not_has_no_limits_and_no_budget() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = Admin::of(&headgate);
    let (limits, budget) = (json!({"requests_per_minute": 7}), json!({"limit_usd": "1.00"}));
    for (what, value) in [("limits", limits), ("budget", budget)] {
        let path = format!("/admin/tenants/nope/{what}");
        admin.0.get(&path).await.expect(404);
        let refused = admin.send(Method::PUT, &path, &value).await.expect(404);
        assert_eq!(refused.error_code(), "not_found");
    }
    admin.send(Method::DELETE, "/admin/tenants/nope/budget", &Value::Null).await.expect(404);
    // Who comes later with this id inherits nothing.
    admin.post("/admin/tenants", json!({"id": "nope", "name": "Nope"})).await;
    assert_eq!(admin.get("/admin/tenants/nope/limits").await["limits"], json!({}));
    admin.0.get("/admin/tenants/nope/budget").await.expect(404);
}

#[tokio::test]
async fn the_ledger_is_read_with_filters_in_the_query() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    headgate
        .anonymous()
        .with_key(KEY)
        .with_header("x-request-id", "r-1")
        .chat(&prompts::chat("m"))
        .await
        .expect(200);
    headgate.rows(1).await;
    let admin = Admin::of(&headgate);
    let query =
        format!("filter.tenant_id={TENANT}&filter.request_id=r-1&filter.start_time=2020-01-01T00:00:00Z");
    let page = admin.get(&format!("/admin/usage?{query}&page_size=5")).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["records"][0]["request_id"], "r-1");
    assert_eq!(admin.get("/admin/usage?filter.tenant_id=globex").await["records"], json!([]));
    let sums = admin.get(&format!("/admin/usage/summary?{query}")).await;
    assert_eq!((&sums["requests"], &sums["failed_requests"]), (&json!("1"), &json!("0")));
    let refused = admin.0.get("/admin/usage?filter.tenant=acme").await.expect(400).json();
    assert_eq!(refused["error"]["param"], "filter.tenant");
}

#[tokio::test]
async fn local_models_are_listed() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("page.gguf"), b"<html>").unwrap();
    let setup = Setup::new().section("runtime", &json!({"models_dir": folder.path()}));
    let headgate = Headgate::start(&setup).await;
    let admin = Admin::of(&headgate);
    for path in ["/admin/local-models", "/admin/models/local-folders"] {
        let models = admin.get(path).await["models"].clone();
        assert_eq!((models.as_array().unwrap().len(), &models[0]["name"]), (1, &json!("page")), "{path}");
    }
}

#[tokio::test]
async fn who_may_not_is_told_so_and_what_is_wrong_is_named() {
    let headgate = Headgate::start(&Setup::new()).await;
    let nobody = headgate.anonymous();
    assert_eq!(nobody.get("/admin/tenants").await.expect(401).error_code(), "invalid_api_key");
    for path in
        ["/admin/tenants", "/admin/models", "/admin/usage", "/admin/local-models", "/admin/keys/k/limits"]
    {
        let status = nobody.with_key("not the operator").get(path).await.status;
        assert_eq!(status, 401, "{path}");
    }
    let admin = Admin::of(&headgate);
    let absent = admin.0.get("/admin/tenants/absent").await.expect(404);
    assert_eq!((absent.error_code().as_str(), absent.header("cache-control")), ("not_found", None));
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x", "colour": "red"}), "colour"),
        (json!({"name": 7}), "name"),
    ] {
        let refused = admin.send(Method::POST, "/admin/tenants", &body).await.expect(400).json();
        assert_eq!(refused["error"]["param"], field, "{body}");
    }
    let taken = admin.send(Method::POST, "/admin/tenants", &json!({"name": "Acme"})).await.expect(409);
    assert_eq!(taken.error_code(), "already_exists");
    let wrong = admin.send(Method::PUT, "/admin/tenants", &json!({})).await.expect(405);
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(admin.send(Method::HEAD, "/admin/tenants", &Value::Null).await.expect(200).body.len(), 0);
}
