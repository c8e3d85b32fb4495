//! S0-4: people make API keys for themselves over REST, which work while their owners are active members.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be heard of, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a long password";

async fn log_in(headgate: &Headgate, email: &str) -> Client {
    let login = json!({"email": email, "password": PASSWORD});
    let session = headgate.anonymous().post("/admin/auth/login", &login).await.expect(200).json();
    headgate.anonymous().with_key(session["tokens"]["access_token"].as_str().unwrap())
}

async fn delete(client: &Client, path: &str) -> Reply {
    client.send_json(Method::DELETE, path, &Value::Null).await
}

/// Waits until a chat request is answered with `status`.
async fn answered_with(status: u16, client: &Client) {
    eventually(SOON, &format!("HTTP {status}"), async || {
        (client.chat(&prompts::chat("m")).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_chats_with_a_key_of_their_own_until_they_are_suspended_or_leave() {
    let upstream = Upstream::start().await;
    let member =
        |email: &str| json!({"tenant_id": TENANT, "email": email, "role": "member", "password": PASSWORD});
    let setup = Setup::with_model("m", &upstream).patient_with_strangers();
    let setup =
        setup.seed("memberships", member("ada@example.com")).seed("memberships", member("bob@example.com"));
    let headgate = Headgate::start(&setup).await;
    let (ada, bob) = (log_in(&headgate, "ada@example.com").await, log_in(&headgate, "bob@example.com").await);
    let admin = headgate.anonymous().with_key(&headgate.operator_token());

    let draft = json!({"tenant_id": TENANT, "name": "laptop", "scopes": ["chat"]});
    let made = ada.post("/me/keys", &draft).await.expect(200).json();
    let (id, user_id) =
        (made["api_key"]["id"].as_str().unwrap(), made["api_key"]["user_id"].as_str().unwrap());
    let path = format!("/me/keys/{id}");
    let first = headgate.anonymous().with_key(made["secret_key"].as_str().unwrap());
    first.chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(headgate.only_row().await.key_id, id, "the ledger says whose it was");
    let embed = json!({"model": "m", "input": "Hello"});
    assert_eq!(first.embed(&embed).await.expect(403).error_code(), "permission_denied");

    let rotated = ada.post(&format!("{path}/rotate"), &json!({})).await.expect(200).json();
    let key = headgate.anonymous().with_key(rotated["secret_key"].as_str().unwrap());
    answered_with(401, &first).await;
    key.chat(&prompts::chat("m")).await.expect(200);
    let listed = ada.get("/me/keys").await.expect(200).json();
    assert_eq!(listed["api_keys"][0]["id"], id);
    assert_eq!(bob.get("/me/keys").await.expect(200).json()["api_keys"], json!([]));
    delete(&bob, &path).await.expect(404);
    let all = admin.get(&format!("/admin/tenants/{TENANT}/api-keys")).await.expect(200).json();
    let shown = all["api_keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
    assert_eq!((&shown["personal"], &shown["user_id"]), (&json!(true), &json!(user_id)));

    let user = format!("/admin/users/{user_id}");
    let suspend = json!({"status": "USER_STATUS_SUSPENDED"});
    admin.send_json(Method::PATCH, &user, &suspend).await.expect(200);
    answered_with(401, &key).await;
    let activate = json!({"status": "USER_STATUS_ACTIVE"});
    admin.send_json(Method::PATCH, &user, &activate).await.expect(200);
    answered_with(200, &key).await;

    let ada = log_in(&headgate, "ada@example.com").await;
    let other = ada.post("/me/keys", &draft).await.expect(200).json();
    let other_path = format!("/me/keys/{}", other["api_key"]["id"].as_str().unwrap());
    let other = headgate.anonymous().with_key(other["secret_key"].as_str().unwrap());
    other.chat(&prompts::chat("m")).await.expect(200);
    delete(&ada, &other_path).await.expect(200);
    answered_with(401, &other).await;

    delete(&admin, &format!("/admin/tenants/{TENANT}/memberships/{user_id}")).await.expect(204);
    answered_with(401, &key).await;
    let gone = admin.get(&format!("/admin/keys/{id}")).await.expect(200).json();
    assert!(gone["api_key"]["revoke_time"].is_string(), "{gone}");
}
