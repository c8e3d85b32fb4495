//! P9: what clients can make the process hold is bounded at every listener.

use std::pin::pin;
use std::time::Duration;

use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{
    ChatRequest, Dialect, DialectBody, ListModelsRequest, StreamChatRequest, chat_request,
};
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::upstream::{Answer, End, Upstream};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Much longer than an answer takes that need not wait.
const A_WHILE: Duration = Duration::from_millis(500);
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn grpc_connections_beyond_the_bound_wait() {
    let headgate = Headgate::start(&Setup::new().section("grpc", &json!({"max_connections": 1}))).await;
    let mut first = InferenceServiceClient::new(headgate.grpc(KEY).await);
    first.list_models(ListModelsRequest::default()).await.unwrap();
    let mut second = pin!(async {
        InferenceServiceClient::new(headgate.grpc(KEY).await).list_models(ListModelsRequest::default()).await
    });
    assert!(timeout(A_WHILE, second.as_mut()).await.is_err(), "there were two");
    drop(first);
    timeout(SOON, second).await.expect("a slot is free").unwrap();
}

#[tokio::test]
async fn grpc_streams_of_a_connection_beyond_the_bound_wait() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::default().ending(End::Hang));
    let setup = Setup::with_model("m", &upstream).section("grpc", &json!({"max_streams_per_connection": 1}));
    let headgate = Headgate::start(&setup).await;
    let mut client = InferenceServiceClient::new(headgate.grpc(KEY).await);
    let body = prompts::stream("m").to_string().into();
    let body = DialectBody { dialect: Dialect::OpenaiChat.into(), body };
    let encoding = Some(chat_request::Encoding::Dialect(body));
    let request = ChatRequest { model: "m".into(), encoding, ..ChatRequest::default() };
    let mut first =
        client.stream_chat(StreamChatRequest { request: Some(request) }).await.unwrap().into_inner();
    assert!(first.message().await.unwrap().is_some());
    let mut second = pin!(client.list_models(ListModelsRequest::default()));
    assert!(timeout(A_WHILE, second.as_mut()).await.is_err(), "there were two");
    drop(first);
    timeout(SOON, second).await.expect("its turn").unwrap();
}

#[tokio::test]
async fn ops_connections_beyond_the_bound_wait() {
    let headgate = Headgate::start(&Setup::new().section("ops", &json!({"max_connections": 1}))).await;
    let first = TcpStream::connect(headgate.listeners().ops).await.unwrap();
    let ops = headgate.ops();
    let mut second = pin!(ops.get("/livez"));
    assert!(timeout(A_WHILE, second.as_mut()).await.is_err(), "there were two");
    drop(first);
    timeout(SOON, second).await.expect("a slot is free").expect(200);
}

/// The status line of the answer to the beginning of a request whose end never comes.
async fn answered(headgate: &Headgate, head: &str, begin: &[u8], within: Duration) -> Option<String> {
    let mut stream = TcpStream::connect(headgate.listeners().edge).await.unwrap();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(begin).await.unwrap();
    let mut status = [0; "HTTP/1.1 401".len()];
    timeout(within, stream.read_exact(&mut status)).await.ok()?.unwrap();
    Some(String::from_utf8_lossy(&status).into_owned())
}

#[tokio::test]
async fn a_stranger_cannot_make_the_edge_hold_a_large_body() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let declared = format!("content-length: {}", 8 << 20);
    let chunk = [b"60000\r\n".as_slice(), &[b' '; 0x60000], b"\r\n"].concat();
    let refused = Some("HTTP/1.1 401".to_owned());
    for stranger in ["x-not: a key", "authorization: Bearer sk-acme.guessed"] {
        assert_eq!(answered(&headgate, &format!("{stranger}\r\n{declared}"), b"{", SOON).await, refused);
        let chunked = format!("{stranger}\r\ntransfer-encoding: chunked");
        assert_eq!(answered(&headgate, &chunked, &chunk, SOON).await, refused);
    }
    // Who is known is waited for, and answered.
    let known = format!("authorization: Bearer {KEY}\r\n{declared}");
    assert_eq!(answered(&headgate, &known, b"{", A_WHILE).await, None);
    let body = prompts::chat("m").to_string() + &" ".repeat(1 << 20);
    headgate.client().post_raw("/v1/chat/completions", body).await.expect(200);
}
