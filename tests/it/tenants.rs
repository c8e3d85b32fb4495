//! S0-6, S1-15, S1-17: tenants are renamed, found and deleted over REST, under either name, and so are their keys.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to be heard of, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn admin(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

async fn patch(admin: &Client, path: &str, body: Value) -> Reply {
    admin.send_json(Method::PATCH, path, &body).await
}

async fn delete(admin: &Client, path: &str) -> Reply {
    admin.send_json(Method::DELETE, path, &Value::Null).await
}

#[tokio::test]
async fn an_organisation_is_renamed_found_and_deleted() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let admin = admin(&headgate);
    let org = format!("/admin/orgs/{TENANT}");
    let read = admin.get(&org).await.expect(200).json()["tenant"].clone();
    assert_eq!(admin.get(&format!("/admin/tenants/{TENANT}")).await.expect(200).json()["tenant"], read);

    let renamed =
        patch(&admin, &org, json!({"name": "Acme Research", "etag": read["etag"]})).await.expect(200);
    let renamed = renamed.json()["tenant"].clone();
    assert_eq!((&renamed["name"], &renamed["status"]), (&json!("Acme Research"), &read["status"]));
    let canonical = format!("/admin/tenants/{TENANT}");
    patch(&admin, &canonical, json!({"name": "Late", "etag": read["etag"]})).await.expect(409);
    for path in ["/admin/orgs/lookup?query=RESEARCH", "/admin/tenants:lookup?query=research"] {
        assert_eq!(admin.get(path).await.expect(200).json()["tenants"], json!([renamed]));
    }

    let deleted = delete(&admin, &org).await.expect(200).json()["tenant"].clone();
    assert_eq!(deleted["status"], "TENANT_STATUS_ARCHIVED");
    assert_eq!(admin.get(&org).await.expect(200).json()["tenant"], deleted, "it stays to be read");
    eventually(SOON, "a refusal", async || {
        (headgate.client().chat(&prompts::chat("m")).await.status == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_is_deleted_below_its_tenant_and_below_no_other() {
    let headgate = Headgate::start(&Setup::new()).await;
    let admin = admin(&headgate);
    delete(&admin, &format!("/admin/tenants/globex/api-keys/{KEY_ID}")).await.expect(404);
    let gone = delete(&admin, &format!("/admin/tenants/{TENANT}/api-keys/{KEY_ID}")).await.expect(200);
    assert!(gone.json()["api_key"]["revoke_time"].is_string());
}
