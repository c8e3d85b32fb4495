//! Backups of the catalog: kept on disk, taken along and restored from the command line, worthless to a thief.

use std::fs;
use std::path::Path;
use std::time::Duration;

use headgate_tests::cluster::{Headgate, run_to_end_with};
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{PROVIDER_KEY, Setup};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

fn admin(headgate: &Headgate) -> Client {
    headgate.anonymous().with_key(&headgate.operator_token())
}

/// Runs `headgate backup` at the process that has the catalog.
async fn backup(headgate: &Headgate, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    let server = format!("http://{}", headgate.node("catalog").grpc());
    let (server, token) = (&*server, &*headgate.operator_token());
    let environment = [("HEADGATE_SERVER", server), ("HEADGATE_TOKEN", token)];
    run_to_end_with(&[&["backup"], arguments].concat(), &environment, folder.path()).await
}

fn read(path: &Path) -> Value {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// The backup that lies in a data folder once it names so many models.
async fn on_disk(headgate: &Headgate, models: usize) -> Value {
    let path = headgate.data_dir_of("catalog").join("backup/catalog.json");
    eventually(SOON, "a backup on disk", || async {
        let found = read(&path);
        let count = found["models"].as_array().map_or(0, Vec::len);
        (found["revision"].is_string() && count == models).then_some(found)
    })
    .await
}

async fn chat_until(headgate: &Headgate, status: u16) {
    eventually(SOON, "the catalog's change", || async {
        (headgate.client().chat(&prompts::chat("m")).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_exported_is_restored_and_shows_no_secret() {
    let upstream = Upstream::start().await;
    let master_key = "5a".repeat(32);
    let setup = Setup::with_model("m", &upstream).set("master_key", &*master_key);
    let headgate = Headgate::start(&setup).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("catalog.json");
    let (code, printed) = backup(&headgate, &["export", file.to_str().unwrap()]).await;
    assert_eq!((code, printed.trim()), (Some(0), "exported 1 providers, 1 models, 0 allowlists"));
    for elsewhere in [&["export", "-"][..], &["export"]] {
        let (code, printed) = backup(&headgate, elsewhere).await;
        let printed: Value = serde_json::from_str(&printed).expect("it is printed");
        assert_eq!((code, &printed["providers"]), (Some(0), &read(&file)["providers"]));
    }
    let text = fs::read_to_string(&file).unwrap() + &on_disk(&headgate, 1).await.to_string();
    for secret in [PROVIDER_KEY, &master_key, &headgate.operator_token()] {
        assert!(!text.contains(secret));
    }
    let exported = read(&file);
    let over_rest = admin(&headgate).get("/admin/backup").await.expect(200).json()["backup"].clone();
    assert_eq!(exported["providers"][0]["credential"], over_rest["providers"][0]["credential"]);

    admin(&headgate).send_json(Method::DELETE, "/admin/models/m", &Value::Null).await.expect(200);
    admin(&headgate).send_json(Method::DELETE, "/admin/providers/mock", &Value::Null).await.expect(200);
    chat_until(&headgate, 404).await;
    on_disk(&headgate, 0).await;
    let (code, printed) = backup(&headgate, &["restore", file.to_str().unwrap()]).await;
    assert_eq!((code, printed.trim()), (Some(0), "restored 1 providers, 1 models, 0 allowlists"));
    chat_until(&headgate, 200).await;
    let last = upstream.journal().pop().unwrap();
    assert_eq!(last.headers["authorization"], format!("Bearer {PROVIDER_KEY}"), "its credential is back");
    on_disk(&headgate, 1).await;

    let restored = admin(&headgate).post("/api/admin/providers/restore", &json!({})).await.expect(200).json();
    assert_eq!(
        (&restored["providers"], &restored["models"]),
        (&json!(1), &json!(1)),
        "from what lies on disk"
    );
    let given = json!({"backup": over_rest});
    admin(&headgate).post("/admin/backup:restore", &given).await.expect(200);
    fs::write(&file, r#"{"version": 1, "provider": []}"#).unwrap();
    let (code, printed) = backup(&headgate, &["restore", file.to_str().unwrap()]).await;
    assert!(code == Some(1) && printed.contains("provider"), "{printed}");
}

#[tokio::test]
async fn a_lost_database_is_made_again_from_the_backup() {
    let upstream = Upstream::start().await;
    let master_key = "5a".repeat(32);
    let with_model = Setup::with_model("m", &upstream).set("master_key", &*master_key);
    let first = Headgate::start(&with_model).await;
    on_disk(&first, 1).await;
    let kept = first.data_dir_of("catalog").join("backup/catalog.json");

    // Nothing names the provider and the model any more but the backup.
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("catalog.json");
    fs::copy(kept, &saved).unwrap();
    drop(first);
    let without = Setup::new().set("master_key", &*master_key);
    let second = Headgate::start_with_backup(&without, &saved).await;
    chat_until(&second, 200).await;
    let last = upstream.journal().pop().unwrap();
    assert_eq!(last.headers["authorization"], format!("Bearer {PROVIDER_KEY}"));
}

#[tokio::test]
async fn a_master_key_is_followed_by_another() {
    let upstream = Upstream::start().await;
    let (old, new) = ("5a".repeat(32), "c3".repeat(32));
    let with = |key: &str| Setup::with_model("m", &upstream).set("master_key", key);
    let mut headgate = Headgate::start(&with(&old)).await;
    chat_until(&headgate, 200).await;
    // Without its key in the configuration, so that only the old seal holds it.
    let later = |key: &str| with(key).provider_with(&json!({"api_key": null}));
    for setup in [later(&new).set("previous_master_keys", vec![old.clone()]), later(&new)] {
        headgate.kill();
        headgate.restart_with(&setup).await;
        chat_until(&headgate, 200).await;
        let admin = headgate.anonymous().with_key(&headgate.operator_token());
        let uses = admin.get("/admin/master-key").await.expect(200).json()["master_keys"].clone();
        let needed: Vec<_> = uses.as_array().unwrap().iter().filter(|key| key["credentials"] != 0).collect();
        assert_eq!((needed.len(), &needed[0]["is_present"]), (1, &json!(true)), "{uses}");
        let rotated = admin.post("/admin/master-key:rotate", &json!({})).await.expect(200).json();
        assert_eq!(rotated, json!({"resealed": 0, "left": 0, "master_keys": uses}));
    }
    let authorized = format!("Bearer {PROVIDER_KEY}");
    assert!(upstream.journal().iter().all(|request| request.headers["authorization"] == authorized));
}
