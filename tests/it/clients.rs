//! Real clients: OpenAI's Python SDK, and a gRPC client that knows only reflection.

use std::process::Stdio;
use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::repo;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::upstream::Upstream;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a client and returns how many checks passed.
///
/// # Panics
/// When one failed; its output is shown.
pub(crate) async fn run(script: &str, arguments: &[&str]) -> usize {
    let mut command = tokio::process::Command::new(repo::tool("venv/bin/python"));
    command.arg("-B").arg(repo::root().join("tests/clients").join(script)).args(arguments);
    command.env_remove("OPENAI_API_KEY").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the client ends").unwrap();
    let shown = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}:\n{}{}", shown(&output.stdout), shown(&output.stderr));
    let count = shown(&output.stdout);
    count.split_whitespace().next().and_then(|n| n.parse().ok()).expect("N checks passed")
}

const LIMITED_KEY: &str = "sk-limited.limited-client-secret";

fn setup(upstream: &Upstream) -> Setup {
    Setup::with_model("m", upstream)
        .seed("api_keys", json!({"tenant_id": "acme", "name": "limited", "key": LIMITED_KEY, "scopes": []}))
        .limits(json!({"key_id": "key_limited", "requests_per_minute": 1}))
}

#[tokio::test]
async fn openai_sdk() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&setup(&upstream)).await;
    let url = headgate.url();
    let arguments = [&url, KEY, "m", "m", "--dimensions", "4", "--limited-key", LIMITED_KEY];
    assert_eq!(run("openai_sdk.py", &arguments).await, 9);
}

#[tokio::test]
async fn grpc_reflection() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&setup(&upstream)).await;
    let address = headgate.listeners().grpc.to_string();
    assert_eq!(run("grpc_by_reflection.py", &[&address, KEY, "m"]).await, 7);
}

#[tokio::test]
async fn the_built_in_echo_model_serves_them_too() {
    let setup = Setup::new()
        .seed("providers", json!({"id": "echo", "name": "echo", "kind": "echo"}))
        .model("echo", &["echo"]);
    let headgate = Headgate::start(&setup).await;
    let url = headgate.url();
    assert_eq!(run("openai_sdk.py", &[&url, KEY, "echo", "echo"]).await, 9);
    let address = headgate.listeners().grpc.to_string();
    assert_eq!(run("grpc_by_reflection.py", &[&address, KEY, "echo"]).await, 7);
}
