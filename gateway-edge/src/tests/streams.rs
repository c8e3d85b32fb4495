use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::server::{Server, prompt, request, soon};
use crate::Config;

#[tokio::test]
async fn events_pass_unmodified_and_only_they() {
    let server = Server::start(Config::default()).await;
    let answer = server.chat(&prompt("echo", true)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    assert_eq!(answer.headers["transfer-encoding"], "chunked");
    assert_eq!(answer.headers["x-budget-remaining"], "0.5");
    let expected = "data: {\"n\":1}\n\ndata: {\"n\":2}\n\ndata: {\"n\":3}\n\ndata: [DONE]\n\n";
    assert_eq!(answer.body, expected);
    assert_eq!(server.seen().method, "StreamChat");
}

#[tokio::test]
async fn a_broken_stream_ends_in_an_error_and_not_in_done() {
    let server = Server::start(Config::default()).await;
    let answer = server.chat(&prompt("breaks", true)).await;
    let body = std::str::from_utf8(&answer.body).unwrap();
    let (first, last) = body.split_once("\n\n").unwrap();
    assert_eq!(first, "data: {\"n\":1}");
    let last = last.strip_prefix("data: ").and_then(|l| l.strip_suffix("\n\n")).unwrap();
    let error = json!({"message": "the upstream broke off", "type": "api_error", "param": null,
        "code": "upstream_failed"});
    let request_id = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(last).unwrap(),
        json!({"error": error, "request_id": request_id})
    );
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_and_ends_with_its_client() {
    let server = Server::start(Config { keep_alive_comment_ms: 50, ..Config::default() }).await;
    let request = request("POST", "/v1/chat/completions", &prompt("waits", true));
    let (mut response, connection) = server.send(request).await;
    for expected in ["data: {\"n\":1}\n\n", ": keep-alive\n\n", ": keep-alive\n\n"] {
        let frame = tokio::time::timeout(Duration::from_secs(2), response.frame()).await.unwrap();
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), expected);
    }
    drop(response);
    connection.abort();
    soon(server.router.dropped.notified()).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_mid_stream_drops_the_call() {
    let server = Server::start(Config::default()).await;
    let request = request("POST", "/v1/chat/completions", &prompt("waits", true));
    let (mut response, connection) = server.send(request).await;
    assert!(response.frame().await.unwrap().is_ok());
    server.router.waiting.notified().await;
    drop(response);
    connection.abort();
    // Long before a keep-alive comment could have found the closed socket.
    soon(server.router.dropped.notified()).await;
}
