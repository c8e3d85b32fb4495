//! What the audit log says of changes of the catalog, from whatever process, and what it never says.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::setup::Setup;
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change may take to reach the log on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "sk-planted-key-of-a-provider";

fn operator(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

/// What the log says of a kind of thing, newest first, once there are so many events.
async fn events(headgate: &Headgate, kind: &str, count: usize) -> Vec<Value> {
    let (admin, path) = (operator(headgate), format!("/admin/audit?filter.resource_kind={kind}"));
    eventually(SOON, &format!("{count} events of {kind}"), || async {
        // Auth may be on its way.
        let reply = Some(admin.get(&path).await).filter(|reply| reply.status == 200)?;
        let events = reply.json()["events"].as_array().cloned().unwrap_or_default();
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test]
async fn a_new_provider_stands_in_the_log_and_its_key_nowhere() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let admin = operator(&headgate);
    let provider = json!({"id": "planted", "name": "Planted", "base_url": upstream.url(), "api_key": SECRET});
    let made = admin.send_json(Method::POST, "/admin/providers", &provider).await.expect(200);
    // The one that the configuration made, and this one.
    let told = events(&headgate, "provider", 2).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let event = &told[0];
    assert_eq!(event["action"], "catalog.v1.ProviderService.CreateProvider");
    assert_eq!(event["actor"]["kind"], "AUDIT_ACTOR_KIND_OPERATOR");
    assert_eq!(event["origin"]["request_id"].as_str(), made.header("x-request-id"));
    assert_eq!((&event["after"]["name"], event.get("before")), (&json!("Planted"), None));
    assert_eq!((&told[1]["action"], &told[1]["resource_id"]), (&json!("bootstrap"), &json!("mock")));
    let sealed = events(&headgate, "provider_credential", 2).await;
    assert_eq!(sealed[0]["resource_id"], "planted");
    let text = format!("{told:?}{sealed:?}{}", headgate.logs());
    assert!(!text.contains(SECRET) && !text.contains("ciphertext"), "{text}");
    for folder in headgate.data_dirs() {
        assert!(!holds(&folder, SECRET.as_bytes()), "{}", folder.display());
    }
}

/// Whether a file below the folder holds this.
fn holds(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn what_is_changed_while_auth_is_away_is_told_afterwards_and_once() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).patient_with_strangers();
    let mut headgate = Headgate::start_on(Topology::Split, &setup).await;
    events(&headgate, "model", 1).await;
    headgate.node_mut("auth").kill();
    let admin = operator(&headgate);
    for price in ["40000000", "50000000"] {
        let body = json!({"price": {"request_nano_usd": price}});
        admin.send_json(Method::PATCH, "/admin/models/m", &body).await.expect(200);
    }
    // What is not told yet outlives the process, too.
    headgate.node_mut("catalog").kill();
    headgate.node_mut("catalog").restart().await;
    headgate.node_mut("auth").restart().await;
    // That process left the model as it was, as its configuration says nothing new.
    let told = events(&headgate, "model", 3).await;
    let price =
        |event: &Value, field: &str| event[field]["price"]["request_nano_usd"].as_str().map(str::to_owned);
    // Two of one moment are in no order.
    let mut steps: Vec<_> =
        told.iter().map(|event| (price(event, "before"), price(event, "after"))).collect();
    steps.sort();
    let (first, second) = (Some("40000000".to_owned()), Some("50000000".to_owned()));
    assert_eq!(steps, [(None, None), (None, first.clone()), (first, second)]);
    let patched = told.iter().filter(|event| event["action"] == "catalog.v1.ModelService.PatchModel");
    assert_eq!(patched.count(), 2);
}
