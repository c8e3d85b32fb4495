//! P2: every admitted request is exactly one ledger row, however it ends.

use std::time::{Duration, Instant};

use headgate_proto::record::v1::{Outcome, UsageRecord};
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::Setup;
use headgate_tests::upstream::{Answer, Behaviour, Entry, Upstream};
use headgate_tests::wait::{at_best, eventually};

/// How long after a hang-up the upstream may notice it.
const NOTICE: Duration = Duration::from_millis(100);

/// The upstream's view of the only request, once its connection is closed.
async fn closed(upstream: &Upstream) -> Entry {
    eventually(Duration::from_secs(5), "the upstream's connection to close", || async {
        Some(upstream.only_request()).filter(|entry| entry.closed_early_at.is_some())
    })
    .await
}

/// How long after the client the upstream's connection was closed.
fn notice(entry: &Entry, hung_up: Instant) -> Duration {
    entry.closed_early_at.unwrap().saturating_duration_since(hung_up)
}

/// What a hang-up owes: one row, marked, with tokens between what the client got and what was produced.
fn assert_billed(row: &UsageRecord, delivered: usize, entry: &Entry) {
    assert_eq!((row.outcome(), row.status_code), (Outcome::Cancelled, 499));
    assert!(row.estimated);
    let delivered = u32::try_from(delivered).unwrap();
    assert!(
        (delivered..=entry.tokens).contains(&row.completion_tokens),
        "billed {}, delivered {delivered}, produced {}",
        row.completion_tokens,
        entry.tokens,
    );
    assert!(row.prompt_tokens > 0);
}

async fn hang_up_at(chunk: usize) {
    at_best(NOTICE, "closing the upstream", async || hung_up_at(chunk).await).await;
}

async fn hung_up_at(chunk: usize) -> Duration {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(100, Duration::from_millis(25)));
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mut stream = headgate.client().stream(&prompts::stream_with_usage("m")).await;
    stream.read_content(chunk).await;
    let hung_up = stream.hang_up();
    let entry = closed(&upstream).await;
    let row = headgate.only_row().await;
    assert_billed(&row, chunk, &entry);
    assert!(row.ttft_ms.is_some());
    notice(&entry, hung_up)
}

#[tokio::test]
async fn a_hang_up_at_chunk_1_is_one_estimated_row() {
    hang_up_at(1).await;
}

#[tokio::test]
async fn a_hang_up_at_chunk_50_is_one_estimated_row() {
    hang_up_at(50).await;
}

#[tokio::test]
async fn a_hang_up_at_chunk_99_is_one_estimated_row() {
    hang_up_at(99).await;
}

/// Hangs up while nothing of the answer has come.
async fn hang_up_before_the_first_byte(request: serde_json::Value) {
    let hang_up = async || hung_up_before_the_first_byte(request.clone()).await;
    at_best(NOTICE, "closing the upstream", hang_up).await;
}

async fn hung_up_before_the_first_byte(request: serde_json::Value) -> Duration {
    let upstream = Upstream::start().await;
    upstream.script("m", Behaviour::HangBeforeHead);
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let client = headgate.client();
    let waiting = tokio::spawn(async move { client.chat(&request).await });
    eventually(Duration::from_secs(5), "the request to arrive", || async {
        (!upstream.journal().is_empty()).then_some(())
    })
    .await;
    waiting.abort();
    let hung_up = Instant::now();
    let entry = closed(&upstream).await;
    let row = headgate.only_row().await;
    assert_billed(&row, 0, &entry);
    assert!(row.ttft_ms.is_none());
    notice(&entry, hung_up)
}

#[tokio::test]
async fn a_hang_up_before_the_first_byte_of_a_stream_is_one_estimated_row() {
    hang_up_before_the_first_byte(prompts::stream("m")).await;
}

#[tokio::test]
async fn a_hang_up_on_a_whole_answer_is_one_estimated_row() {
    hang_up_before_the_first_byte(prompts::chat("m")).await;
}

#[tokio::test]
async fn a_crash_in_mid_stream_leaves_one_abandoned_row() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(100, Duration::from_millis(25)));
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;

    let mut stream = headgate.client().stream(&prompts::stream("m")).await;
    stream.read_content(50).await;
    headgate.kill();
    drop(stream);
    headgate.restart().await;

    let rows = headgate.rows(2).await;
    let row = rows.iter().find(|row| row.streamed).unwrap();
    assert_eq!(row.outcome(), Outcome::Abandoned);
    assert!(row.estimated && row.prompt_tokens > 0);
    let produced = upstream.journal()[1].tokens;
    assert!(row.completion_tokens <= produced, "billed {}, produced {produced}", row.completion_tokens);
    assert!(row.completion_tokens > 0, "half of a long answer was delivered, and nothing is billed");

    // What is in the ledger stays there once, however often the spool is read again.
    headgate.kill();
    headgate.restart().await;
    headgate.rows(2).await;
}

#[tokio::test]
async fn a_crash_loses_no_row_that_was_answered() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    for _ in 0..20 {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
    }
    headgate.kill();
    headgate.restart().await;
    let rows = headgate.rows(20).await;
    assert!(rows.iter().all(|row| !row.estimated && row.completion_tokens == 5));
}

#[tokio::test]
async fn many_parallel_requests_of_all_kinds_are_as_many_rows() {
    let upstream = Upstream::start().await;
    upstream.script("slow", Answer::paced(20, Duration::from_millis(20)));
    upstream.script("broken", Behaviour::status(500, "out of order"));
    let setup = Setup::with_model("m", &upstream).model("slow", &["mock"]).model("broken", &["mock"]);
    let headgate = Headgate::start(&setup).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..100 {
        let client = headgate.client();
        running.spawn(async move {
            match number % 4 {
                0 => drop(client.chat(&prompts::chat("m")).await.expect(200)),
                1 => drop(client.stream(&prompts::stream("m")).await.read_to_end().await),
                2 => drop(client.chat(&prompts::chat("broken")).await.expect(502)),
                _ => {
                    let mut stream = client.stream(&prompts::stream("slow")).await;
                    stream.read_content(3).await;
                }
            }
        });
    }
    running.join_all().await;
    let rows = headgate.rows(100).await;
    let with = |outcome| rows.iter().filter(|row| row.outcome() == outcome).count();
    assert_eq!((with(Outcome::Succeeded), with(Outcome::Failed), with(Outcome::Cancelled)), (50, 25, 25));
    let mut leases: Vec<_> = rows.iter().map(|row| &row.lease_id).collect();
    leases.sort();
    leases.dedup();
    assert_eq!(leases.len(), 100);
    assert_eq!(upstream.journal().len(), 100);
}
