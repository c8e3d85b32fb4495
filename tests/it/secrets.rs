//! P8: secrets planted in every place stay out of logs, files, errors and metrics, through success and failure.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use headgate_proto::auth::v1::CreateApiKeyRequest;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::catalog::v1::provider_service_client::ProviderServiceClient;
use headgate_proto::catalog::v1::{GetProviderRequest, UpdateProviderRequest};
use headgate_proto::common::v1::ErrorReason;
use headgate_tests::cluster::{Headgate, TOKEN_KEY};
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::upstream::{Behaviour, End, Upstream};
use http::Method;
use serde_json::json;

const PROVIDER_KEY: &str = "sk-planted-provider-key-Zq7Jw2Xv9LkT4mNp";
const ROTATED_KEY: &str = "sk-planted-rotated-key-Rt5Yh8Bn3VcX1sQw";
const CLIENT_SECRET: &str = "planted-client-secret-Hd6Gf3Ks8WpM0zUe";
const PASSWORD: &str = "planted-password-Ys6Nd1Bq4GtK8vRf";
const WEBHOOK: &str = "https://hooks.example.com/planted-webhook-Jm3Tz7Qf5KxB2wLe";
const WRONG_SECRET: &str = "planted-wrong-secret-Lx2Cv7Tb4NqJ9rYi";

/// A place that is searched: its name, and its bytes as text. A secret's forms are ASCII, so none gets lost.
type Place = (String, String);

/// The secret as it is, and as it could be hidden from an eye.
fn forms(secret: &str) -> Vec<String> {
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Base64 of a text's middle, at each of the three alignments it can have in a longer text.
    let shifted = (0..3).map(|shift| base64.encode(&secret[shift..shift + 15]));
    [secret.to_owned(), secret.to_uppercase(), hex].into_iter().chain(shifted).collect()
}

fn assert_absent(secret: &str, what: &str, places: &[Place]) {
    for form in forms(secret) {
        for (name, text) in places {
            // The secret itself is not printed: this message would be its next leak.
            assert!(!text.contains(&form), "{what} stands in {name}");
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Every file of the data folders, but for those whose purpose is the operator's token, and the tables.
fn data(headgate: &Headgate) -> Vec<Place> {
    let mut found = Vec::new();
    headgate.data_dirs().iter().for_each(|folder| files(folder, &mut found));
    let tables = headgate.tables().map(|dump| ("the tables".to_owned(), dump));
    let is_database = |path: &PathBuf| path.extension().is_some_and(|e| e == "db");
    assert!(tables.is_some() || found.iter().any(is_database), "no database in {found:?}");
    let name = |path: &Path| path.display().to_string();
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let places = found.iter().map(|path| (name(path), text(path)));
    places.filter(|(name, _)| !name.ends_with("/operator.token")).chain(tables).collect()
}

#[tokio::test]
async fn planted_secrets_are_found_nowhere() {
    let upstream = Upstream::start().await;
    let client_key = format!("sk-planted.{CLIENT_SECRET}");
    let setup = Setup::with_model("m", &upstream)
        .provider_with(&json!({"api_key": PROVIDER_KEY}))
        .seed("api_keys", json!({"tenant_id": TENANT, "name": "planted", "key": client_key, "scopes": []}))
        .seed("admin_users", json!({"email": "root", "password": PASSWORD}))
        .section("edge", &json!({"access_log": true}))
        .section("log", &json!({"filter": "trace"}));
    let mut headgate = Headgate::start(&setup).await;
    let client = headgate.anonymous().with_key(&client_key);
    let mut answers: Vec<Place> = Vec::new();
    let mut note = |name: &str, text: String| answers.push((format!("the answer to {name}"), text));

    note("a good request", client.chat(&prompts::chat("m")).await.expect(200).text());
    let sent = upstream.only_request();
    assert_eq!(sent.headers["authorization"], format!("Bearer {PROVIDER_KEY}"), "the key is not in use");

    // An upstream that quotes the credential, as some do, in every kind of failure.
    for status in [400, 401, 403, 404, 429, 500] {
        let quote = format!("Incorrect API key provided: {PROVIDER_KEY}.");
        upstream.script("m", Behaviour::openai_error(status, "invalid_request_error", "x", &quote));
        note("a failing upstream", client.chat(&prompts::chat("m")).await.text());
        let stream = client.stream(&prompts::stream("m")).await;
        note("a failing stream", stream.into_reply().await.text());
    }
    let garbage = headgate_tests::upstream::Answer::default().ending(End::Garbage);
    upstream.script("m", garbage);
    let (events, _) = client.stream(&prompts::stream("m")).await.read_to_end().await;
    note("a broken stream", events.into_iter().map(|event| event.raw).collect());
    upstream.script("m", headgate_tests::upstream::Answer::default());

    let wrong = headgate.anonymous().with_key(&format!("sk-planted.{WRONG_SECRET}"));
    note("a wrong key", wrong.chat(&prompts::chat("m")).await.expect(401).text());
    let strange = headgate.anonymous().with_header("authorization", WRONG_SECRET);
    note("a strange credential", strange.chat(&prompts::chat("m")).await.expect(401).text());
    note("malformed JSON", client.post_raw("/v1/chat/completions", "{").await.expect(400).text());

    // What an operator makes and changes while it runs.
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let request = CreateApiKeyRequest { tenant_id: TENANT.into(), name: "made".into(), ..Default::default() };
    let made = keys.create_api_key(request).await.unwrap().into_inner().secret_key;
    let made_secret = made.split_once('.').expect("sk-<prefix>.<secret>").1.to_owned();
    let mut providers = ProviderServiceClient::new(headgate.operator("catalog").await);
    let rotate =
        UpdateProviderRequest { id: "mock".into(), api_key: Some(ROTATED_KEY.into()), ..Default::default() };
    let updated = providers.update_provider(rotate).await.unwrap().into_inner();
    note("a changed provider", format!("{updated:?}"));
    let read = providers.get_provider(GetProviderRequest { id: "mock".into() }).await.unwrap().into_inner();
    assert!(read.provider.as_ref().is_some_and(|provider| provider.has_credential));
    note("a read provider", format!("{read:?}"));
    // Whom a budget tells, over REST, with a mistake first.
    let operator = headgate.anonymous().with_key(&headgate.operator_token());
    let path = format!("/admin/tenants/{TENANT}/budget");
    for (name, status) in [("", 400), ("chat", 200), ("chat", 200)] {
        let webhooks = json!([{"name": name, "url": format!("{WEBHOOK}{status}")}]);
        let budget = json!({"limit_usd": "100.00", "alerts": {"webhooks": webhooks}});
        let reply = operator.send_json(Method::PUT, &path, &budget).await.expect(status);
        note("a budget", reply.text());
    }
    let read = operator.get(&path).await.expect(200);
    let origin = &read.json()["status"]["budget"]["alerts"]["webhooks"][0]["origin"];
    assert_eq!(origin, "https://hooks.example.com");
    note("a read budget", read.text());
    // Who logs in, goes on and sets another password.
    let login = json!({"email": "root", "password": PASSWORD});
    let reply = headgate.anonymous().post("/auth/login", &login).await.expect(200).json();
    let again = json!({"refresh_token": reply["tokens"]["refresh_token"]});
    let tokens =
        headgate.anonymous().post("/auth/refresh", &again).await.expect(200).json()["tokens"].clone();
    let root = headgate.anonymous().with_key(tokens["access_token"].as_str().unwrap());
    let me = root.get("/auth/me").await.expect(200);
    let reset = format!("/admin/users/{}/password-reset", me.json()["user"]["id"].as_str().unwrap());
    note("who one is", me.text());
    let reset = root.post(&reset, &json!({})).await.expect(201).json()["token"].as_str().unwrap().to_owned();
    let wrong = json!({"email": "root", "password": WRONG_SECRET});
    note("a wrong password", headgate.anonymous().post("/auth/login", &wrong).await.expect(401).text());
    let spent = headgate.anonymous().post("/auth/refresh", &again).await.expect(401);
    note("a used refresh token", spent.text());
    // Who asks what was done sees none of it.
    let audit = operator.get("/admin/audit?page_size=1000").await.expect(200);
    let events = audit.json()["events"].as_array().unwrap().len();
    assert!(events > 5, "nothing was told: {events}");
    note("what was done", audit.text());
    note("metrics", headgate.ops().get("/metrics").await.expect(200).text());

    let operator_token = headgate.operator_token();
    headgate.kill();
    headgate.restart().await;
    headgate.terminate().await;

    assert!(headgate.logs().contains(r#""level":"TRACE""#), "not everything was logged");
    let mut places = answers;
    places.push(("the logs".into(), headgate.logs()));
    places.extend(data(&headgate));
    assert_absent(PROVIDER_KEY, "the provider's key", &places);
    assert_absent(ROTATED_KEY, "the provider's new key", &places);
    assert_absent(CLIENT_SECRET, "the client's secret", &places);
    assert_absent(WRONG_SECRET, "a wrong secret", &places);
    assert_absent(&made_secret, "the secret of a key made at run time", &places);
    assert_absent(PASSWORD, "a password", &places);
    assert_absent(&WEBHOOK["https://hooks.example.com/".len()..], "the URL of a webhook", &places);
    assert_absent(&reset, "a token to set a password with", &places);
    for secret in ["access_token", "refresh_token"] {
        // The end of an access token is its signature, without which it is nothing.
        let whole = tokens[secret].as_str().unwrap();
        assert_absent(&whole[whole.len() - 40..], secret, &places);
    }
    assert_absent(&operator_token, "the operator token", &places);
    assert_absent(TOKEN_KEY, "the key of service tokens", &places);
    // How the header of every JSON Web Token begins.
    assert_absent("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", "a service token", &places);
}

#[tokio::test]
async fn a_providers_key_opens_with_its_own_master_key_only() {
    let upstream = Upstream::start().await;
    let (own, other) = ("5a".repeat(32), "c3".repeat(32));
    let setup = |master_key: &str, provider_key: Option<&str>| {
        Setup::with_model("m", &upstream)
            .provider_with(&json!({ "api_key": provider_key }))
            .set("master_key", master_key)
    };
    let mut headgate = Headgate::start(&setup(&own, Some(PROVIDER_KEY))).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);

    headgate.kill();
    headgate.restart_with(&setup(&other, None)).await;
    let whole = headgate.client().chat(&prompts::chat("m")).await;
    let streamed = headgate.client().stream(&prompts::stream("m")).await.into_reply().await;
    for refused in [whole, streamed] {
        assert_eq!(refused.expect(502).error_code(), "upstream_credential");
    }
    assert_eq!(upstream.journal().len(), 1, "a request went out without its credential");
    for row in &headgate.rows(3).await[..2] {
        assert_eq!((row.error_reason(), row.cost_nano_usd), (ErrorReason::UpstreamCredential, 0));
    }

    // The key it was sealed with brings it back; giving the credential again seals it anew.
    for again in [setup(&own, None), setup(&other, Some(PROVIDER_KEY)), setup(&other, None)] {
        headgate.kill();
        headgate.restart_with(&again).await;
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
    }
    headgate.kill();
    let authorized = format!("Bearer {PROVIDER_KEY}");
    assert!(upstream.journal().iter().all(|request| request.headers["authorization"] == authorized));
    let mut places = data(&headgate);
    places.push(("the logs".into(), headgate.logs()));
    for (secret, what) in
        [(PROVIDER_KEY, "the provider's key"), (&own, "a master key"), (&other, "a master key")]
    {
        assert_absent(secret, what, &places);
    }
}

#[tokio::test]
async fn files_with_secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&headgate.data_dir_of("auth").join("operator.token")), 0o600);
    let mut found = Vec::new();
    headgate.data_dirs().iter().for_each(|folder| files(folder, &mut found));
    for secret in ["master", "budget.key"] {
        let named = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().contains(secret);
        let found: Vec<_> = found.iter().filter(named).collect();
        assert!(!found.is_empty(), "no {secret} in the data folders");
        assert!(found.iter().all(|path| mode(path) == 0o600));
    }
}
