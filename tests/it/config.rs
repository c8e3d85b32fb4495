//! Bad configuration: every fault at once, exit code 64, and nothing is made.

use std::fs;

use headgate_tests::cluster::{run_to_end, run_to_end_with};
use tempfile::TempDir;

/// Checks a configuration that cannot work and starts on it, and returns what the start says, which is the same.
async fn refused(config: &str) -> String {
    let checked = refused_by(&["config", "check"], config).await;
    let output = refused_by(&["serve"], config).await;
    assert_eq!(output, checked);
    output
}

async fn refused_by(command: &[&str], config: &str) -> String {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.yaml"), config.replace("DATA", "data")).unwrap();
    let arguments = [command, &["--config", "bad.yaml"]].concat();
    let (code, output) = run_to_end(&arguments, folder.path()).await;
    assert_eq!(code, Some(64), "{output}");
    assert!(!folder.path().join("data").exists(), "a data folder was made for nothing");
    output
}

#[tokio::test]
async fn all_faults_are_listed_at_once() {
    let output = refused(
        "
data_dir: DATA
edge:
  listen: 127.0.0.1:0
  max_body_bytes: 0
  no_such_key: 1
grpc:
  listen: 127.0.0.1:0
ops:
  listen: not-an-address
router:
  max_attempts: eleven
budget:
  time_zone: Mars/Olympus
  lease_ttl_ms: 0
no_such_section: {}
bootstrap:
  tenant_budgets: {acme: {limit_usd: 1, window: fortnightly}}
",
    )
    .await;
    for fault in [
        "edge.max_body_bytes",
        "edge.no_such_key",
        "ops.listen",
        "router.max_attempts",
        "budget.time_zone",
        "budget.lease_ttl_ms",
        "no_such_section",
        "bootstrap.tenant_budgets.acme.window: must be calendar_month, weekly, or rolling_Nd",
    ] {
        assert!(output.contains(fault), "{fault} is not named:\n{output}");
    }
}

#[tokio::test]
async fn what_cannot_work_together_is_listed_at_once_too() {
    let config = "
data_dir: DATA
grpc: {max_streams_per_connection: 15}
identity:
  token_key: short
  tls: {certificate_file: no-such.crt, key_file: no-such.key, ca_file: bad.yaml}
peers:
  auth: http://auth:50051
  catalog: https://catalog:50051
  budget: http://budget:50051,http://other:50051
adapter: {ca_file: no-such.pem}
redis: {cluster: true, ca_file: bad.yaml}
nats: {credentials_file: bad.yaml, ca_file: bad.yaml}
database: {urls: {nobody: 'postgres://u:planted@host/db'}}
";
    let only = ["--only", "router,edge"];
    let output = refused_by(&[&["config", "check"], &only[..]].concat(), config).await;
    assert_eq!(refused_by(&[&["serve"], &only[..]].concat(), config).await, output);
    let faults = output.lines().filter_map(|line| line.strip_prefix("  ")?.split(": ").next());
    let wanted = [
        "adapter.ca_file",
        "database.urls.nobody",
        "grpc.max_streams_per_connection",
        "identity.tls.ca_file",
        "identity.tls.certificate_file",
        "identity.tls.key_file",
        "identity.token_key",
        // That it holds no certificate, and that there is nothing it is for.
        "nats.ca_file",
        "nats.ca_file",
        "nats.credentials_file",
        "nats.url",
        "peers.adapter",
        "peers.auth",
        "peers.budget",
        "redis.ca_file",
        "redis.ca_file",
        "redis.cluster",
    ];
    assert_eq!(faults.collect::<Vec<_>>(), wanted, "{output}");
    assert!(!output.contains("planted"), "{output}");
}

#[tokio::test]
async fn what_is_no_yaml_and_what_is_no_file_are_refused_alike() {
    let output = refused("edge: [unclosed").await;
    assert!(output.contains("YAML"), "{output}");
    let folder = TempDir::new().unwrap();
    let (code, output) = run_to_end(&["serve", "--config", "no-such-file.yaml"], folder.path()).await;
    assert_eq!(code, Some(64), "{output}");
    assert!(output.contains("no-such-file.yaml"), "{output}");
}

#[tokio::test]
async fn a_file_of_variables_is_read_behind_the_environment_and_shows_no_secret() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.yaml"), "edge: {listen: '127.0.0.1:0', max_body_bytes: 1}\n").unwrap();
    let check = async |variables: &str, environment: &[(&'static str, &str)]| {
        fs::write(folder.path().join(".env"), variables).unwrap();
        run_to_end_with(&["config", "check", "--config", "c.yaml"], environment, folder.path()).await
    };
    let bad = "# ours\nOTHER=hello world\nHEADGATE__EDGE__MAX_BODY_BYTES=none\n";
    let (code, output) = check(bad, &[]).await;
    assert_eq!((code, output.contains("edge.max_body_bytes")), (Some(64), true), "{output}");
    // What the environment says goes before what the file says.
    let (code, output) = check(bad, &[("HEADGATE__EDGE__MAX_BODY_BYTES", "2")]).await;
    assert_eq!(code, Some(0), "{output}");
    // All faults at once, here too.
    let broken = "HEADGATE__MASTER_KEY 'planted-secret\n";
    let (code, output) = check(broken, &[("HEADGATE__OPS__LISTEN", "nowhere")]).await;
    assert_eq!(code, Some(64), "{output}");
    assert!(output.contains(".env: ") && output.contains("ops.listen"), "{output}");
    assert!(!output.contains("planted"), "{output}");
    // A folder of that name, as Python's virtual environments may be, is no file.
    fs::remove_file(folder.path().join(".env")).unwrap();
    fs::create_dir(folder.path().join(".env")).unwrap();
    let (code, output) = run_to_end(&["config", "check", "--config", "c.yaml"], folder.path()).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test]
async fn a_fault_of_the_bootstrap_is_named_without_the_secret_in_it() {
    let output = refused(
        "
data_dir: DATA
edge: {listen: '127.0.0.1:0'}
grpc: {listen: '127.0.0.1:0'}
ops: {listen: '127.0.0.1:0'}
bootstrap:
  tenants: [{id: acme, name: Acme}]
  api_keys: [{tenant_id: acme, key: {not: 'planted-secret-text'}}]
  providers: [{id: p, name: p, kind: no-such-kind, base_url: 'http://127.0.0.1:1/v1', api_key: planted-secret-text}]
",
    )
    .await;
    assert!(output.contains("bootstrap.api_keys") && output.contains("bootstrap.providers"), "{output}");
    assert!(!output.contains("planted-secret-text"), "a secret is shown");
}

#[tokio::test]
async fn no_fault_shows_a_secret_that_stands_in_the_wrong_place() {
    for config in [
        "bootstrap: {api_keys: ['sk-a.planted-secret']}",
        "bootstrap: {api_keys: sk-a.planted-secret}",
        "bootstrap: {providers: ['planted-secret']}",
        "bootstrap: {default_budget: {limit_usd: 1, alerts: {webhooks: [{name: chat, url: {planted-secret: x}}]}}}",
        "bootstrap: {api_keys: [{tenant_id: acme, key: sk-a.planted-secret, kee: x}, {sk-b.planted-secret: x}]}",
        "bootstrap: {tenants: [{id: 'planted secret', name: x}]}",
        "operator_token: [planted-secret]",
        // No YAML: the line at fault is not shown.
        "bootstrap:\n  api_keys:\n    - key: sk-a.planted-secret\n     tenant_id: acme\n",
        "operator_token: planted-secret: x\n",
        "operator_token: planted-secret\nedge: [unclosed\n",
    ] {
        let output = refused(&format!("{config}\n")).await;
        assert!(!output.contains("planted"), "{config}:\n{output}");
    }
}

#[tokio::test]
async fn faults_of_the_bootstrap_and_of_secrets_are_listed_at_once_before_anything_is_made() {
    let output = refused(
        "
data_dir: DATA
edge: {listen: '127.0.0.1:0'}
grpc: {listen: '127.0.0.1:0'}
ops: {listen: '127.0.0.1:0'}
master_key: planted-secret
operator_token: planted-secret
bootstrap:
  tenants: [{id: acme, name: Acme}, {id: acme, name: Other}]
  api_keys:
    - {tenant_id: acme, key: sk-a.planted, limits: {parallel_requests: 0}, budget: {limit_usd: 1, warning_percent: 101}}
    - {tenant_id: nobody, key: sk-b.planted-secret}
  models:
    - name: m
      operations: [chat]
      max_output_tokens: 10
      targets: [{provider: nowhere, upstream_model: m}]
  limits: [{tenant_id: acme, requests_per_minute: 0}]
  tenant_limits: {acme: {}}
  tenant_budgets: {acme: {limit_usd: 1, alerts: {webhooks: [{name: chat, url: 'ftp://planted-secret'}]}}}
  default_budget: {limit_usd: 1, warning_percent: 101}
budget: {sealing_key: planted-secret}
",
    )
    .await;
    let faults: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let paths: Vec<&str> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    let wanted = [
        "bootstrap.api_keys[0].budget.warning_percent",
        "bootstrap.api_keys[0].key",
        "bootstrap.api_keys[0].limits.parallel_requests",
        "bootstrap.api_keys[1].tenant_id",
        "bootstrap.default_budget.warning_percent",
        "bootstrap.limits[0].requests_per_minute",
        "bootstrap.models[0].targets[0].provider_id",
        "bootstrap.tenant_budgets.acme.alerts.webhooks[0].url",
        "bootstrap.tenant_limits.acme",
        "bootstrap.tenants[1].id",
        "budget.sealing_key",
        "master_key",
        "operator_token",
    ];
    assert_eq!(paths, wanted, "{output}");
    assert!(!output.contains("planted"), "{output}");
}
