use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{Server, prompt, request, soon};
use crate::Config;

/// Writes `bytes` and reads until the edge closes.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A reset is a close with bytes unread; either will do.
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await.expect("still open");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_length_alone() {
    let server = Server::start(Config { max_prompt_body_bytes: 1000, ..Config::default() }).await;
    let exact = format!("{:1000}", prompt("echo", false));
    assert_eq!(server.chat(&exact).await.status, 200);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ncontent-length: 1001\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn paths_that_read_no_body_take_no_large_one_either() {
    let server = Server::start(Config { max_body_bytes: 10, ..Config::default() }).await;
    for (length, status) in [(10, "200"), (11, "413")] {
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = raw(&server, &[request.into_bytes(), vec![b' '; length]].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_while_it_comes() {
    let server = Server::start(Config { max_prompt_body_bytes: 1000, ..Config::default() }).await;
    let mut bytes = b"POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".to_vec();
    for _ in 0..2 {
        bytes.extend(b"258\r\n");
        bytes.extend([b' '; 600]);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    let answer = raw(&server, &bytes).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
    assert!(server.router.seen.lock().is_empty());
}

#[tokio::test]
async fn only_a_large_body_needs_an_introduction() {
    let server = Server::start(Config::default()).await;
    let body = prompt("echo", false);
    let of_length = |length: usize| body.clone() + &" ".repeat(length - body.len());
    assert_eq!(server.chat(&of_length(256 << 10)).await.status, 200);
    assert_eq!(server.chat(&of_length((256 << 10) + 1)).await.status, 200);
    let methods: Vec<_> = server.router.seen.lock().iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["Chat", "CheckKey", "Chat"]);
}

#[tokio::test]
async fn a_refused_client_may_finish_writing_and_reads_why() {
    let server = Server::start(Config { max_prompt_body_bytes: 8 << 20, ..Config::default() }).await;
    for (content_type, length, status) in
        [("text/plain", 8 << 20, "400"), ("application/json", 8_388_609, "413")]
    {
        let head = format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\
             content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = raw(&server, &[head.into_bytes(), vec![b' '; length]].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_body_or_head_or_none_is_not_waited_for() {
    let config = Config { body_read_timeout_ms: 100, header_read_timeout_ms: 100, ..Config::default() };
    let server = Server::start(config).await;
    let head = b"POST /v1/embeddings HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-length: 5\r\n\r\n{";
    let answer = raw(&server, head).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("did not arrive in time"), "{answer}");
    for silent in [&b""[..], b"PRI * HT", b"GET /ping HTTP/1.1\r\nx: "] {
        assert!(!raw(&server, silent).await.contains("200 OK"));
    }
    let idle = raw(&server, b"GET /ping HTTP/1.1\r\nhost: e\r\n\r\n").await;
    assert!(idle.ends_with("pong"));
}

#[tokio::test]
async fn http2_is_spoken_to_those_who_begin_with_it() {
    let server = Server::start(Config::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = prompt("echo", true);
    let uri = "http://edge/v1/chat/completions";
    let sent = http::Request::post(uri).body(Full::from(body)).unwrap();
    let answer = client.send_request(sent).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(answer.collect().await.unwrap().to_bytes().ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let server = Server::start(Config { max_connections: 1, ..Config::default() }).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    soon(async {
        while !server.metric("headgate_edge_open_connections 1") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let second = server.get("/ping");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(Duration::from_millis(100), second.as_mut()).await.is_err());
    drop(first);
    assert_eq!(second.await.body, "pong");
}

#[tokio::test]
async fn a_stop_lets_running_answers_finish_and_closes_idle_connections() {
    let server = Server::start(Config::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /ping HTTP/1.1\r\nhost: e\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    let body = prompt("slow", false);
    let (answer, ()) = tokio::join!(server.chat(&body), async {
        server.router.waiting.notified().await;
        server.stop.cancel();
    });
    assert_eq!(answer.status, 200);
    // Within the grace of two seconds.
    tokio::time::timeout(Duration::from_millis(1900), server.served).await.expect("still serving").unwrap();
    while idle.read(&mut [0; 1024]).await.unwrap() > 0 {}
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_runs_longer_than_the_grace_is_cut_off() {
    let server = Server::start(Config::default()).await;
    let sent = request("POST", "/v1/chat/completions", &prompt("waits", true));
    let (response, _connection) = server.send(sent).await;
    let begun = Instant::now();
    server.stop.cancel();
    server.served.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    server.router.dropped.notified().await;
    assert!(response.collect().await.is_err(), "a stream that was cut off must not look complete");
}
