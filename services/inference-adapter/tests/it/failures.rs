//! What upstreams do wrong, as the contract tells it.

use std::time::Duration;

use headgate_inference_adapter::Config;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason as R;
use headgate_proto::adapter::v1::ChatRequest;

use crate::support::{BODY, SECRET, ask, ask_stream, client, dialect, stream, target, with_config};
use crate::upstream::{Step, Upstream, chunk, last_chunk, stream_head};

async fn chat(request: ChatRequest) -> Failure {
    Failure::from_status(&client().chat(request).await.unwrap_err())
}

#[tokio::test]
async fn a_status_means_the_same_whole_and_streamed() {
    let body = r#"{"error":{"message":"about sk-planted-secret","type":"t","param":"p","code":"c"}}"#;
    let said = "about [redacted]";
    let refused = "the upstream refused Headgate's credential";
    for (status, reason, message) in [
        (200, R::UpstreamInvalid, said),
        (201, R::UpstreamInvalid, said),
        (302, R::UpstreamInvalid, said),
        (400, R::UpstreamRejected, said),
        (401, R::UpstreamCredential, refused),
        (403, R::UpstreamCredential, refused),
        (404, R::UpstreamRejected, said),
        (408, R::UpstreamTimeout, said),
        (422, R::UpstreamRejected, said),
        (429, R::UpstreamRateLimited, said),
        (500, R::UpstreamFailed, said),
        (503, R::UpstreamFailed, said),
        (504, R::UpstreamTimeout, said),
    ] {
        let upstream = Upstream::answering(status, "retry-after: 3\r\nlocation: /elsewhere\r\n", body).await;
        let whole = chat(ask(target(&upstream.base_url), dialect(BODY))).await;
        let streamed = ask_stream(target(&upstream.base_url), dialect(BODY), true);
        assert_eq!(stream(&mut client(), streamed).await.unwrap_err(), whole);
        assert_eq!((whole.reason, whole.message.as_str()), (reason, message), "{status}");
        assert_eq!(whole.metadata["upstream_status"], status.to_string());
        assert_eq!(whole.metadata.contains_key("upstream_code"), reason != R::UpstreamCredential);
        let waits = status == 429 || status >= 500;
        assert_eq!(whole.retry_after, waits.then_some(Duration::from_secs(3)), "{status}");
        assert!(!format!("{whole:?}").contains(SECRET));
        // One attempt a call: no redirect is followed, nothing is tried again.
        assert_eq!(upstream.seen().len(), 2);
        assert!(upstream.seen()[0].head.contains(SECRET));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_invalid() {
    let garbage = ["", "<html>", "{}", "[]", "{\"choices\":3}"];
    for body in garbage {
        let upstream = Upstream::answering(200, "", body).await;
        assert_eq!(
            chat(ask(target(&upstream.base_url), dialect(BODY))).await.reason,
            R::UpstreamInvalid,
            "{body}"
        );
        let streamed = ask_stream(target(&upstream.base_url), dialect(BODY), true);
        assert_eq!(stream(&mut client(), streamed).await.unwrap_err().reason, R::UpstreamInvalid, "{body}");
    }
    let upstream =
        Upstream::start(vec![Step::Write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), Step::Close]).await;
    assert_eq!(chat(ask(target(&upstream.base_url), dialect(BODY))).await.reason, R::UpstreamInvalid);
    // A stream in answer to a whole question.
    let upstream = Upstream::start(vec![stream_head(), chunk("data: [DONE]\n\n"), last_chunk()]).await;
    assert_eq!(chat(ask(target(&upstream.base_url), dialect(BODY))).await.reason, R::UpstreamInvalid);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_has_failed() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for base_url in [format!("http://{gone}/v1"), "http://nowhere.invalid/v1".into()] {
        let failure = chat(ask(target(&base_url), dialect(BODY))).await;
        assert_eq!(
            (failure.reason, failure.message.as_str()),
            (R::UpstreamFailed, "the upstream cannot be reached")
        );
    }
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec();
    for steps in [vec![Step::Reset], vec![Step::Close], vec![Step::Write(half), Step::Reset]] {
        let upstream = Upstream::start(steps).await;
        let failure = chat(ask(target(&upstream.base_url), dialect(BODY))).await;
        assert_eq!(
            (failure.reason, failure.message.as_str()),
            (R::UpstreamFailed, "the connection to the upstream broke")
        );
    }
}

#[tokio::test]
async fn a_credential_of_another_provider_is_never_sent() {
    let upstream = Upstream::answering(200, "", "{}").await;
    let mut stolen = target(&upstream.base_url);
    stolen.provider_id = "provider_2".into();
    let failure = chat(ask(stolen, dialect(BODY))).await;
    assert_eq!(failure.reason, R::UpstreamCredential);
    assert!(upstream.seen().is_empty());
    // Without one, none is sent.
    let mut open = target(&upstream.base_url);
    open.credential = None;
    chat(ask(open, dialect(BODY))).await;
    assert!(!upstream.seen()[0].head.contains("authorization"));
}

#[tokio::test]
async fn attempts_are_counted_by_their_end() {
    let upstream = Upstream::answering(429, "", "").await;
    let (mut client, registry) = with_config(Config::default());
    let request = ask(target(&upstream.base_url), dialect(BODY));
    assert!(!format!("{request:?}").contains(SECRET));
    client.chat(request).await.unwrap_err();
    client.chat(ask(crate::support::echo(), dialect(BODY))).await.unwrap();
    let metrics = headgate_kit::metrics::render(&registry);
    for line in [
        "headgate_adapter_attempts_total{outcome=\"upstream_rate_limited\",provider=\"provider_1\"} 1",
        "headgate_adapter_attempts_total{outcome=\"ok\",provider=\"echo\"} 1",
        "headgate_adapter_upstream_duration_seconds_count{provider=\"provider_1\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains(SECRET));
}
