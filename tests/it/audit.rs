//! What was done is told, by whom, from where, before and after, to who may know it.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long what other services tell may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";
/// A tenant that is no concern of theirs.
const OTHER_TENANT: &str = "globex";

/// With a super admin, an owner of [`TENANT`] and a viewer of it.
fn setup() -> Setup {
    let member = |email: &str, role: &str| json!({"tenant_id": TENANT, "email": email, "role": role, "password": PASSWORD});
    Setup::new()
        .seed("admin_users", json!({"email": "root", "password": PASSWORD}))
        .seed("memberships", member("ada", "owner"))
        .seed("memberships", member("vic", "viewer"))
}

async fn login(headgate: &Headgate, email: &str) -> Client {
    let body = json!({"email": email, "password": PASSWORD});
    let reply = headgate.anonymous().post("/auth/login", &body).await.expect(200).json();
    headgate.anonymous().with_key(reply["tokens"]["access_token"].as_str().unwrap())
}

/// What the log has for a query, newest first.
async fn events(client: &Client, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("/admin/audit?{query}")).await.expect(200).json();
    reply["events"].as_array().unwrap().clone()
}

/// The same, once there is something.
async fn told(client: &Client, query: &str) -> Value {
    eventually(SOON, query, async || events(client, query).await.into_iter().next()).await
}

#[tokio::test]
async fn a_change_over_rest_is_told_with_its_author_its_origin_and_both_states() {
    let headgate = Headgate::start(&setup()).await;
    let root = login(&headgate, "root").await;
    let client = root.with_header("x-request-id", "change-1").with_header("user-agent", "terraform/1");
    client.post("/admin/tenants", &json!({"id": "initech", "name": "Initech"})).await.expect(200);
    client.send_json(Method::PATCH, "/admin/tenants/initech", &json!({"name": "Initrode"})).await.expect(200);
    let key =
        client.post("/admin/tenants/initech/api-keys", &json!({"name": "one"})).await.expect(200).json();
    let member =
        json!({"email": "bob@example.com", "role": "ROLE_ADMIN", "password": "planted-password-of-bob"});
    client.post("/admin/tenants/initech/memberships", &member).await.expect(201);

    let told = events(&root, "filter.tenant_id=initech").await;
    // Those of one millisecond are in no order.
    let mut done: Vec<_> = told.iter().map(|event| event["action"].as_str().unwrap()).collect();
    done.sort_unstable();
    let expected = [
        "auth.v1.ApiKeyService.CreateApiKey",
        "auth.v1.MembershipService.CreateMembership",
        "auth.v1.TenantService.CreateTenant",
        "auth.v1.TenantService.UpdateTenant",
    ];
    assert_eq!(done, expected);
    for event in &told {
        assert_eq!(
            (&event["actor"]["kind"], &event["actor"]["email"]),
            (&json!("AUDIT_ACTOR_KIND_USER"), &json!("root"))
        );
        let origin = json!({"address": "127.0.0.1", "user_agent": "terraform/1", "request_id": "change-1"});
        assert_eq!(event["origin"], origin);
    }
    let renamed = told.iter().find(|event| event["action"] == "auth.v1.TenantService.UpdateTenant").unwrap();
    assert_eq!(
        (&renamed["before"]["name"], &renamed["after"]["name"]),
        (&json!("Initech"), &json!("Initrode"))
    );
    assert_eq!(
        events(&root, "filter.request_id=change-1&filter.resource_kind=user").await.len(),
        1,
        "and of the user"
    );
    let shown = json!(events(&root, "page_size=1000").await).to_string();
    for secret in
        [key["secret_key"].as_str().unwrap().split_once('.').unwrap().1, "planted-password", "$argon2"]
    {
        assert!(!shown.contains(secret), "a secret is told");
    }

    // What fails leaves nothing behind.
    client.post("/admin/tenants", &json!({"id": "other", "name": "Initrode"})).await.expect(409);
    assert_eq!(events(&root, "filter.resource_id=other").await, Vec::<Value>::new());
    // Nor is there a way to change what is told.
    let id = told[0]["id"].as_str().unwrap();
    for method in [Method::DELETE, Method::PUT, Method::PATCH, Method::POST] {
        for path in ["/admin/audit".to_owned(), format!("/admin/audit/{id}")] {
            let status = root.send_json(method.clone(), &path, &json!({})).await.status;
            assert!([404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn failed_logins_and_denials_are_told_and_a_tenant_learns_of_its_own_only() {
    let headgate = Headgate::start(&setup()).await;
    let (root, ada, vic) =
        (login(&headgate, "root").await, login(&headgate, "ada").await, login(&headgate, "vic").await);
    let wrong = json!({"email": "ada", "password": "planted-wrong-password"});
    headgate.anonymous().post("/auth/login", &wrong).await.expect(401);
    let failed = told(&root, "filter.outcome=AUDIT_OUTCOME_FAILED").await;
    assert_eq!(failed["action"], "auth.v1.SessionService.Login");
    assert_eq!(
        (&failed["resource_kind"], &failed["origin"]["address"]),
        (&json!("user"), &json!("127.0.0.1"))
    );

    // At a call of auth, of another service, and at a tenant of others.
    vic.post("/admin/tenants/acme/api-keys", &json!({"name": "no"})).await.expect(403);
    let limits = json!({"requests_per_minute": 5});
    vic.send_json(Method::PUT, "/admin/tenants/acme/limits", &limits).await.expect(403);
    vic.get(&format!("/admin/tenants/{OTHER_TENANT}")).await.expect(404);
    vic.get("/admin/providers").await.expect(403);
    for action in [
        "auth.v1.ApiKeyService.CreateApiKey",
        "budget.v1.BudgetService.SetLimits",
        "auth.v1.TenantService.GetTenant",
        "catalog.v1.ProviderService.ListProviders",
    ] {
        let query = format!("filter.outcome=AUDIT_OUTCOME_DENIED&filter.action={action}");
        let denied = told(&root, &query).await;
        assert_eq!(denied["actor"]["email"], "vic", "{action}");
    }

    vic.get("/admin/audit?filter.tenant_id=acme").await.expect(403);
    ada.get("/admin/audit").await.expect(400);
    ada.get(&format!("/admin/audit?filter.tenant_id={OTHER_TENANT}")).await.expect(404);
    let of_acme = ada.get("/admin/tenants/acme/audit?page_size=1000").await.expect(200).json();
    let of_acme = of_acme["events"].as_array().unwrap();
    assert!(of_acme.iter().all(|event| event["tenant_id"] == TENANT), "{of_acme:?}");
    let denied: Vec<_> = of_acme.iter().filter(|event| event["outcome"] == "AUDIT_OUTCOME_DENIED").collect();
    let mut denied: Vec<_> = denied.iter().map(|event| event["action"].as_str().unwrap()).collect();
    denied.retain(|action| *action != "auth.v1.AuditService.ListAuditEvents");
    denied.sort_unstable();
    assert_eq!(denied, ["auth.v1.ApiKeyService.CreateApiKey", "budget.v1.BudgetService.SetLimits"]);
    // The tenant that vic looked for learns nothing of vic.
    let of_other = events(&root, &format!("filter.tenant_id={OTHER_TENANT}")).await;
    assert!(!json!(of_other).to_string().contains("vic"));
}

#[tokio::test]
async fn what_is_denied_while_auth_is_away_is_told_when_it_is_back() {
    let mut headgate = Headgate::start_on(Topology::Split, &setup()).await;
    let (root, vic) = (login(&headgate, "root").await, login(&headgate, "vic").await);
    // Catalog knows vic, who is logged in.
    eventually(SOON, "vic to be known", async || {
        (vic.get("/admin/providers").await.status == 403).then_some(())
    })
    .await;
    told(&root, "filter.outcome=AUDIT_OUTCOME_DENIED").await;
    headgate.node_mut("auth").kill();
    let late = vic.with_header("x-request-id", "while-auth-is-away");
    late.get("/admin/providers").await.expect(403);
    headgate.node_mut("auth").restart().await;
    let query = "filter.request_id=while-auth-is-away";
    let denied = eventually(SOON, "the denial", async || {
        let reply = root.get(&format!("/admin/audit?{query}")).await;
        (reply.status == 200).then(|| reply.json()["events"][0].clone()).filter(|event| !event.is_null())
    })
    .await;
    assert_eq!(
        (&denied["actor"]["email"], &denied["outcome"]),
        (&json!("vic"), &json!("AUDIT_OUTCOME_DENIED"))
    );
    assert_eq!(events(&root, query).await.len(), 1, "once");
}

#[tokio::test]
async fn what_is_set_while_auth_is_away_is_told_once_it_is_back() {
    let mut headgate = Headgate::start_on(Topology::Split, &setup()).await;
    let ada = login(&headgate, "ada").await;
    let limits = format!("/admin/tenants/{TENANT}/limits");
    let known = async || (ada.get(&limits).await.status == 200).then_some(());
    eventually(SOON, "ada to be known", known).await;
    headgate.node_mut("auth").kill();
    let set = json!({"requests_per_minute": 600});
    ada.send_json(Method::PUT, &limits, &set).await.expect(200);
    // Who is of no tenant does not know which there are.
    let operator = headgate.anonymous().with_key(&headgate.operator_token());
    operator.send_json(Method::PUT, &limits, &json!({"requests_per_minute": 1})).await.expect(503);
    headgate.node_mut("auth").restart().await;
    headgate.node("auth").ready().await;
    let query = format!("filter.tenant_id={TENANT}&filter.resource_kind=limits");
    let set = eventually(SOON, "what was set", async || {
        let reply = operator.get(&format!("/admin/audit?{query}")).await;
        (reply.status == 200).then(|| reply.json()["events"][0].clone()).filter(|event| !event.is_null())
    })
    .await;
    assert_eq!(set["action"], "budget.v1.BudgetService.SetLimits");
    assert_eq!((&set["resource_id"], &set["actor"]["email"]), (&json!(TENANT), &json!("ada")));
    let after = &set["after"]["limits"];
    assert_eq!((&set["before"], after["requests_per_minute"].as_f64()), (&Value::Null, Some(600.0)));
    assert_eq!(events(&operator, &query).await.len(), 1);
}

#[tokio::test]
async fn what_catalog_wrote_while_auth_was_away_outlives_catalog_too() {
    let mut headgate = Headgate::start_on(Topology::Split, &setup()).await;
    let root = login(&headgate, "root").await;
    let known = async || (root.get("/admin/providers").await.status == 200).then_some(());
    eventually(SOON, "root to be known", known).await;
    headgate.node_mut("auth").kill();
    let late = root.with_header("x-request-id", "while-auth-is-away");
    let provider = json!({
        "id": "late", "name": "Late", "kind": "PROVIDER_KIND_OPENAI", "base_url": "http://127.0.0.1:9",
        "api_key": "planted-provider-key",
    });
    late.post("/admin/providers", &provider).await.expect(200);
    headgate.node_mut("catalog").kill();
    headgate.node_mut("catalog").restart().await;
    headgate.node_mut("auth").restart().await;
    let query = "filter.request_id=while-auth-is-away";
    let told = eventually(SOON, "what was done", async || {
        let reply = root.get(&format!("/admin/audit?{query}")).await;
        (reply.status == 200).then(|| reply.json()["events"].clone()).filter(|events| events[1].is_object())
    })
    .await;
    let mut kinds: Vec<_> = told.as_array().unwrap().iter().map(|event| &event["resource_kind"]).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["provider", "provider_credential"]);
    assert!(told.as_array().unwrap().iter().all(|event| event["actor"]["email"] == "root"), "{told}");
    assert!(!told.to_string().contains("planted-provider-key"), "a secret is told");
    assert_eq!(events(&root, query).await.len(), 2, "once each");
}
