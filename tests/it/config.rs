//! Bad configuration: every fault at once, exit code 64, and nothing is made.

use std::fs;

use headgate_tests::cluster::run_to_end;
use tempfile::TempDir;

/// Starts on a configuration that cannot work, and returns what it says.
async fn refused(config: &str) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bad.yaml");
    fs::write(&file, config.replace("DATA", folder.path().join("data").to_str().unwrap())).unwrap();
    let (code, output) = run_to_end(&["serve", "--config", file.to_str().unwrap()], folder.path()).await;
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
    ] {
        assert!(output.contains(fault), "{fault} is not named:\n{output}");
    }
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
