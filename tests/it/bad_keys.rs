//! S0-24: whoever keeps failing to present a valid key is told to wait, and nobody else is.

use std::time::Instant;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::inference::v1::ListModelsRequest;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, OTHER_KEY, Setup};
use headgate_tests::upstream::Upstream;
use serde_json::json;

const BURST: usize = 20;

async fn start(upstream: &Upstream) -> Headgate {
    let edge = json!({
        "failed_authentications": {"per_second": 1, "burst": BURST},
        "trusted_proxies": ["127.0.0.1"],
    });
    Headgate::start(&Setup::with_model("m", upstream).section("edge", &edge)).await
}

/// How many keys auth was asked for that were none.
async fn asked_in_vain(headgate: &Headgate) -> usize {
    let metrics = headgate.node("auth").ops().get("/metrics").await.expect(200).text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"headgate_auth_verifications_total{outcome="invalid"} "#));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_flood_of_made_up_keys_is_no_load_on_auth_and_hurts_no_good_caller() {
    let upstream = Upstream::start().await;
    let headgate = start(&upstream).await;
    let (before, begun) = (asked_in_vain(&headgate).await, Instant::now());
    let mut told_to_wait = 0;
    for n in 0..200 {
        let made_up = headgate.anonymous().with_key(&format!("sk-made-{n}.up"));
        let reply = made_up.chat(&prompts::chat("m")).await;
        match reply.status {
            401 => assert_eq!(reply.error_code(), "invalid_api_key"),
            429 => {
                told_to_wait += 1;
                assert_eq!(reply.error_code(), "rate_limit_exceeded");
                assert_eq!(reply.header("retry-after"), Some("1"));
            }
            other => panic!("{other}"),
        }
        if n % 20 == 0 {
            headgate.client().chat(&prompts::chat("m")).await.expect(200);
        }
    }
    // One more each second.
    let most = BURST + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((BURST..=most).contains(&(200 - told_to_wait)), "{told_to_wait} of 200 were told to wait");
    let asked = asked_in_vain(&headgate).await - before;
    assert!(asked <= most, "auth was asked {asked} times");
    assert_eq!(upstream.journal().len(), 10);
}

#[tokio::test]
async fn guesses_of_a_key_end_where_they_come_from_and_nowhere_else() {
    let upstream = Upstream::start().await;
    let headgate = start(&upstream).await;
    let (prefix, _) = OTHER_KEY.split_once('.').unwrap();
    let from = |address: &str| headgate.anonymous().with_header("x-forwarded-for", address);
    let begun = Instant::now();
    let mut looked_at = 0;
    for n in 0..100 {
        let guess = from("192.0.2.1").with_key(&format!("{prefix}.guess-{n}"));
        let status = guess.get("/v1/models").await.status;
        assert!(status == 401 || status == 429, "{status}");
        looked_at += usize::from(status == 401);
    }
    let most = BURST + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((BURST..=most).contains(&looked_at), "{looked_at} guesses were looked at");
    from("192.0.2.2").with_key(OTHER_KEY).get("/v1/models").await.expect(200);
    headgate.client().get("/v1/models").await.expect(200);
}

#[tokio::test]
async fn grpc_consumers_are_told_to_wait_too_where_that_is_wanted() {
    let upstream = Upstream::start().await;
    let grpc = json!({"failed_authentications": {"per_second": 1, "burst": BURST}});
    let headgate = Headgate::start(&Setup::with_model("m", &upstream).section("grpc", &grpc)).await;
    let list = async |key: &str| {
        let mut router = InferenceServiceClient::new(headgate.grpc(key).await);
        router.list_models(ListModelsRequest::default()).await.map_err(|status| Failure::from_status(&status))
    };
    let begun = Instant::now();
    let mut looked_at = 0;
    for n in 0..60 {
        let failure = list(&format!("sk-made-{n}.up")).await.unwrap_err();
        match failure.reason {
            ErrorReason::InvalidCredential => looked_at += 1,
            ErrorReason::RateLimited => assert!(failure.retry_after.is_some()),
            other => panic!("{other:?}"),
        }
    }
    let most = BURST + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((BURST..=most).contains(&looked_at), "{looked_at} of 60 were looked at");
    list(KEY).await.unwrap();
}
