//! Bad input: its own clear answer, and nothing else happens.

use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::auth::v1::{SetTenantStatusRequest, TenantStatus};
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Reply;
use headgate_tests::prompts;
use headgate_tests::setup::{OTHER_KEY, Setup};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use serde_json::json;

use std::time::Duration;

/// All four members that OpenAI's SDKs read, and the request's id beside them.
fn assert_documented_error(reply: &Reply) {
    let body = reply.json();
    let error = body["error"].as_object().unwrap_or_else(|| panic!("no error object: {body}"));
    for member in ["message", "type", "param", "code"] {
        assert!(error.contains_key(member), "no {member}: {body}");
    }
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

/// Nothing went upstream and nothing was billed.
async fn assert_nothing_happened(headgate: &Headgate, upstream: &Upstream) {
    assert!(upstream.journal().is_empty(), "something went upstream");
    // A row of a good request shows that all before it have had their time.
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.only_row().await;
}

#[tokio::test]
async fn no_key_and_wrong_keys_are_401() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let wrong = ["sk-acme.wrong-secret", "sk-nobody.acme-client-secret", "sk-acme", "acme-client-secret", ""];
    let mut clients =
        vec![headgate.anonymous(), headgate.anonymous().with_header("authorization", "Basic YTpi")];
    clients.extend(wrong.map(|key| headgate.anonymous().with_key(key)));
    for client in clients {
        for reply in [
            client.chat(&prompts::chat("m")).await,
            client.post("/v1/embeddings", &prompts::embed("m", &json!("text"))).await,
            client.get("/v1/models").await,
            client.get("/v1/models/m").await,
        ] {
            assert_eq!((reply.status, reply.error_code().as_str()), (401, "invalid_api_key"));
            assert_documented_error(&reply);
        }
    }
    assert_nothing_happened(&headgate, &upstream).await;
}

#[tokio::test]
async fn a_suspended_tenant_is_403_and_only_that_tenant() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mut tenants = TenantServiceClient::new(headgate.operator("auth").await);
    let mut set = async |status: TenantStatus| {
        let request =
            SetTenantStatusRequest { id: "globex".into(), status: status.into(), ..Default::default() };
        tenants.set_tenant_status(request).await.unwrap();
    };
    let other = headgate.anonymous().with_key(OTHER_KEY);

    set(TenantStatus::Suspended).await;
    let within = Duration::from_secs(20);
    let reply = eventually(within, "the refusal", || async {
        Some(other.get("/v1/models").await).filter(|reply| reply.status == 403)
    })
    .await;
    assert_eq!(reply.error_code(), "tenant_disabled");
    assert_documented_error(&reply);
    other.chat(&prompts::chat("m")).await.expect(403);
    headgate.client().get("/v1/models").await.expect(200);

    set(TenantStatus::Active).await;
    eventually(within, "the way back", || async {
        (other.get("/v1/models").await.status == 200).then_some(())
    })
    .await;
    assert_nothing_happened(&headgate, &upstream).await;
}

#[tokio::test]
async fn malformed_requests_are_400_and_name_the_field() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    let cases = [
        ("not JSON", "{".to_owned(), None),
        ("not an object", "[1]".to_owned(), None),
        ("nothing", " ".to_owned(), None),
        ("trailing text", format!(r#"{{"model":"m",{messages}}} x"#), None),
        ("no model", format!("{{{messages}}}"), Some("model")),
        ("model of a wrong type", format!(r#"{{"model":7,{messages}}}"#), Some("model")),
        ("empty model", format!(r#"{{"model":"",{messages}}}"#), Some("model")),
        ("two models", format!(r#"{{"model":"m","model":"m",{messages}}}"#), Some("model")),
        ("two models, one escaped", format!(r#"{{"model":"m","mod\u0065l":"m",{messages}}}"#), Some("model")),
        ("no messages", r#"{"model":"m"}"#.to_owned(), Some("messages")),
        ("empty messages", r#"{"model":"m","messages":[]}"#.to_owned(), Some("messages")),
        ("messages of a wrong type", r#"{"model":"m","messages":"x"}"#.to_owned(), Some("messages")),
        ("stream of a wrong type", format!(r#"{{"model":"m",{messages},"stream":"yes"}}"#), Some("stream")),
        (
            "max_tokens of a wrong type",
            format!(r#"{{"model":"m",{messages},"max_tokens":"9"}}"#),
            Some("max_tokens"),
        ),
        ("negative max_tokens", format!(r#"{{"model":"m",{messages},"max_tokens":-1}}"#), Some("max_tokens")),
        ("fractional n", format!(r#"{{"model":"m",{messages},"n":1.5}}"#), Some("n")),
    ];
    for (what, body, field) in cases {
        let reply = headgate.client().post_raw("/v1/chat/completions", body).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert_documented_error(&reply);
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error", "{what}");
        assert_eq!(reply.json()["error"]["param"].as_str(), field, "{what}: {}", reply.text());
    }
    for (what, input) in [("empty", json!([])), ("number", json!(7)), ("null", json!(null))] {
        let reply = headgate.client().post("/v1/embeddings", &prompts::embed("m", &input)).await;
        assert_eq!((reply.status, reply.json()["error"]["param"].as_str()), (400, Some("input")), "{what}");
    }
    assert_nothing_happened(&headgate, &upstream).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).section("edge", &json!({"max_prompt_body_bytes": 10_000}));
    let headgate = Headgate::start(&setup).await;
    let large = prompts::chat_with("m", &json!({"user": "x".repeat(2_000_000)}));
    let reply = headgate.client().chat(&large).await.expect(413);
    assert_documented_error(&reply);
    let fits = prompts::chat_with("m", &json!({"user": "x".repeat(9_000)}));
    headgate.client().chat(&fits).await.expect(200);
    headgate.only_row().await;
    assert_eq!(upstream.journal().len(), 1);
}

#[tokio::test]
async fn unknown_models_paths_and_methods_have_their_own_answers() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let client = headgate.client();
    let unknown = client.chat(&prompts::chat("no-such-model")).await.expect(404);
    assert_eq!(unknown.error_code(), "model_not_found");
    assert_eq!(unknown.json()["error"]["param"], "model");
    let embed = client.post("/v1/embeddings", &prompts::embed("no-such-model", &json!("x"))).await;
    assert_eq!(embed.expect(404).error_code(), "model_not_found");
    let path = client.get("/v1/nothing-here").await.expect(404);
    assert_documented_error(&path);
    let method = client.get("/v1/chat/completions").await.expect(405);
    assert_eq!(method.header("allow"), Some("POST"));
    assert_nothing_happened(&headgate, &upstream).await;
}

#[tokio::test]
async fn an_operation_that_a_model_does_not_offer_is_400() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream)
        .model("e", &["mock"])
        .model_with(&json!({"operations": ["embeddings"]}));
    let headgate = Headgate::start(&setup).await;
    headgate.client().chat(&prompts::chat("e")).await.expect(400);
    assert_nothing_happened(&headgate, &upstream).await;
}

#[tokio::test]
async fn a_key_without_the_scope_is_403() {
    let upstream = Upstream::start().await;
    let key = "sk-narrow.narrow-client-secret";
    let setup = Setup::with_model("m", &upstream).seed(
        "api_keys",
        json!({"tenant_id": "acme", "name": "narrow", "key": key, "scopes": ["embeddings"]}),
    );
    let headgate = Headgate::start(&setup).await;
    let narrow = headgate.anonymous().with_key(key);
    let reply = narrow.chat(&prompts::chat("m")).await.expect(403);
    assert_eq!(reply.error_code(), "permission_denied");
    assert!(upstream.journal().is_empty());
    narrow.post("/v1/embeddings", &prompts::embed("m", &json!("text"))).await.expect(200);
}
