//! S0-4: what a key may be used for, from where, until when its secret works, and when it was last used.

use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, RotateApiKeyRequest, StringList,
    UpdateApiKeyRequest,
};
use headgate_proto::inference::v1::ListModelsRequest;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::operator::Authorized;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, Setup, TENANT};
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use serde_json::json;
use tonic::Status;

/// How long a change may take to be heard of, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

async fn keys(headgate: &Headgate) -> ApiKeyServiceClient<Authorized> {
    ApiKeyServiceClient::new(headgate.operator("auth").await)
}

async fn make(headgate: &Headgate, request: CreateApiKeyRequest) -> (ApiKey, Client) {
    let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..request };
    let made = keys(headgate).await.create_api_key(request).await.unwrap();
    let CreateApiKeyResponse { api_key, secret_key, .. } = made.into_inner();
    (api_key.unwrap(), headgate.anonymous().with_key(&secret_key))
}

async fn update(headgate: &Headgate, request: UpdateApiKeyRequest) -> Result<ApiKey, Status> {
    let updated = keys(headgate).await.update_api_key(request).await?;
    Ok(updated.into_inner().api_key.unwrap())
}

async fn read(headgate: &Headgate, id: &str) -> ApiKey {
    let request = GetApiKeyRequest { id: id.into() };
    keys(headgate).await.get_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

/// Waits until a chat request is answered with `status`.
async fn answered_with(status: u16, client: &Client, model: &str) {
    eventually(SOON, &format!("HTTP {status}"), async || {
        (client.chat(&prompts::chat(model)).await.status == status).then_some(())
    })
    .await;
}

async fn listed(client: &Client) -> Vec<String> {
    let list = client.get("/v1/models").await.expect(200).json();
    let ids = list["data"].as_array().unwrap().iter();
    ids.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_key_uses_the_models_it_names_and_no_others() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).model("n", &["mock"]).patient_with_strangers();
    let headgate = Headgate::start(&setup).await;
    let request = CreateApiKeyRequest { models: vec!["n".into()], ..CreateApiKeyRequest::default() };
    let (key, client) = make(&headgate, request).await;
    client.chat(&prompts::chat("n")).await.expect(200);
    let asked = upstream.journal().len();
    for reply in [
        client.chat(&prompts::chat("m")).await,
        client.embed(&json!({"model": "m", "input": "Hello"})).await,
        client.get("/v1/models/m").await,
    ] {
        assert_eq!(reply.expect(404).error_code(), "model_not_found");
    }
    assert_eq!(listed(&client).await, ["n"]);
    assert_eq!(upstream.journal().len(), asked);

    let models = Some(StringList { values: vec![] });
    update(&headgate, UpdateApiKeyRequest { id: key.id, models, ..Default::default() }).await.unwrap();
    answered_with(200, &client, "m").await;
    assert_eq!(listed(&client).await, ["m", "n"]);
}

#[tokio::test]
async fn a_key_is_used_from_the_addresses_it_names_and_no_others() {
    let upstream = Upstream::start().await;
    let edge = json!({"trusted_proxies": ["127.0.0.1"]});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).section("edge", &edge)).await;
    let ip_allowlist = vec!["192.0.2.0/24".into(), "2001:db8::7".into()];
    let request = CreateApiKeyRequest { ip_allowlist, ..CreateApiKeyRequest::default() };
    let made = keys(&headgate)
        .await
        .create_api_key(CreateApiKeyRequest { tenant_id: TENANT.into(), ..request })
        .await
        .unwrap()
        .into_inner();
    let (id, key) = (made.api_key.unwrap().id, made.secret_key);
    let from = |address: &str| headgate.anonymous().with_key(&key).with_header("x-forwarded-for", address);
    for inside in ["192.0.2.9", "2001:db8::7", "198.51.100.1, 192.0.2.9"] {
        from(inside).chat(&prompts::chat("m")).await.expect(200);
    }
    let asked = upstream.journal().len();
    for outside in ["198.51.100.1", "192.0.2.9, 198.51.100.1", "nonsense"] {
        let reply = from(outside).chat(&prompts::chat("m")).await.expect(403);
        assert_eq!(reply.error_code(), "permission_denied");
        from(outside).get("/v1/models").await.expect(403);
    }
    assert_eq!(upstream.journal().len(), asked);

    // Over gRPC it is the connection that tells, whatever the caller says of itself.
    let list = async || {
        let mut router = InferenceServiceClient::new(headgate.grpc(&key).await);
        let mut request = tonic::Request::new(ListModelsRequest::default());
        request.metadata_mut().insert("x-forwarded-for", "192.0.2.9".parse().unwrap());
        router.list_models(request).await.map(drop).map_err(|status| Failure::from_status(&status).reason)
    };
    assert_eq!(list().await, Err(ErrorReason::PermissionDenied));
    let ip_allowlist = Some(StringList { values: vec!["127.0.0.0/8".into()] });
    update(&headgate, UpdateApiKeyRequest { id, ip_allowlist, ..Default::default() }).await.unwrap();
    eventually(SOON, "the new list", async || list().await.ok()).await;
}

#[tokio::test]
async fn a_disabled_key_is_refused_until_it_is_enabled() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).patient_with_strangers();
    let headgate = Headgate::start(&setup).await;
    let (key, client) = make(&headgate, CreateApiKeyRequest::default()).await;
    let set = async |disabled| {
        let disabled = Some(disabled);
        let request = UpdateApiKeyRequest { id: key.id.clone(), disabled, ..Default::default() };
        update(&headgate, request).await.unwrap();
    };
    client.chat(&prompts::chat("m")).await.expect(200);
    set(true).await;
    answered_with(401, &client, "m").await;
    set(false).await;
    answered_with(200, &client, "m").await;
}

#[tokio::test]
async fn a_new_secret_works_at_once_and_the_old_one_as_long_as_is_asked() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).patient_with_strangers();
    let headgate = Headgate::start(&setup).await;
    let (key, first) = make(&headgate, CreateApiKeyRequest::default()).await;
    first.chat(&prompts::chat("m")).await.expect(200);
    let rotate = async |overlap_seconds| {
        let request = RotateApiKeyRequest { id: key.id.clone(), overlap_seconds, ..Default::default() };
        let rotated = keys(&headgate).await.rotate_api_key(request).await.unwrap().into_inner();
        headgate.anonymous().with_key(&rotated.secret_key)
    };
    let second = rotate(3_600).await;
    second.chat(&prompts::chat("m")).await.expect(200);
    first.chat(&prompts::chat("m")).await.expect(200);
    let third = rotate(0).await;
    third.chat(&prompts::chat("m")).await.expect(200);
    answered_with(401, &first, "m").await;
    answered_with(401, &second, "m").await;
    third.chat(&prompts::chat("m")).await.expect(200);
}

#[tokio::test]
async fn a_key_tells_when_it_was_last_used_over_a_restart() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let (unused, _) = make(&headgate, CreateApiKeyRequest::default()).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let used = async |headgate: &Headgate| read(headgate, KEY_ID).await.last_used_time;
    let at = eventually(SOON, "the use to be told", async || used(&headgate).await).await;
    let row = headgate.only_row().await;
    // Both by clocks of this machine: noted when it was let in, which is when the request began.
    let begun = at.seconds * 1000 + i64::from(at.nanos) / 1_000_000;
    assert!(begun.abs_diff(row.started_at_unix_ms) < 60_000, "{begun} and {}", row.started_at_unix_ms);
    assert_eq!(read(&headgate, &unused.id).await.last_used_time, None);
    headgate.terminate().await;
    headgate.restart().await;
    assert_eq!(used(&headgate).await, Some(at));
}

#[tokio::test]
async fn of_two_changes_of_what_was_read_one_succeeds_and_the_other_is_told_what_it_is_now() {
    let headgate = Headgate::start(&Setup::new()).await;
    let etag = read(&headgate, KEY_ID).await.etag;
    let rename = |name: &str| {
        let (id, name, etag) = (KEY_ID.to_owned(), Some(name.to_owned()), etag.clone());
        update(&headgate, UpdateApiKeyRequest { id, name, etag, ..Default::default() })
    };
    let (one, other) = tokio::join!(rename("one"), rename("other"));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let (won, refusal) = (won.unwrap(), Failure::from_status(&lost.unwrap_err()));
    assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    assert_eq!(read(&headgate, KEY_ID).await.name, won.name);
}
