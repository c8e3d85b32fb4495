//! Starting, being asked how it is, and ending.

use std::time::Duration;

use headgate_proto::auth::v1::ListTenantsRequest;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::runtime::v1::local_model_service_client::LocalModelServiceClient;
use headgate_proto::runtime::v1::{ListLocalModelsRequest, LocalModel};
use headgate_tests::cluster::{Headgate, run_to_end};
use headgate_tests::gguf;
use headgate_tests::prompts;
use headgate_tests::repo;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::upstream::{Answer, Upstream};
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn it_tells_how_it_is() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    for path in ["/livez", "/readyz"] {
        headgate.ops().get(path).await.expect(200);
    }
    for (path, body) in
        [("/health", r#"{"status":"ok"}"#), ("/api/health", r#"{"status":"ok"}"#), ("/ping", "pong")]
    {
        assert_eq!(headgate.anonymous().get(path).await.expect(200).text(), body);
    }
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let metrics_of = async |service| headgate.node(service).ops().get("/metrics").await.expect(200).text();
    let metrics = metrics_of("edge").await;
    let route = r#"headgate_edge_requests_total{route="/v1/chat/completions",status="200"} 1"#;
    assert!(metrics.lines().any(|line| line == route), "{metrics}");
    let upstream = r#"headgate_adapter_attempts_total{outcome="ok",provider=""#;
    let metrics = metrics_of("adapter").await;
    let counted = metrics.lines().filter(|line| line.starts_with(upstream) && line.ends_with(" 1")).count();
    assert_eq!(counted, 1, "{metrics}");
}

#[tokio::test]
async fn without_a_config_a_newcomer_gets_a_demo_key_and_an_echo_model() {
    let mut headgate = Headgate::start_without_config().await;
    let demo = headgate.anonymous().with_key("sk-demo.my-secret");
    let reply = demo.chat(&prompts::chat("echo")).await.expect(200).json();
    let said = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(said.contains("Count to three, please."), "{said}");
    let (events, clean) = demo.stream(&prompts::stream("echo")).await.read_to_end().await;
    assert!(clean && events.last().is_some_and(|event| event.is_done()));
    demo.post("/v1/embeddings", &prompts::embed("echo", &json!(["a", "b"]))).await.expect(200);
    headgate.rows(3).await;
    assert!(headgate.logs().contains("/v1/chat/completions"), "nothing to paste next:\n{}", headgate.logs());

    // With a configuration of one's own there is no demo key.
    let upstream = Upstream::start().await;
    let own = Headgate::start(&Setup::with_model("m", &upstream)).await;
    own.anonymous().with_key("sk-demo.my-secret").get("/v1/models").await.expect(401);

    headgate.kill();
    headgate.restart().await;
    headgate.anonymous().with_key("sk-demo.my-secret").get("/v1/models").await.expect(200);
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_keeps_everything_and_changes_nothing() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let before = headgate.only_row().await;
    assert_eq!(headgate.terminate().await, Some(0), "{}", headgate.logs());
    headgate.restart().await;
    assert_eq!(headgate.only_row().await, before);
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(2).await;
}

#[tokio::test]
async fn a_running_stream_is_drained_before_the_end() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(40, Duration::from_millis(25)));
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mut stream = headgate.client().stream(&prompts::stream("m")).await;
    let first = stream.read_content(3).await;
    let rest = tokio::spawn(stream.read_to_end());
    assert_eq!(headgate.terminate().await, Some(0));
    let (rest, clean) = rest.await.unwrap();
    let contents = first.iter().chain(&rest).filter(|event| event.content().is_some()).count();
    assert!(clean && rest.last().is_some_and(|event| event.is_done()), "the stream was cut");
    assert_eq!(contents, 40);
    headgate.restart().await;
    assert_eq!(headgate.only_row().await.completion_tokens, 40);
}

#[tokio::test]
async fn a_data_folder_has_one_process() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let config = headgate.data_dir_of("auth").with_file_name("headgate.yaml");
    let folder = tempfile::TempDir::new().unwrap();
    let (code, output) = run_to_end(&["serve", "--config", config.to_str().unwrap()], folder.path()).await;
    assert!(code.is_some_and(|code| code != 0), "a second process took the folder:\n{output}");
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
}

#[tokio::test]
async fn operators_calls_want_the_operators_token() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    for (credential, code) in [(KEY, Code::PermissionDenied), ("nonsense", Code::Unauthenticated)] {
        let mut tenants = TenantServiceClient::new(headgate.grpc_of("auth", credential).await);
        let error = tenants.list_tenants(ListTenantsRequest::default()).await.unwrap_err();
        assert_eq!(error.code(), code, "{credential}");
    }
    let mut tenants = TenantServiceClient::new(headgate.operator("auth").await);
    let page = tenants.list_tenants(ListTenantsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["acme", "globex"]);
}

async fn local_models(headgate: &Headgate) -> Vec<LocalModel> {
    let mut local = LocalModelServiceClient::new(headgate.operator("runtime").await);
    let page = local.list_local_models(ListLocalModelsRequest::default()).await.unwrap();
    page.into_inner().models
}

#[tokio::test]
async fn model_files_are_found_and_described() {
    let upstream = Upstream::start().await;
    let folder = repo::tool("models");
    let setup = Setup::with_model("m", &upstream).section("runtime", &json!({"models_dir": folder}));
    let headgate = Headgate::start(&setup).await;
    let models = local_models(&headgate).await;
    let gemma = models.into_iter().find(|model| model.name == "gemma-3-270m-q4_k_m").unwrap();
    assert_eq!((gemma.architecture.as_str(), gemma.quantization.as_str()), ("gemma3", "Q4_K_M"));
    assert_eq!((gemma.context_tokens, gemma.embedding_length, gemma.size_bytes), (32768, 640, 253_113_024));
    assert!(gemma.problem.is_empty() && gemma.missing_parts.is_empty());
}

#[tokio::test]
async fn parts_of_a_model_are_one_and_missing_ones_are_named() {
    let first = gguf::header(
        &[("general.architecture", "llama"), ("general.name", "Tiny")],
        &[("llama.context_length", 4096), ("general.file_type", 15), ("split.count", 3)],
    );
    let part = gguf::header(&[], &[("split.count", 3)]);
    let files: [(&str, &[u8]); 7] = [
        ("whole/tiny-00001-of-00003.gguf", &first),
        ("whole/tiny-00002-of-00003.gguf", &part),
        ("whole/tiny-00003-of-00003.gguf", &part),
        ("begun-q8_0-00001-of-00003.gguf", &first),
        ("headless-q8_0-00002-of-00002.gguf", &part),
        ("page.gguf", b"<html>"),
        ("notes.txt", b"no model"),
    ];
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("whole")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let setup = Setup::new().section("runtime", &json!({"models_dir": folder.path()}));
    let headgate = Headgate::start(&setup).await;
    let models = local_models(&headgate).await;
    let rows: Vec<_> = models
        .iter()
        .map(|m| (m.name.as_str(), m.part_count, m.missing_parts.as_slice(), m.problem.as_str()))
        .collect();
    let expected: [(&str, u32, &[u32], &str); 4] = [
        ("begun-q8_0", 3, &[2, 3], "of its 3 parts these are missing: 2, 3"),
        ("headless-q8_0", 2, &[1], "of its 2 parts these are missing: 1"),
        ("page", 1, &[], "not a GGUF file"),
        ("whole/tiny", 3, &[], ""),
    ];
    assert_eq!(rows, expected);
    let whole = &models[3];
    assert_eq!(whole.files, files[..3].iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert_eq!(whole.size_bytes, u64::try_from(first.len() + 2 * part.len()).unwrap());
    assert_eq!((whole.title.as_str(), whole.context_tokens), ("Tiny", 4096));
    // The header tells before the name does, and the name where there is no header.
    let quantizations: Vec<_> = models.iter().map(|model| model.quantization.as_str()).collect();
    assert_eq!(quantizations, ["Q4_K_M", "Q8_0", "", "Q4_K_M"]);
}
