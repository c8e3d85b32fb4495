//! A repeat of a request with an idempotency key gets the first one's answer, and the upstream is asked once.

use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::http::Reply;
use headgate_tests::prompts;
use headgate_tests::setup::{OTHER_KEY, Setup};
use headgate_tests::sse::Event;
use headgate_tests::upstream::{Answer, Behaviour, End, Upstream};
use headgate_tests::wait::eventually;
use serde_json::json;

const HEADER: &str = "idempotency-key";

#[tokio::test]
async fn the_same_request_gets_the_same_answer_once() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let client = headgate.client().with_header(HEADER, "first");
    let first = client.chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    upstream.script("m", Answer { chunks: 9, ..Answer::default() });
    let again = client.chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(upstream.journal().len(), 1);

    // Another key of the gateway, or another idempotency key, is another request.
    let other = headgate.anonymous().with_key(OTHER_KEY).with_header(HEADER, "first");
    assert_ne!(other.chat(&prompts::chat("m")).await.expect(200).body, first.body);
    headgate.client().with_header(HEADER, "second").chat(&prompts::chat("m")).await.expect(200);
    assert_eq!(upstream.journal().len(), 3);
    headgate.rows(3).await;
}

/// A chat, a stream and vectors, each with a key of its own: the bodies, and whether the answer says it was given before.
async fn ask_for_everything(headgate: &Headgate) -> Vec<(String, bool)> {
    let with_key = |key| headgate.client().with_header(HEADER, key);
    let replies = [
        with_key("chat").chat(&prompts::chat("m")).await,
        with_key("stream").stream(&prompts::stream_with_usage("m")).await.into_reply().await,
        with_key("vectors").embed(&prompts::embed("m", &json!(["a", "b"]))).await,
    ];
    let told = |reply: Reply| {
        let replayed = reply.header("idempotent-replayed") == Some("true");
        (reply.expect(200).text(), replayed)
    };
    replies.map(told).into()
}

#[tokio::test]
async fn every_kind_of_answer_is_given_again_as_it_was_even_after_a_restart() {
    let upstream = Upstream::start().await;
    let mut headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let first = ask_for_everything(&headgate).await;
    assert!(first.iter().all(|(_, replayed)| !replayed), "{first:?}");
    assert!(first[1].0.ends_with("data: [DONE]\n\n"), "{first:?}");
    let before = headgate.rows(3).await;

    upstream.script("m", Behaviour::status(500, "out of order"));
    let replayed: Vec<_> = first.into_iter().map(|(body, _)| (body, true)).collect();
    assert_eq!(ask_for_everything(&headgate).await, replayed);
    assert_eq!(headgate.terminate().await, Some(0));
    headgate.restart().await;
    assert_eq!(ask_for_everything(&headgate).await, replayed);
    assert_eq!(upstream.journal().len(), 3);
    assert_eq!(headgate.rows(3).await, before, "an answer given again was billed again");
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let client = headgate.client().with_header(HEADER, "k");
    client.chat(&prompts::chat("m")).await.expect(200);
    let other = prompts::chat_with("m", &json!({"temperature": 1}));
    let refused = client.chat(&other).await.expect(422);
    assert_eq!(refused.error_code(), "idempotency_mismatch");
    assert_eq!(upstream.journal().len(), 1);
}

#[tokio::test]
async fn parallel_repeats_ask_the_upstream_once() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer { first_delay: Duration::from_millis(500), ..Answer::default() });
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = headgate.client().with_header(HEADER, "k");
        running.spawn(async move { client.chat(&prompts::chat("m")).await });
    }
    let replies = running.join_all().await;
    assert!(replies.iter().any(|reply| reply.status == 200));
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!((reply.status, reply.error_code().as_str()), (409, "idempotency_in_progress"));
    }
    assert_eq!(upstream.journal().len(), 1);
    headgate.only_row().await;
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let upstream = Upstream::start().await;
    upstream.script("m", Behaviour::status(500, "out of order"));
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let client = headgate.client().with_header(HEADER, "k");
    client.chat(&prompts::chat("m")).await.expect(502);
    headgate.rows(1).await;
    upstream.script("m", Answer::default());
    eventually(Duration::from_secs(20), "the key to be free", || async {
        Some(client.chat(&prompts::chat("m")).await).filter(|reply| reply.status != 409)
    })
    .await
    .expect(200);
}

#[tokio::test]
async fn a_stream_that_broke_or_was_left_is_not_kept() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let broken = headgate.client().with_header(HEADER, "broken");
    upstream.script("m", Answer::default().ending(End::Reset));
    broken.stream(&prompts::stream("m")).await.read_to_end().await;
    let left = headgate.client().with_header(HEADER, "left");
    upstream.script("m", Answer::paced(100, Duration::from_millis(20)));
    left.stream(&prompts::stream("m")).await.read_content(1).await;
    headgate.rows(2).await;

    upstream.script("m", Answer::default());
    for client in [broken, left] {
        let (events, clean) = client.stream(&prompts::stream("m")).await.read_to_end().await;
        assert!(clean && events.last().is_some_and(Event::is_done), "{events:?}");
    }
    assert_eq!(upstream.journal().len(), 4);
}
