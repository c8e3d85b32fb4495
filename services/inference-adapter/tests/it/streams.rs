//! Streams: their bytes, their ends, and their being dropped.

use std::time::{Duration, Instant};

use headgate_kit::error::ErrorReason;

use crate::support::{
    BODY, CHUNK, DONE, FINISH, USAGE, ask_stream, client, dialect, stream, target, typed, with_config,
};
use crate::upstream::{Step, Upstream, chunk, last_chunk, stream_head};

async fn serving(pieces: &[&str], end: Vec<Step>) -> Upstream {
    let mut steps = vec![stream_head()];
    steps.extend(pieces.iter().flat_map(|piece| [chunk(piece), Step::Sleep(3)]));
    steps.extend(end);
    Upstream::start(steps).await
}

#[tokio::test]
async fn any_cut_gives_the_same_events_and_usage_is_asked_for_and_hidden() {
    let all = [": ping\n\n", CHUNK, CHUNK, FINISH, USAGE, DONE].concat();
    for cut in [1, 30, CHUNK.len() + 8, all.len() - 3] {
        let (first, second) = all.split_at(cut);
        let upstream = serving(&[first, second], vec![last_chunk()]).await;
        for include_usage in [true, false] {
            let ask = ask_stream(target(&upstream.base_url), dialect(BODY), include_usage);
            let got = stream(&mut client(), ask).await.unwrap();
            let expected = if include_usage { all.clone() } else { all.replace(USAGE, "") };
            assert_eq!((got.events, got.failure), (expected, None));
            assert_eq!((got.content_chunks, got.usage.len()), (2, 1));
            assert_eq!((got.usage[0].prompt_tokens, got.usage[0].completion_tokens), (3, 2));
        }
        let sent: serde_json::Value = serde_json::from_slice(&upstream.seen().remove(0).body).unwrap();
        assert_eq!(sent["stream"], true);
        assert_eq!(sent["stream_options"]["include_usage"], true);
        // All else is as it was, numbers that no parser can hold included.
        let sent = String::from_utf8(upstream.seen().remove(0).body).unwrap();
        assert!(sent.ends_with(&BODY.replace("mine", "theirs")[1..]), "{sent}");
    }
}

#[tokio::test]
async fn events_are_not_held_back() {
    let upstream = serving(&[CHUNK], vec![Step::Hold]).await;
    let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
    let mut stream = client().stream_chat(ask).await.unwrap().into_inner();
    let piece = tokio::time::timeout(Duration::from_secs(1), stream.message()).await.unwrap();
    assert_eq!(piece.unwrap().unwrap().content_chunks, 1);
}

#[tokio::test]
async fn typed_streams_are_translated() {
    let upstream = serving(&[CHUNK, CHUNK, FINISH, USAGE, DONE], vec![last_chunk()]).await;
    let ask = ask_stream(target(&upstream.base_url), typed("hi"), false);
    let got = stream(&mut client(), ask).await.unwrap();
    assert_eq!((got.typed.as_str(), got.content_chunks, got.usage.len()), ("aa", 2, 1));
    let sent: serde_json::Value = serde_json::from_slice(&upstream.seen().remove(0).body).unwrap();
    assert_eq!((&sent["stream"], &sent["stream_options"]["include_usage"]), (&true.into(), &true.into()));
}

#[tokio::test]
async fn a_stream_that_breaks_never_ends_well() {
    const ERROR: &str =
        "data: {\"error\":{\"message\":\"out of memory sk-planted-secret\",\"type\":\"server_error\"}}\n\n";
    let cases: Vec<(&[&str], Vec<Step>, ErrorReason, &str)> = vec![
        (&[CHUNK], vec![Step::Reset], ErrorReason::UpstreamFailed, "the connection to the upstream broke"),
        (&[CHUNK], vec![Step::Close], ErrorReason::UpstreamFailed, "the connection to the upstream broke"),
        (&[CHUNK], vec![last_chunk()], ErrorReason::UpstreamFailed, "the upstream ended the stream early"),
        (
            &[CHUNK, "data: {"],
            vec![last_chunk()],
            ErrorReason::UpstreamFailed,
            "the upstream ended the stream early",
        ),
        (&[CHUNK, ERROR], vec![Step::Hold], ErrorReason::UpstreamFailed, "out of memory [redacted]"),
        (
            &[CHUNK, "data: <html>\n\n"],
            vec![Step::Hold],
            ErrorReason::UpstreamInvalid,
            "the upstream's stream holds data that is no JSON object",
        ),
    ];
    for (pieces, end, reason, message) in cases {
        let upstream = serving(pieces, end).await;
        let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
        let got = stream(&mut client(), ask).await.unwrap();
        let failure = got.failure.unwrap();
        assert_eq!((got.events.as_str(), failure.reason, failure.message.as_str()), (CHUNK, reason, message));
    }
}

#[tokio::test]
async fn a_server_without_the_end_marker_is_understood() {
    let upstream = serving(&[CHUNK, FINISH, USAGE], vec![last_chunk()]).await;
    let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
    let got = stream(&mut client(), ask).await.unwrap();
    assert_eq!((got.events, got.failure), ([CHUNK, FINISH, USAGE, DONE].concat(), None));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_upstream_at_once() {
    for pieces in [&[CHUNK][..], &[]] {
        at_best(async || closed_after(pieces).await).await;
    }
}

/// Passes when one of five tries is prompt: a busy machine may hold back one or the other.
async fn at_best(mut attempt: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 5 && took.last().is_none_or(|took| *took >= Duration::from_millis(100)) {
        took.push(attempt().await);
    }
    assert!(took.last().unwrap() < &Duration::from_millis(100), "{took:?}");
}

async fn closed_after(pieces: &[&str]) -> Duration {
    let mut upstream = serving(pieces, vec![Step::Hold]).await;
    let (mut client, registry) = with_config(headgate_inference_adapter::Config::default());
    let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
    let mut stream = client.stream_chat(ask).await.unwrap().into_inner();
    if !pieces.is_empty() {
        stream.message().await.unwrap();
    }
    let dropped = Instant::now();
    drop(stream);
    let took = upstream.closed().await.duration_since(dropped);
    let metrics = headgate_kit::metrics::render(&registry);
    let line = "headgate_adapter_attempts_total{outcome=\"cancelled\",provider=\"provider_1\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    took
}

#[tokio::test]
async fn dropping_a_call_that_waits_closes_the_upstream_at_once() {
    at_best(async || {
        let mut upstream = Upstream::start(vec![Step::Hold]).await;
        let mut client = client();
        let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
        assert!(tokio::time::timeout(Duration::from_millis(300), client.stream_chat(ask)).await.is_err());
        let dropped = Instant::now();
        upstream.closed().await.duration_since(dropped)
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_read_to_its_end_gives_its_connection_back() {
    // The end of the body comes with the end marker, or after it.
    for pause in [0, 600] {
        let mut steps = vec![stream_head(), chunk(CHUNK), chunk(DONE)];
        steps.extend((pause > 0).then_some(Step::Sleep(pause)));
        steps.push(last_chunk());
        let upstream = Upstream::start(steps).await;
        let mut client = client();
        for _ in 0..2 {
            let ask = ask_stream(target(&upstream.base_url), dialect(BODY), true);
            let began = Instant::now();
            assert_eq!(stream(&mut client, ask).await.unwrap().failure, None);
            // Nobody waits for the rest.
            assert!(began.elapsed() < Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(pause + 600)).await;
        }
        assert_eq!((upstream.seen().len(), upstream.connections()), (2, 1), "pause {pause}");
    }
}
