//! What becomes of connections: used again, or not.

use std::time::Duration;

use headgate_inference_adapter::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{BODY, ask, body, client, dialect, target, with_config};
use crate::upstream::{Step, Upstream, answer};

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null},"logprobs":null}]}"#;
/// For the other side to hear that a connection closed.
const A_WHILE: Duration = Duration::from_millis(300);

fn plain() -> Step {
    Step::Write(answer(200, "", ANSWER.as_bytes()))
}

#[tokio::test]
async fn requests_in_a_row_share_a_connection_and_requests_at_once_do_not() {
    let upstream = Upstream::start(vec![Step::Sleep(200), plain()]).await;
    let client = client();
    let chat =
        || async { client.clone().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap() };
    for _ in 0..3 {
        assert_eq!(body(chat().await.get_ref()), ANSWER);
    }
    assert_eq!(upstream.connections(), 1);
    tokio::join!(chat(), chat(), chat());
    assert_eq!(upstream.connections(), 3);
    tokio::join!(chat(), chat(), chat());
    assert_eq!(upstream.connections(), 3);
    let head = upstream.seen()[0].head.to_ascii_lowercase();
    let authority = upstream.base_url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {authority}\r\n")), "{head}");
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_not_used_again() {
    let upstream = Upstream::start(vec![plain(), Step::Close]).await;
    let client = client();
    for made in 1..=3 {
        let response = client.clone().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap();
        assert_eq!(body(response.get_ref()), ANSWER);
        assert_eq!(upstream.connections(), made);
        tokio::time::sleep(A_WHILE).await;
    }
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let (first, last) = ANSWER.split_at(20);
    let upstream = Upstream::start(vec![
        Step::Write(format!("{head}{first}").into_bytes()),
        Step::Sleep(20),
        Step::Write(last.into()),
        Step::Close,
    ])
    .await;
    let client = client();
    for made in 1..=2 {
        let response = client.clone().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap();
        assert_eq!(body(response.get_ref()), ANSWER);
        assert_eq!(upstream.connections(), made);
    }
}

#[tokio::test]
async fn a_connection_is_not_kept_for_ever_nor_are_more_than_allowed() {
    let upstream = Upstream::start(vec![Step::Sleep(200), plain()]).await;
    let brief = Config { pool_idle_ms: 2000, pool_idle_per_upstream: 1, ..Config::default() };
    let (client, _) = with_config(brief);
    let chat =
        || async { client.clone().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap() };
    tokio::join!(chat(), chat());
    assert_eq!(upstream.connections(), 2);
    tokio::join!(chat(), chat());
    assert_eq!(upstream.connections(), 3, "one of two was kept");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    chat().await;
    assert_eq!(upstream.connections(), 4);
}

#[tokio::test]
async fn a_connection_with_more_on_it_than_the_answer_is_not_used_again() {
    for extra in ["x", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"] {
        let both = [&answer(200, "", ANSWER.as_bytes()), extra.as_bytes()].concat();
        let upstream = Upstream::start(vec![Step::Write(both)]).await;
        let client = client();
        for made in 1..=2 {
            let response = client.clone().chat(ask(target(&upstream.base_url), dialect(BODY))).await.unwrap();
            assert_eq!((body(response.get_ref()), upstream.connections()), (ANSWER.into(), made));
        }
    }
}

#[tokio::test]
async fn an_answer_is_read_before_all_of_the_request_was_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let upstream = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        // The head, and no more than a socket takes of the body before its reader does.
        assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
        let refusal = r#"{"error":{"message":"too long a prompt","type":"invalid_request_error"}}"#;
        socket.write_all(&answer(413, "connection: close\r\n", refusal.as_bytes())).await.unwrap();
        // As servers do, lest what is still coming resets what they said.
        let mut rest = 0;
        while let Ok(n @ 1..) = socket.read(&mut [0; 65536]).await {
            rest += n;
        }
        rest
    });
    let huge = BODY.replace("hi", &"x".repeat(16 << 20));
    assert!(huge.len() > 16 << 20, "the body is as it was");
    let refused = client().chat(ask(target(&base_url), dialect(huge))).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::InvalidArgument, "too long a prompt"));
    // It did not have to be sent in full.
    assert!(
        tokio::time::timeout(Duration::from_secs(5), upstream).await.expect("closed").unwrap() < 16 << 20
    );
}
