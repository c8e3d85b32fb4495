//! The OpenAPI document is one to a validator, and the gateway does what it says to a fuzzer that knows only it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::repo;
use headgate_tests::setup::{KEY, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(600);
/// As many requests of each operation, or as many as there are different ones.
const EXAMPLES: &str = "50";
const CHECKS: &str =
    "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance";

/// A gate whose models answer by themselves, a folder with a model file, and its document.
struct Documented {
    headgate: Headgate,
    folder: TempDir,
    document: Value,
}

impl Documented {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("page.gguf"), b"<html>").unwrap();
        let setup = Setup::new()
            .seed("providers", json!({"id": "echo", "name": "echo", "kind": "echo"}))
            .model("m", &["echo"])
            .section("runtime", &json!({"models_dir": folder.path()}))
            .patient_with_strangers();
        let headgate = Headgate::start(&setup).await;
        let document = headgate.anonymous().get("/openapi.json").await.expect(200).json();
        Self { headgate, folder, document }
    }

    fn operations(&self) -> usize {
        let paths = self.document["paths"].as_object().unwrap();
        paths.values().map(|verbs| verbs.as_object().unwrap().len()).sum()
    }

    fn write(&self) -> String {
        let file = self.folder.path().join("openapi.json");
        std::fs::write(&file, self.document.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Calls every operation of the document with what its schemas allow, and with what they do not.
    async fn fuzz(&self, more: &[&str]) -> Output {
        let config = self.folder.path().join("schemathesis.toml");
        let credentials = [("token", self.headgate.operator_token()), ("api_key", KEY.to_owned())]
            .map(|(scheme, bearer)| format!("[auth.openapi.{scheme}]\nbearer = {bearer:?}\n"));
        std::fs::write(&config, credentials.concat()).unwrap();
        let (document, url) = (self.write(), format!("http://{}", self.headgate.listeners().edge));
        let mut arguments = vec!["--config-file", config.to_str().unwrap(), "run", &document, "--url", &url];
        arguments.extend(["--checks", CHECKS, "--phases", "fuzzing", "--max-examples", EXAMPLES]);
        arguments.extend(["--seed", "7", "--generation-database", "none", "--continue-on-failure"]);
        arguments.extend(["--workers", "2", "--warnings", "off", "--no-color"]);
        arguments.extend(more);
        run("schemathesis", &arguments, self.folder.path()).await
    }
}

async fn run(tool: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = tokio::process::Command::new(repo::tool(&format!("venv/bin/{tool}")));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the tool ends").unwrap()
}

fn shown(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[tokio::test]
async fn a_validator_takes_the_document_and_would_find_a_fault() {
    let mut documented = Documented::start().await;
    let file = documented.write();
    let output = run("openapi-spec-validator", &[&file], documented.folder.path()).await;
    assert!(output.status.success(), "{}", shown(&output));
    for (path, verbs) in documented.document["paths"].as_object().unwrap() {
        for operation in verbs.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut names: Vec<_> = parameters.filter_map(|parameter| parameter["name"].as_str()).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{path}: {names:?}");
        }
    }
    documented.document["paths"]["/ping"]["get"]["responses"]["200"] = json!({"text": "no description"});
    let file = documented.write();
    let output = run("openapi-spec-validator", &[&file], documented.folder.path()).await;
    assert!(!output.status.success(), "{}", shown(&output));
}

#[tokio::test]
async fn a_fuzzer_finds_no_server_error_and_no_violation_in_any_operation() {
    let documented = Documented::start().await;
    let operations = documented.operations();
    assert!(operations > 50, "{operations}");
    let output = documented.fuzz(&[]).await;
    let text = shown(&output);
    assert!(output.status.success(), "{text}\n{}", documented.headgate.logs());
    assert!(text.contains(&format!("{operations} selected / {operations} total")), "{text}");
    assert!(text.contains(&format!("Tested: {operations}\n")), "{text}");
}

#[tokio::test]
async fn a_fuzzer_would_find_a_violation() {
    let mut documented = Documented::start().await;
    let pong = &mut documented.document["paths"]["/ping"]["get"]["responses"]["200"]["content"];
    *pong = json!({"application/json": {"schema": {"type": "object"}}});
    let output = documented.fuzz(&["--include-path", "/ping"]).await;
    let text = shown(&output);
    assert!(!output.status.success() && text.contains("Undocumented Content-Type"), "{text}");
}

#[tokio::test]
async fn the_page_and_the_document_are_for_anyone() {
    let headgate = Headgate::start(&Setup::new()).await;
    let page = headgate.anonymous().get("/docs").await.expect(200);
    assert!(page.text().contains("/docs/page.js") && page.header("content-security-policy").is_some());
    let document = headgate.anonymous().get("/openapi.json").await.expect(200).json();
    let create = &document["paths"]["/admin/tenants"]["post"];
    assert_eq!(create["summary"], "Makes a tenant");
    assert_eq!(
        document["components"]["schemas"]["catalog.v1.Provider"]["properties"]["name"]["type"],
        "string"
    );
}
