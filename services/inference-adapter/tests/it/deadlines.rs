//! Silent upstreams: each deadline by itself.

use std::time::{Duration, Instant};

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::adapter::v1::Deadlines;

use crate::support::{BODY, CHUNK, ask, ask_stream, client, dialect, hasty, stream};
use crate::upstream::{Step, Upstream, chunk, stream_head};

const LONG: u32 = 20_000;

fn all() -> Deadlines {
    Deadlines { connect_ms: LONG, first_byte_ms: LONG, inter_chunk_ms: LONG, total_ms: LONG }
}

fn assert_passed(failure: &Failure, name: &str, began: Instant, ms: u64) {
    let took = began.elapsed();
    assert_eq!((failure.reason, failure.metadata["deadline"].as_str()), (ErrorReason::UpstreamTimeout, name));
    assert!(took >= Duration::from_millis(ms) && took < Duration::from_millis(ms + 3000), "{took:?}");
}

#[tokio::test]
async fn a_connection_that_does_not_come() {
    // A listener whose queue is full drops what comes, as an address behind a firewall does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || async {
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    };
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = fill().await {
        queue.push(stream);
        assert!(queue.len() < 64, "the queue does not fill");
    }
    let target = hasty(&format!("http://{address}/v1"), Deadlines { connect_ms: 100, ..all() });
    let began = Instant::now();
    let status = client().chat(ask(target, dialect(BODY))).await.unwrap_err();
    assert_passed(&Failure::from_status(&status), "connect", began, 100);
}

#[tokio::test]
async fn a_head_that_does_not_come() {
    let mut upstream = Upstream::start(vec![Step::Hold]).await;
    let began = Instant::now();
    let target = hasty(&upstream.base_url, Deadlines { first_byte_ms: 100, ..all() });
    let failure = stream(&mut client(), ask_stream(target.clone(), dialect(BODY), true)).await.unwrap_err();
    assert_passed(&failure, "first_byte", began, 100);
    upstream.closed().await;
    let began = Instant::now();
    let status = client().chat(ask(target, dialect(BODY))).await.unwrap_err();
    assert_passed(&Failure::from_status(&status), "first_byte", began, 100);
}

#[tokio::test]
async fn a_first_content_that_does_not_come() {
    // Comments and the role are no content.
    let role =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n";
    let mut steps = vec![stream_head()];
    for _ in 0..20 {
        steps.extend([Step::Sleep(20), chunk(role), chunk(": ping\n\n")]);
    }
    steps.push(Step::Hold);
    let upstream = Upstream::start(steps).await;
    let began = Instant::now();
    let target = hasty(&upstream.base_url, Deadlines { first_byte_ms: 150, ..all() });
    let got = stream(&mut client(), ask_stream(target, dialect(BODY), true)).await.unwrap();
    assert_passed(&got.failure.unwrap(), "first_byte", began, 150);
}

#[tokio::test]
async fn a_stream_that_falls_silent() {
    let mut steps = vec![stream_head()];
    steps.extend([chunk(CHUNK), Step::Sleep(400), chunk(CHUNK), Step::Sleep(400), chunk(CHUNK), Step::Hold]);
    let mut upstream = Upstream::start(steps).await;
    let began = Instant::now();
    let target = hasty(&upstream.base_url, Deadlines { inter_chunk_ms: 700, ..all() });
    let got = stream(&mut client(), ask_stream(target, dialect(BODY), true)).await.unwrap();
    assert_passed(&got.failure.unwrap(), "inter_chunk", began, 1500);
    assert_eq!(got.content_chunks, 3);
    upstream.closed().await;
}

#[tokio::test]
async fn a_slow_consumer_is_not_the_upstreams_fault() {
    let mut steps = vec![stream_head()];
    steps.extend((0..3).flat_map(|_| [chunk(CHUNK), Step::Sleep(50)]));
    steps.extend([Step::Sleep(300), Step::Hold]);
    let upstream = Upstream::start(steps).await;
    let target = hasty(&upstream.base_url, Deadlines { inter_chunk_ms: 250, ..all() });
    let mut stream =
        client().stream_chat(ask_stream(target, dialect(BODY), true)).await.unwrap().into_inner();
    let mut content_chunks = 0;
    while content_chunks < 3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        content_chunks += stream.message().await.unwrap().unwrap().content_chunks;
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_in_all() {
    let mut steps = vec![stream_head()];
    steps.extend((0..50).flat_map(|_| [chunk(CHUNK), Step::Sleep(20)]));
    let upstream = Upstream::start(steps).await;
    let began = Instant::now();
    let target = hasty(&upstream.base_url, Deadlines { total_ms: 200, ..all() });
    let got = stream(&mut client(), ask_stream(target, dialect(BODY), true)).await.unwrap();
    assert_passed(&got.failure.unwrap(), "total", began, 200);

    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec();
    let upstream = Upstream::start(vec![Step::Write(half), Step::Hold]).await;
    let began = Instant::now();
    let target = hasty(&upstream.base_url, Deadlines { total_ms: 200, ..all() });
    let status = client().chat(ask(target, dialect(BODY))).await.unwrap_err();
    assert_passed(&Failure::from_status(&status), "total", began, 200);
}
