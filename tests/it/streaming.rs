//! P6: streams come as they are produced, and a broken one never looks whole.

use std::time::{Duration, Instant};

use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, StreamChatRequest,
};
use headgate_proto::record::v1::Outcome;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::sse::Event;
use headgate_tests::upstream::{Answer, Behaviour, End, Upstream};
use serde_json::json;
use tonic::Code;

/// Much less than Nagle's delay with delayed acknowledgements, much more than a hop on a busy machine.
const PROMPT: Duration = Duration::from_millis(35);

#[tokio::test]
async fn a_whole_stream_has_every_chunk_in_order_and_its_usage_if_asked() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    for (request, with_usage) in [(prompts::stream_with_usage("m"), true), (prompts::stream("m"), false)] {
        let stream = headgate.client().stream(&request).await;
        assert_eq!(stream.status, 200);
        assert!(stream.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let (events, clean) = stream.read_to_end().await;
        assert!(clean && events.last().unwrap().is_done());
        let text: String = events.iter().filter_map(Event::content).collect();
        assert_eq!(text, "w0 w1 w2 w3 w4 ");
        let reasons: Vec<_> = events.iter().filter_map(Event::finish_reason).collect();
        assert_eq!(reasons, ["stop"]);
        let usages: Vec<_> = events.iter().filter(|event| event.json()["usage"].is_object()).collect();
        assert_eq!(usages.len(), usize::from(with_usage));
        if with_usage {
            assert_eq!(usages[0].json()["usage"]["completion_tokens"], 5);
            assert_eq!(usages[0].json()["choices"], json!([]));
        }
    }
    for row in headgate.rows(2).await {
        assert!(row.streamed && !row.estimated && row.ttft_ms.is_some());
        assert_eq!((row.prompt_tokens, row.completion_tokens, row.outcome()), (7, 5, Outcome::Succeeded));
    }
}

#[tokio::test]
async fn events_are_forwarded_as_they_come() {
    let upstream = Upstream::start().await;
    upstream.script("m", Answer::paced(20, Duration::from_millis(60)));
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let stream = headgate.client().stream(&prompts::stream("m")).await;
    let (events, _) = stream.read_to_end().await;
    let arrived: Vec<Instant> = events.iter().filter(|e| e.content().is_some()).map(|e| e.at).collect();
    let written = upstream.only_request().chunks_at;
    assert_eq!(arrived.len(), written.len());
    let mut delays: Vec<Duration> = arrived.iter().zip(&written).map(|(a, w)| a.duration_since(*w)).collect();
    delays.sort();
    // Not the worst, as a busy machine may hold back one or the other.
    assert!(delays[delays.len() / 4] < PROMPT, "chunks were held back: {delays:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error_event_never_in_a_clean_finish() {
    let ends = [
        (End::Reset, "upstream_failed", Outcome::Failed),
        (End::Eof, "upstream_failed", Outcome::Failed),
        (End::Garbage, "upstream_invalid", Outcome::Failed),
        (End::ErrorEvent, "upstream_failed", Outcome::Failed),
        (End::Hang, "upstream_timeout", Outcome::DeadlineExceeded),
    ];
    let upstream = Upstream::start().await;
    let setup =
        Setup::with_model("m", &upstream).provider_with(&json!({"deadlines": {"inter_chunk_ms": 500}}));
    let headgate = Headgate::start(&setup).await;
    for (number, (end, code, outcome)) in (1..).zip(ends) {
        upstream.script("m", Answer::paced(3, Duration::from_millis(10)).ending(end));
        let stream = headgate.client().stream(&prompts::stream("m")).await;
        assert_eq!(stream.status, 200, "{end:?}");
        let (events, _) = stream.read_to_end().await;
        assert_eq!(events.iter().filter_map(Event::content).count(), 3, "{end:?}: content got lost");
        assert!(!events.iter().any(Event::is_done), "{end:?}: [DONE] after a break");
        assert!(events.iter().all(|event| event.finish_reason().is_none()), "{end:?}: a finish reason");
        let last = events.last().unwrap().json();
        assert_eq!(last["error"]["code"], code, "{end:?}: {last}");
        assert!(last["error"]["message"].is_string() && last["request_id"].is_string(), "{last}");

        let row = headgate.rows(number).await.remove(0);
        assert_eq!(row.outcome(), outcome, "{end:?}");
        assert!(row.estimated, "{end:?}: nobody told the usage");
        assert_eq!(row.completion_tokens, 3, "{end:?}");
    }
}

#[tokio::test]
async fn a_stream_that_broke_is_not_begun_again_elsewhere() {
    let (broken, sound) = (Upstream::start().await, Upstream::start().await);
    broken.script_default(Answer::default().ending(End::Reset));
    let setup = Setup::broken_then_sound(&broken, &sound);
    let headgate = Headgate::start(&setup).await;
    let (events, _) = headgate.client().stream(&prompts::stream("m")).await.read_to_end().await;
    let text: String = events.iter().filter_map(Event::content).collect();
    assert_eq!(text, "w0 w1 w2 w3 w4 ", "more or less than the one attempt gave");
    let failures = events.iter().filter(|event| event.json()["error"].is_object()).count();
    assert!(failures == 1 && !events.iter().any(Event::is_done), "{events:?}");
    assert_eq!((broken.journal().len(), sound.journal().len()), (1, 0));
    let row = headgate.only_row().await;
    assert_eq!((row.attempts.len(), row.provider_id.as_str(), row.outcome()), (1, "broken", Outcome::Failed));
}

#[tokio::test]
async fn a_failure_before_the_first_event_is_a_real_status() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    upstream.script("m", Behaviour::ResetBeforeHead);
    let reply = headgate.client().stream(&prompts::stream("m")).await.into_reply().await.expect(502);
    assert_eq!(reply.error_code(), "upstream_failed");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    upstream.script("m", Behaviour::openai_error(503, "server_error", "overloaded", "busy"));
    let reply = headgate.client().stream(&prompts::stream("m")).await.into_reply().await.expect(502);
    assert_eq!(reply.error_code(), "upstream_failed");
}

#[tokio::test]
async fn a_silent_stream_gets_its_head_and_is_kept_alive_by_comments() {
    let upstream = Upstream::start().await;
    let slow = Duration::from_secs(3);
    upstream.script("m", Answer { first_delay: slow, ..Answer::default() });
    let setup = Setup::with_model("m", &upstream)
        .section("router", &json!({"head_wait_ms": 300}))
        .section("edge", &json!({"keep_alive_comment_ms": 300}));
    let headgate = Headgate::start(&setup).await;
    let begin = Instant::now();
    let stream = headgate.client().stream(&prompts::stream("m")).await;
    let head = begin.elapsed();
    assert!((Duration::from_millis(250)..slow).contains(&head), "the head came after {head:?}");
    let (events, clean) = stream.read_to_end().await;
    assert!(clean && events.last().unwrap().is_done());
    let comments = events.iter().filter(|event| event.raw.starts_with(':')).count();
    assert!((2..=9).contains(&comments), "{comments} comments in 2.7 s");
    let row = headgate.only_row().await;
    assert!((3000..=row.latency_ms).contains(&row.ttft_ms.unwrap()), "{:?}", row.ttft_ms);
    let text: String = events.iter().filter_map(Event::content).collect();
    assert_eq!(text, "w0 w1 w2 w3 w4 ");
}

#[tokio::test]
async fn a_typed_stream_breaks_with_a_status_and_ends_with_ok_only_when_whole() {
    let upstream = Upstream::start().await;
    let headgate = Headgate::start(&Setup::with_model("m", &upstream)).await;
    let mut inference = InferenceServiceClient::new(headgate.grpc(KEY).await);
    let mut run = async || {
        let text = ContentPart { part: Some(Part::Text("Count.".into())) };
        let message =
            ChatMessage { role: ChatRole::User.into(), content: vec![text], ..ChatMessage::default() };
        let prompt = ChatPrompt { messages: vec![message], ..ChatPrompt::default() };
        let request = ChatRequest {
            model: "m".into(),
            encoding: Some(Encoding::Typed(prompt)),
            ..ChatRequest::default()
        };
        let call = inference.stream_chat(StreamChatRequest { request: Some(request) });
        let mut stream = call.await.unwrap().into_inner();
        let mut pieces = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => return (pieces, Code::Ok),
                Err(status) => return (pieces, status.code()),
            }
        }
    };
    let (pieces, code) = run().await;
    assert_eq!(code, Code::Ok);
    assert_eq!(
        pieces
            .iter()
            .filter_map(|piece| piece.usage)
            .map(|usage| usage.completion_tokens)
            .collect::<Vec<_>>(),
        [5]
    );

    upstream.script("m", Answer::default().ending(End::Eof));
    let (pieces, code) = run().await;
    assert_eq!(code, Code::Unavailable);
    assert!(!pieces.is_empty());
}
