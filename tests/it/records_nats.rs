//! P2 over NATS JetStream: every admitted request is exactly one ledger row, with the broker killed in between.

use std::time::Duration;

use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::servers::nats::Nats;
use headgate_tests::setup::{OTHER_KEY, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, Upstream};
use headgate_tests::wait::eventually;
use serde_json::json;

use crate::budget::{cent_model, cent_request};

const SUBJECT: &str = "headgate.records.v1.by-hand";

fn setup(upstream: &Upstream, nats: &Nats) -> Setup {
    Setup::with_model("m", upstream).section("nats", &json!({"url": nats.url()}))
}

async fn chat(headgate: &Headgate, requests: usize) {
    let client = headgate.client();
    for _ in 0..requests {
        client.chat(&prompts::chat("m")).await.expect(200);
    }
}

/// The only number that a metric has.
async fn metric(headgate: &Headgate, name: &str) -> Option<u64> {
    let metrics = headgate.ops().get("/metrics").await.expect(200).text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn until_metric(headgate: &Headgate, name: &str, value: u64) {
    eventually(Duration::from_secs(20), &format!("{name} to be {value}"), || async {
        (metric(headgate, name).await == Some(value)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rows_are_written_once_with_the_broker_killed_in_between() {
    let (upstream, mut nats) = (Upstream::start().await, Nats::start().await);
    let mut headgate = Headgate::start_on(Topology::AllInOne, &setup(&upstream, &nats)).await;
    chat(&headgate, 20).await;
    headgate.rows(20).await;

    // Away: requests do not notice, and records wait.
    nats.kill();
    let alone = std::time::Instant::now();
    chat(&headgate, 20).await;
    assert!(alone.elapsed() < Duration::from_secs(15), "20 requests took {:?}", alone.elapsed());
    until_metric(&headgate, r#"headgate_records_unforwarded_records{spool="router"}"#, 20).await;
    assert_eq!(metric(&headgate, "headgate_nats_connected").await, Some(0));
    headgate.ops().get("/readyz").await.expect(200);
    nats.restart().await;
    headgate.rows(40).await;

    // Killed while records are on their way, and the gate with it.
    let load = {
        let client = headgate.client();
        tokio::spawn(async move {
            for _ in 0..60 {
                client.chat(&prompts::chat("m")).await.expect(200);
            }
        })
    };
    eventually(Duration::from_secs(20), "half of the requests", || async {
        (upstream.journal().len() >= 70).then_some(())
    })
    .await;
    nats.kill();
    load.await.unwrap();
    headgate.kill();
    nats.restart().await;
    headgate.restart().await;
    let rows = headgate.rows(100).await;
    assert!(rows.iter().all(|row| row.outcome() == Outcome::Succeeded && row.completion_tokens == 5));

    // And none comes twice, whatever is delivered again.
    until_metric(&headgate, r#"headgate_records_pending_messages{consumer="usage"}"#, 0).await;
    until_metric(&headgate, r#"headgate_records_pending_messages{consumer="budget"}"#, 0).await;
    headgate.rows(100).await;
}

#[tokio::test]
async fn a_start_without_the_broker_serves_whom_no_budget_covers_and_then_everybody() {
    let (upstream, mut nats) = (Upstream::start().await, Nats::start().await);
    let setup = cent_model(&upstream)
        .section("nats", &json!({"url": nats.url()}))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.02"}));
    let mut headgate = Headgate::start_on(Topology::AllInOne, &setup).await;
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    headgate.client().chat(&cent_request()).await.expect(200);
    headgate.rows(1).await;
    nats.kill();
    // The last cent: of it nobody but the spool knows.
    headgate.client().chat(&cent_request()).await.expect(200);
    upstream.script("m", Answer::paced(100, Duration::from_millis(25)));
    let unlimited = headgate.anonymous().with_key(OTHER_KEY);
    let mut stream = unlimited.stream(&prompts::stream("m")).await;
    stream.read_content(20).await;
    headgate.kill();
    drop(stream);
    upstream.script("m", Answer::default());

    headgate.restart().await;
    let unlimited = headgate.anonymous().with_key(OTHER_KEY);
    for _ in 0..5 {
        unlimited.chat(&prompts::chat("m")).await.expect(200);
        let refused = headgate.client().chat(&cent_request()).await.expect(503);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    nats.restart().await;
    let refused = eventually(Duration::from_secs(20), "what was spent to be known", || async {
        let answer = headgate.client().chat(&cent_request()).await;
        assert_ne!(answer.status, 200, "the budget is spent");
        (answer.status == 403).then_some(answer)
    })
    .await;
    assert_eq!(refused.error_code(), "budget_exceeded");
    let rows = headgate.rows(8).await;
    assert_eq!(rows.iter().filter(|row| row.outcome() == Outcome::Abandoned).count(), 1);
}

#[tokio::test]
async fn a_poison_message_is_set_aside_and_harms_no_other() {
    let (upstream, nats) = (Upstream::start().await, Nats::start().await);
    let headgate = Headgate::start_on(Topology::AllInOne, &setup(&upstream, &nats)).await;
    chat(&headgate, 3).await;
    headgate.rows(3).await;

    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    // No batch at all, and a batch with a record that is none.
    let batch = headgate_proto::record::v1::RecordBatch { records: vec!["\u{a}garbage".into()] };
    for message in ["not a batch".to_owned().into(), prost::Message::encode_to_vec(&batch)] {
        jetstream.publish(SUBJECT, message.into()).await.unwrap().await.unwrap();
    }
    chat(&headgate, 3).await;
    headgate.rows(6).await;
    for consumer in ["budget", "usage"] {
        let label = format!("{{consumer=\"{consumer}\"}}");
        until_metric(&headgate, &format!("headgate_records_malformed_messages_total{label}"), 1).await;
        until_metric(&headgate, &format!("headgate_records_pending_messages{label}"), 0).await;
    }
    until_metric(&headgate, "headgate_usage_rejected_records_total", 1).await;
    until_metric(&headgate, "headgate_budget_unreadable_records_total", 1).await;
    assert!(headgate.logs().contains("no batch of records"));
}

#[tokio::test]
async fn a_data_folder_goes_from_one_way_to_the_other_and_back() {
    let (upstream, nats) = (Upstream::start().await, Nats::start().await);
    let in_place = Setup::with_model("m", &upstream);
    let mut headgate = Headgate::start_on(Topology::AllInOne, &in_place).await;
    chat(&headgate, 5).await;
    // Right away: the consumers have not read all of it.
    headgate.kill();
    headgate.restart_with(&setup(&upstream, &nats)).await;
    chat(&headgate, 5).await;
    headgate.rows(10).await;
    until_metric(&headgate, r#"headgate_records_pending_messages{consumer="usage"}"#, 0).await;
    headgate.kill();
    headgate.restart_with(&in_place).await;
    chat(&headgate, 5).await;
    headgate.rows(15).await;
}

#[tokio::test]
async fn the_brokers_password_is_shown_nowhere() {
    const PASSWORD: &str = "planted-broker-password-Kq4Zt8";
    let users = format!("authorization {{ user: gate, password: \"{PASSWORD}\" }}");
    let (upstream, mut nats) = (Upstream::start().await, Nats::start_with(&users).await);
    let url = nats.url().replace("nats://", &format!("nats://gate:{PASSWORD}@"));
    let setup = Setup::with_model("m", &upstream)
        .section("nats", &json!({"url": url}))
        .section("log", &json!({"filter": "trace"}));
    let headgate = Headgate::start_on(Topology::AllInOne, &setup).await;
    chat(&headgate, 1).await;
    headgate.only_row().await;
    nats.kill();
    until_metric(&headgate, "headgate_nats_connected", 0).await;
    nats.restart().await;
    chat(&headgate, 1).await;
    headgate.rows(2).await;
    assert!(headgate.logs().contains(r#""level":"TRACE""#), "not everything was logged");
    assert!(!headgate.logs().contains(PASSWORD), "the password stands in the log");
    let metrics = headgate.ops().get("/metrics").await.expect(200).text();
    assert!(!metrics.contains(PASSWORD));
}

#[tokio::test]
async fn what_budget_writes_for_a_router_that_never_returns_goes_the_same_way() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(100, Duration::from_millis(25)));
    let setup = Setup::with_model("m", &upstream).section("budget", &json!({"lease_ttl_ms": 2000}));
    let mut headgate = Headgate::start_on(Topology::Planes, &setup).await;
    let mut stream = headgate.client().stream(&prompts::stream("m")).await;
    stream.read_content(10).await;
    headgate.node_mut("router").kill();
    drop(stream);
    let row = headgate.only_row().await;
    assert_eq!(row.outcome(), Outcome::Abandoned);

    // It does return: its own account of the same request makes no second row.
    headgate.node_mut("router").restart().await;
    headgate.ready().await;
    upstream.script("m", Answer::default());
    chat(&headgate, 1).await;
    let rows = headgate.rows(2).await;
    assert_eq!(rows[1].lease_id, row.lease_id);
}
