//! `headgate admin`: an operator's everyday tasks, in words for people and in JSON for scripts.

use std::fs;

use headgate_tests::cluster::{Headgate, run_to_end_with};
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
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
    let budget = json!({"tenant_id": TENANT, "limit_usd": "12.34"});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).budget(budget)).await;
    let (auth, catalog) = (Admin::of(&headgate, "auth"), Admin::of(&headgate, "catalog"));

    let (code, printed) = auth.run(&["tenant", "create", "Umbra", "--id", "umbra"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let (_, listed) = auth.run(&["tenant", "list"]).await;
    let line = listed.lines().find(|line| line.contains("Umbra")).expect("it is listed");
    assert!(listed.starts_with("ID ") && line.contains("TENANT_STATUS_ACTIVE"), "{listed}");
    let line = listed.lines().find(|line| line.contains("Acme")).expect("it is listed");
    assert!(line.contains(" 12.34 ") && line.contains(" 0.00 "), "{listed}");

    let base_url = upstream.url();
    let provider = ["provider", "create", "Mock", "--base-url", &base_url, "--api-key-file", "secret"];
    let provider = catalog.json("planted-credential\n", &provider).await;
    assert_eq!((&provider["has_credential"], &provider["base_url"]), (&json!(true), &json!(base_url)));
    let model = [
        "model",
        "create",
        "mine",
        "--upstream-model",
        "m",
        "--max-output-tokens",
        "100",
        "--engine",
        "vllm",
    ];
    let priced = ["--input-usd-per-1m-tokens", "0.15", "--provider", provider["id"].as_str().unwrap()];
    let model = catalog.json("", &[&model[..], &priced[..]].concat()).await;
    assert_eq!(model["price"]["input_nano_usd_per_1k_tokens"], "150000");
    assert_eq!(model["engine"], "vllm");

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
async fn people_and_what_a_tenant_may_are_looked_after_from_the_command_line() {
    let headgate = Headgate::start(&Setup::new()).await;
    let (auth, budget) = (Admin::of(&headgate, "auth"), Admin::of(&headgate, "budget"));
    let create = ["user", "create", "Root@example.com", "--name", "Root", "--super-admin"];
    let made = auth.json("planted-password", &[&create[..], &["--password-file", "secret"]].concat()).await;
    let expected = (&json!("root@example.com"), &json!(true));
    assert_eq!((&made["email"], &made["super_admin"]), expected);
    let ada = auth.json("", &["user", "create", "ada@example.com"]).await;
    let (code, listed) = auth.run(&["user", "list"]).await;
    assert!(code == Some(0) && listed.starts_with("ID ") && listed.contains("ada@example.com"), "{listed}");
    let suspended = auth.json("", &["user", "suspend", "ada@example.com"]).await;
    assert_eq!((&suspended["id"], &suspended["status"]), (&ada["id"], &json!("USER_STATUS_SUSPENDED")));
    let id = ada["id"].as_str().unwrap();
    assert_eq!(auth.json("", &["user", "activate", id]).await["status"], "USER_STATUS_ACTIVE");
    assert_eq!(auth.json("", &["user", "grant-super-admin", id]).await["super_admin"], true);
    assert_eq!(auth.json("", &["user", "revoke-super-admin", "ADA@example.com"]).await["super_admin"], false);
    assert!(auth.json("", &["user", "reset-password", id]).await["token"].is_string());
    assert_eq!(auth.run(&["user", "get", "nobody"]).await.0, Some(1));

    let tenant = ["--tenant", TENANT];
    let member = async |words: &[&str]| auth.json("", &[&["membership"], words, &tenant].concat()).await;
    assert_eq!(member(&["add", "ada@example.com", "--role", "viewer"]).await["role"], "ROLE_VIEWER");
    assert_eq!(member(&["set", "ada@example.com", "--role", "admin"]).await["role"], "ROLE_ADMIN");
    assert_eq!(member(&["list"]).await[0]["user_id"], ada["id"]);
    member(&["remove", id]).await;
    assert_eq!(member(&["list"]).await, json!([]));

    let set = ["budget", "set", "--limit-usd", "12.50", "--warning-percent", "70", "--tenant", TENANT];
    assert_eq!(budget.json("", &set).await["budget"]["limit_nano_usd"], "12500000000");
    let got = budget.json("", &["budget", "get", "--tenant", TENANT]).await;
    assert_eq!((&got["budget"]["limit_usd"], &got["remaining_usd"]), (&json!("12.50"), &json!("12.50")));
    let hook = "chat=https://hooks.example.com/a-secret";
    let words = ["--window", "rolling", "--rolling-days", "7", "--alert-webhook", hook];
    let (code, printed) = budget.run(&[&set[..], &words].concat()).await;
    assert!(code == Some(0) && printed.contains("https://hooks.example.com"), "{printed}");
    assert!(!printed.contains("a-secret"), "{printed}");
    // What is not given stays.
    let set = ["budget", "set", "--limit-usd", "13", "--alert-email", "ada@example.com", "--tenant", TENANT];
    let changed = budget.json("", &set).await["budget"].clone();
    assert_eq!((&changed["rolling_days"], &changed["warning_percent"]), (&json!(7), &json!(70)));
    let webhook = json!({"name": "chat", "url": "", "origin": "https://hooks.example.com"});
    assert_eq!(changed["alerts"]["webhooks"], json!([webhook]));
    assert_eq!(changed["alerts"]["emails"], json!(["ada@example.com"]));
    budget.json("", &["budget", "delete", "--tenant", TENANT]).await;
    let (code, printed) = budget.run(&["budget", "get", "--tenant", TENANT]).await;
    assert!(code == Some(1) && printed.contains("NOT_FOUND"), "{printed}");
    let limits = async |words: &[&str]| {
        budget.json("", &[&["limits"], words, &tenant].concat()).await["limits"].clone()
    };
    limits(&["set", "--requests-per-minute", "60", "--sliding-window", "100/60"]).await;
    let both = limits(&["set", "--parallel-requests", "4"]).await;
    assert_eq!((&both["requests_per_minute"], &both["parallel_requests"]), (&json!(60), &json!(4)));
    assert_eq!(limits(&["get"]).await, both);
    assert_eq!(both["sliding_window"], json!({"requests": 100, "seconds": 60}));
    let create = ["key", "create", "batch", "--tenant", TENANT];
    let quota = ["--budget-usd", "7.50", "--warning-percent", "60", "--requests-per-minute", "30"];
    let made = auth.json("", &[&create[..], &quota].concat()).await;
    let own = budget.json("", &["budget", "get", "--key", made["api_key"]["id"].as_str().unwrap()]).await;
    assert_eq!((&own["budget"], &own["budget"]["limit_usd"]), (&made["budget"], &json!("7.50")));
    assert_eq!(made["budget"]["warning_percent"], 60);
    assert_eq!(made["limits"], json!({"requests_per_minute": 30}));
    let bare = auth.json("", &create).await;
    assert_eq!((&bare["budget"], &bare["limits"]), (&json!(null), &json!(null)));
    for wrong in [
        &["limits", "set", "--tenant", TENANT][..],
        &["key", "create", "batch", "--tenant", TENANT, "--warning-percent", "60"],
        &["budget", "get"],
        &["limits", "get", "--tenant", "t", "--key", "k"],
    ] {
        assert_eq!(budget.run(wrong).await.0, Some(2), "{wrong:?}");
    }
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
