//! Which models a tenant sees, and what the catalog's changes do to requests.

use std::time::Duration;

use headgate_proto::catalog::v1::model_service_client::ModelServiceClient;
use headgate_proto::catalog::v1::{GetModelRequest, SetTenantModelsRequest, UpdateModelRequest};
use headgate_proto::inference::v1::GetCallerRequest;
use headgate_proto::inference::v1::directory_service_client::DirectoryServiceClient;
use headgate_proto::record::v1::UsageRecord;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::{Client, Reply};
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, OTHER_KEY, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

/// How long a change of the catalog may take to reach the router of a busy machine.
const WATCHED: Duration = Duration::from_secs(20);

async fn names(client: &Client) -> Vec<String> {
    let list = client.get("/v1/models").await.expect(200).json();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().expect("data");
    data.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

async fn chat_until(client: &Client, model: &str, status: u16) -> Reply {
    eventually(WATCHED, "the catalog's change", || async {
        Some(client.chat(&prompts::chat(model)).await).filter(|reply| reply.status == status)
    })
    .await
}

#[tokio::test]
async fn models_are_listed_and_described() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("b", &upstream).model("a", &["mock"]).model("org/with.slash", &["mock"]);
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client();
    assert_eq!(names(&client).await, ["a", "b", "org/with.slash"]);
    let model = client.get("/v1/models/a").await.expect(200).json();
    assert_eq!((model["id"].as_str(), model["object"].as_str()), (Some("a"), Some("model")));
    assert!(model["created"].as_i64().is_some_and(|seconds| seconds > 1_600_000_000), "{model}");
    assert!(model["owned_by"].is_string() && model["enabled"] == true, "{model}");
    assert_eq!(client.get("/v1/models/org%2Fwith%2Eslash").await.expect(200).json()["id"], "org/with.slash");
    assert_eq!(client.get("/v1/models/c").await.expect(404).error_code(), "model_not_found");
}

#[tokio::test]
async fn an_allowlist_hides_models_from_its_tenant_alone() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("a", &upstream).model("b", &["mock"]);
    let headgate = Headgate::start(&setup).await;
    let mut models = ModelServiceClient::new(headgate.operator("catalog").await);
    let mut allow = async |restricted, names: &[&str]| {
        let models_allowed = names.iter().map(|name| (*name).to_owned()).collect();
        let request = SetTenantModelsRequest {
            tenant_id: TENANT.into(),
            restricted: Some(restricted),
            models: models_allowed,
            ..Default::default()
        };
        models.set_tenant_models(request).await.unwrap();
    };
    allow(true, &["b"]).await;
    let refused = chat_until(&headgate.client(), "a", 404).await;
    assert_eq!(refused.error_code(), "model_not_found");
    headgate.client().chat(&prompts::chat("b")).await.expect(200);
    assert_eq!(names(&headgate.client()).await, ["b"]);
    headgate.client().get("/v1/models/a").await.expect(404);
    assert_eq!(names(&headgate.anonymous().with_key(OTHER_KEY)).await, ["a", "b"]);

    allow(false, &[]).await;
    let _ = chat_until(&headgate.client(), "a", 200).await;
}

#[tokio::test]
async fn the_default_model_answers_by_the_name_default_and_is_booked_as_itself() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("org/m", &upstream)).await;
    let (client, admin) = (headgate.client(), headgate.anonymous().with_key(&headgate.operator_token()));
    admin.get("/admin/models/default").await.expect(404);
    client.chat(&prompts::chat("default")).await.expect(404);
    let body = json!({"model": "org/m"});
    let set = admin.send_json(Method::PUT, "/admin/models/default", &body).await.expect(200).json();
    assert_eq!(admin.get("/admin/models/default").await.expect(200).json(), set);
    assert_eq!(set["default_model"]["model"], "org/m");
    let _ = chat_until(&client, "default", 200).await;
    assert_eq!(headgate.only_row().await.model, "org/m");
    assert_eq!(upstream.journal().len(), 1);
    assert_eq!(client.get("/v1/models/default").await.expect(200).json()["id"], "org/m");
    assert_eq!(names(&client).await, ["org/m"], "it is no model more");

    admin.send_json(Method::DELETE, "/admin/models/org/m", &json!(null)).await.expect(409);
    admin.send_json(Method::PUT, "/admin/models/default", &json!({"model": "none"})).await.expect(400);
    admin.send_json(Method::DELETE, "/admin/models/default?etag=0", &json!(null)).await.expect(409);
    admin.send_json(Method::DELETE, "/admin/models/default", &json!(null)).await.expect(200);
    let _ = chat_until(&client, "default", 404).await;
}

#[tokio::test]
async fn a_disabled_model_is_404_and_a_new_price_is_charged_from_then_on() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let old = headgate.only_row().await;

    let mut models = ModelServiceClient::new(headgate.operator("catalog").await);
    let found = models.get_model(GetModelRequest { name: "m".into() }).await.unwrap().into_inner();
    let mut model = found.model.unwrap();
    model.enabled = false;
    let disable = UpdateModelRequest { model: Some(model), etag: String::new() };
    let mut model = models.update_model(disable).await.unwrap().into_inner().model.unwrap();
    let client = headgate.client();
    let first = chat_until(&client, "m", 404).await;
    let asked = upstream.journal().len();
    let refused = [
        first,
        client.stream(&prompts::stream("m")).await.into_reply().await,
        client.embed(&prompts::embed("m", &json!("a text"))).await,
        client.get("/v1/models/m").await,
    ];
    for refused in refused {
        assert_eq!(refused.expect(404).error_code(), "model_not_found");
    }
    assert_eq!(names(&client).await, [""; 0]);
    assert_eq!(upstream.journal().len(), asked);

    model.enabled = true;
    model.price.as_mut().unwrap().output_nano_usd_per_1k_tokens *= 2;
    models.update_model(UpdateModelRequest { model: Some(model), etag: String::new() }).await.unwrap();
    let _ = chat_until(&headgate.client(), "m", 200).await;
    let new = headgate.rows(asked + 1).await.remove(0);
    assert_eq!(new.cost_nano_usd - old.cost_nano_usd, 5 * 15_000);
    assert!(new.price_revision > old.price_revision);
}

/// What the history of a model says that a row was priced by.
async fn price_of(headgate: &Headgate, row: &UsageRecord) -> Value {
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    let path = format!("/admin/models/{}/prices", row.model);
    let history = admin.get(&path).await.expect(200).json();
    let rows = history["prices"].as_array().expect("prices");
    let revision = |row: &Value| row["revision"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(revision(row))), "{history}");
    rows.iter().find(|price| revision(price) <= row.price_revision).expect("a price").clone()
}

#[tokio::test]
async fn a_row_stays_as_it_was_priced_and_the_history_says_by_which_price() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("org/m", &upstream)).await;
    let client = headgate.client();
    client.chat(&prompts::chat("org/m")).await.expect(200);
    let old = headgate.only_row().await;
    let admin = headgate.anonymous().with_key(&headgate.operator_token());
    let flat = json!({"price": {"request_nano_usd": "40000000"}});
    admin.send_json(Method::PATCH, "/admin/models/org/m", &flat).await.expect(200);
    // Nobody says when the router hears of it, so that some requests may still cost what the first did.
    let rows = eventually(WATCHED, "the new price", || async {
        client.chat(&prompts::chat("org/m")).await.expect(200);
        let served = upstream.journal().len();
        let rows = headgate.rows(served).await;
        rows.iter().any(|row| row.cost_nano_usd == 40_000_000).then_some(rows)
    })
    .await;
    assert!(rows.contains(&old), "{rows:?}");
    for row in &rows {
        let price = price_of(&headgate, row).await;
        let flat = price["price"]["request_nano_usd"].as_str();
        assert_eq!(price["is_current"], flat.is_some());
        let cost = flat.map_or(old.cost_nano_usd, |nano| nano.parse().unwrap());
        assert_eq!(row.cost_nano_usd, cost, "{row:?}");
    }
}

#[tokio::test]
async fn a_model_is_found_by_any_of_its_names_and_says_what_it_is_called_where() {
    let upstream = Upstream::start().await;
    let facts = json!({"aliases": ["house-model"], "operations": ["chat"]});
    let setup = Setup::with_model("b", &upstream).model("a", &["mock"]).model_with(&facts);
    let headgate = Headgate::start(&setup).await;
    let client = headgate.client();
    let model = client.get("/v1/models/house-model").await.expect(200).json();
    let shown = (&model["id"], &model["deployments"], &model["providers"], &model["aliases"]);
    assert_eq!(shown, (&json!("a"), &json!(["a"]), &json!(["mock"]), &json!(["house-model"])));
    let found = async |query: &str| {
        let list = client.get(&format!("/v1/models/search?{query}")).await.expect(200).json();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("q=HOUSE-").await, ["a"]);
    assert_eq!(found("operation=embeddings").await, ["b"]);
    assert_eq!(found("provider=mock&q=house").await, ["a"]);
    assert_eq!(found("provider=none").await, [""; 0]);
    let refused = client.get("/v1/models/search?operation=painting").await.expect(400);
    assert_eq!(refused.json()["error"]["param"], "operation");
    let all = client.get("/v1/models").await.expect(200).json();
    assert_eq!(client.get("/models").await.expect(200).json(), all);
}

#[tokio::test]
async fn a_key_learns_whose_it_is_and_what_there_is_for_it() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let bare = headgate.anonymous().with_header("x-api-key", KEY);
    for client in [&headgate.client(), &bare] {
        let caller = client.get("/v1/key").await.expect(200).json();
        assert_eq!((&caller["tenant_id"], &caller["scopes"]), (&json!(TENANT), &json!([])), "{caller}");
        let prefix = caller["prefix"].as_str().unwrap();
        assert!(KEY.starts_with(&format!("sk-{prefix}.")) && !caller.to_string().contains(KEY), "{caller}");
        let providers = client.get("/v1/providers").await.expect(200).json();
        let told = json!([{"name": "mock", "kind": "openai", "models": ["m"], "is_healthy": true,
            "status": "MODEL_STATUS_AVAILABLE", "retry_after_ms": "0"}]);
        assert_eq!(providers["providers"], told);
        let features = client.get("/v1/features").await.expect(200).json();
        assert_eq!(
            (&features["operations"], &features["models"]),
            (&json!(["chat", "embeddings"]), &json!(1))
        );
        client.chat(&prompts::chat("m")).await.expect(200);
    }
    let session = headgate.anonymous().with_header("cookie", &format!("headgate_access={KEY}"));
    for path in ["/v1/key", "/v1/providers", "/v1/features", "/models", "/v1/models/search"] {
        headgate.anonymous().get(path).await.expect(401);
        session.get(path).await.expect(401);
        headgate.anonymous().with_key(&headgate.operator_token()).get(path).await.expect(401);
    }
    let operator = headgate.anonymous().with_header("x-api-key", &headgate.operator_token());
    let kinds = operator.get("/admin/provider-kinds").await.expect(200).json();
    let names: Vec<_> = kinds["kinds"].as_array().unwrap().iter().map(|kind| &kind["name"]).collect();
    assert_eq!(names, ["openai", "echo"]);
    bare.get("/admin/provider-kinds").await.expect(403);
}

#[tokio::test]
async fn a_bare_key_is_as_good_over_grpc() {
    let headgate = Headgate::start(&Setup::new()).await;
    let address = format!("http://{}", headgate.node("router").grpc());
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut directory = DirectoryServiceClient::new(channel);
    let mut ask = async |key: &str| {
        let mut request = tonic::Request::new(GetCallerRequest {});
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
        directory.get_caller(request).await.map(|caller| caller.into_inner().tenant_id)
    };
    assert_eq!(ask(KEY).await.unwrap(), TENANT);
    assert_eq!(ask("sk-acme.guess").await.unwrap_err().code(), tonic::Code::Unauthenticated);
}
