//! `headgate admin`: an operator's everyday tasks, in words for people and in JSON for scripts.

use std::fs;

use headgate_tests::cluster::{Headgate, run_to_end_with};
use headgate_tests::prompts;
use headgate_tests::setup::Setup;
use headgate_tests::upstream::Upstream;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The command line at the process that runs a service.
struct Admin {
    server: String,
    token: String,
}

impl Admin {
    fn of(headgate: &Headgate, service: &str) -> Self {
        Self { server: format!("http://{}", headgate.node(service).grpc()), token: headgate.operator_token() }
    }

    /// Exit code, and what it printed.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_with("", arguments).await
    }

    /// The same with a file `secret` in its working directory.
    async fn run_with(&self, secret: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("secret"), secret).unwrap();
        let environment = [("HEADGATE_SERVER", &*self.server), ("HEADGATE_TOKEN", &*self.token)];
        run_to_end_with(&[&["admin"], arguments].concat(), &environment, folder.path()).await
    }

    async fn json(&self, secret: &str, arguments: &[&str]) -> Value {
        let (code, printed) = self.run_with(secret, &[arguments, &["--json"]].concat()).await;
        assert_eq!(code, Some(0), "{printed}");
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"))
    }
}

#[tokio::test]
async fn a_tenant_gets_a_model_and_a_key_from_the_command_line() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let (auth, catalog) = (Admin::of(&headgate, "auth"), Admin::of(&headgate, "catalog"));

    let (code, printed) = auth.run(&["tenant", "create", "Umbra", "--id", "umbra"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let (_, listed) = auth.run(&["tenant", "list"]).await;
    let line = listed.lines().find(|line| line.contains("Umbra")).expect("it is listed");
    assert!(listed.starts_with("ID ") && line.contains("TENANT_STATUS_ACTIVE"), "{listed}");

    let base_url = upstream.url();
    let provider = ["provider", "create", "Mock", "--base-url", &base_url, "--api-key-file", "secret"];
    let provider = catalog.json("planted-credential\n", &provider).await;
    assert_eq!((&provider["has_credential"], &provider["base_url"]), (&json!(true), &json!(base_url)));
    let model = ["model", "create", "mine", "--upstream-model", "m", "--max-output-tokens", "100"];
    let priced = ["--input-usd-per-1m-tokens", "0.15", "--provider", provider["id"].as_str().unwrap()];
    let model = catalog.json("", &[&model[..], &priced[..]].concat()).await;
    assert_eq!(model["price"]["input_nano_usd_per_1k_tokens"], "150000");

    let key = auth.json("", &["key", "create", "first", "--tenant", "umbra", "--scopes", "chat"]).await;
    let client = headgate.anonymous().with_key(key["secret_key"].as_str().unwrap());
    headgate_tests::wait::eventually(std::time::Duration::from_secs(30), "the model to be known", || async {
        (client.chat(&prompts::chat("mine")).await.status == 200).then_some(())
    })
    .await;
    let sent = upstream.journal().pop().unwrap();
    assert_eq!(sent.headers["authorization"], "Bearer planted-credential");

    let id = key["api_key"]["id"].as_str().unwrap();
    let revoked = auth.json("", &["key", "revoke", id]).await;
    assert!(revoked["revoke_time"].is_string(), "{revoked}");
    let keys = auth.json("", &["key", "list", "--tenant", "umbra"]).await;
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
    assert_eq!(keys[0], revoked);

    assert_eq!(catalog.json("", &["model", "disable", "mine"]).await["enabled"], false);
    assert_eq!(catalog.json("", &["model", "get", "mine"]).await["enabled"], false);
    catalog.json("", &["model", "delete", "mine"]).await;
    let suspended = auth.json("", &["tenant", "suspend", "umbra"]).await;
    assert_eq!(suspended["status"], "TENANT_STATUS_SUSPENDED");
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_line_and_by_the_exit_code() {
    let headgate = Headgate::start(&Setup::new()).await;
    let auth = Admin::of(&headgate, "auth");
    let (code, printed) = auth.run(&["tenant", "get", "nobody"]).await;
    assert_eq!((code, printed.trim()), (Some(1), "there is no such tenant (NOT_FOUND)"));
    let stranger = Admin { token: "planted-token".into(), ..Admin::of(&headgate, "auth") };
    let (code, printed) = stranger.run(&["tenant", "list"]).await;
    assert_eq!((code, printed.lines().count()), (Some(1), 1), "{printed}");
    assert!(printed.contains("INVALID_CREDENTIAL") && !printed.contains("planted"), "{printed}");
    let nowhere = Admin { server: "http://127.0.0.1:1".into(), token: "any".into() };
    let (code, printed) = nowhere.run(&["tenant", "list"]).await;
    assert!(code == Some(1) && printed.contains("nobody answers"), "{printed}");
    let (code, printed) =
        auth.run(&["model", "create", "m", "--provider", "p", "--input-usd-per-1m-tokens", "-"]).await;
    assert!(code == Some(2) && printed.contains("like 0.15"), "{printed}");
    let folder = TempDir::new().unwrap();
    let (code, printed) =
        run_to_end_with(&["admin", "key", "list", "--tenant", "t"], &[], folder.path()).await;
    assert!(
        code == Some(1) && printed.contains("data/operator.token") && printed.contains("HEADGATE_TOKEN"),
        "{printed}"
    );
}
