//! P5: what a client sends in OpenAI's dialect reaches an upstream of that dialect byte by byte, but for the allowed
//! splices: the model's name, and `stream_options.include_usage`.

use headgate_tests::cluster::Headgate;
use headgate_tests::setup::Setup;
use headgate_tests::sse::Event;
use headgate_tests::upstream::{Answer, Upstream};
use serde_json::json;

/// Odd, but valid: unknown fields, odd spacing and escapes, numbers that no double holds, keys that repeat deep inside.
const ODD: &str = r#"{
  "x_unknown" : {"deep":[1E+2,-0.0,12345678901234567890123,0.1000000000000000055511151231257827],"twice":1,"twice":2},
	"messages": [ {"role":"user","content":"\u00e9\ud83d\ude00 \/ é 😀 \"model\":\"m\"","x_extra":null } ],
  "temperature":1.0, "model" : "m","logit_bias":{"50256":-100},"seed":9007199254740993 ,
  "x_\u0075nicode":true,"tools":[], "metadata":{"model":"m"}
}"#;

fn with_stream(options: &str) -> String {
    ODD.replacen("\"temperature\":1.0", &format!("\"temperature\":1.0,\"stream\":true{options}"), 1)
}

async fn gate(upstream_name: &str) -> (Upstream, Headgate) {
    let upstream = Upstream::start().await;
    let targets = json!([{"provider": "mock", "upstream_model": upstream_name, "weight": 1}]);
    let setup = Setup::with_model("m", &upstream).model_with(&json!({"targets": targets}));
    let headgate = Headgate::start(&setup).await;
    (upstream, headgate)
}

/// What stands in `sent` beyond `original`, if that is one insertion.
fn inserted<'a>(original: &str, sent: &'a str) -> &'a str {
    let bytes = || original.bytes().zip(sent.bytes());
    let prefix = bytes().take_while(|(a, b)| a == b).count();
    let rest = original.len() - prefix;
    assert!(sent.ends_with(&original[prefix..]), "more than an insertion:\n{sent}");
    &sent[prefix..sent.len() - rest]
}

#[tokio::test]
async fn a_request_arrives_byte_by_byte() {
    let (upstream, headgate) = gate("m").await;
    // Valid JSON that most parsers refuse: its range is theirs to choose.
    let request = ODD.replace("1E+2", "1e400");
    headgate.client().post_raw("/v1/chat/completions", request.clone()).await.expect(200);
    assert_eq!(upstream.only_request().text(), request);
}

#[tokio::test]
async fn only_the_top_level_model_is_renamed() {
    let (upstream, headgate) = gate("org/other \"name\"").await;
    headgate.client().post_raw("/v1/chat/completions", ODD).await.expect(200);
    let expected = ODD.replacen(r#""model" : "m""#, r#""model" : "org/other \"name\"""#, 1);
    assert_eq!(upstream.only_request().text(), expected);
}

#[tokio::test]
async fn a_stream_that_asks_for_usage_arrives_byte_by_byte() {
    let (upstream, headgate) = gate("m").await;
    let request = with_stream(",\"stream_options\":{ \"include_usage\" : true,\"x\":1 }");
    headgate.client().stream_raw(request.clone()).await.read_to_end().await;
    assert_eq!(upstream.only_request().text(), request);
}

#[tokio::test]
async fn a_stream_that_does_not_ask_for_usage_gets_that_spliced_in_and_nothing_else() {
    let (upstream, headgate) = gate("m").await;
    let request = with_stream("");
    headgate.client().stream_raw(request.clone()).await.read_to_end().await;
    let entry = upstream.only_request();
    assert_eq!(entry.json()["stream_options"], json!({"include_usage": true}));
    let insertion = inserted(&request, entry.text()).trim_matches(|c: char| c == ',' || c.is_whitespace());
    assert_eq!(insertion, r#""stream_options":{"include_usage":true}"#);
}

#[tokio::test]
async fn stream_options_of_the_client_are_kept_when_usage_is_spliced_in() {
    for (options, expected) in [
        ("{}", json!({"include_usage": true})),
        (r#"{"x_other":1}"#, json!({"include_usage": true, "x_other": 1})),
        (r#"{"include_usage":false,"x_other":1}"#, json!({"include_usage": true, "x_other": 1})),
    ] {
        let (upstream, headgate) = gate("m").await;
        let request = with_stream(&format!(",\"stream_options\":{options}"));
        let (events, _) = headgate.client().stream_raw(request).await.read_to_end().await;
        assert_eq!(upstream.only_request().json()["stream_options"], expected);
        let told = events.iter().filter(|event| event.json()["usage"].is_object()).count();
        assert_eq!(told, 0, "usage that was not asked for: {options}");
        assert!(events.last().is_some_and(Event::is_done));
    }
}

#[tokio::test]
async fn what_the_gateway_does_not_know_in_an_answer_reaches_the_client() {
    let (upstream, headgate) = gate("m").await;
    let extra = r#""x_unknown":{"deep":[12345678901234567890123,1E+2,"\u00e9"],"twice":1,"twice":2}"#;
    upstream.script("m", Answer { extra: extra.to_owned(), ..Answer::default() });
    let request = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let reply = headgate.client().post_raw("/v1/chat/completions", request).await.expect(200);
    assert!(reply.text().contains(extra), "{}", reply.text());
    let request = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let (events, _) = headgate.client().stream_raw(request).await.read_to_end().await;
    let contents: Vec<_> = events.iter().filter(|event| event.content().is_some()).collect();
    assert!(!contents.is_empty() && contents.iter().all(|event| event.raw.contains(extra)));
}

#[tokio::test]
async fn headers_of_the_client_stay_with_the_gateway() {
    let (upstream, headgate) = gate("m").await;
    let client = headgate.client().with_header("cookie", "session=1").with_header("x-api-key", "theirs");
    client.post_raw("/v1/chat/completions", ODD).await.expect(200);
    let headers = upstream.only_request().headers;
    assert!(!headers.contains_key("cookie") && !headers.contains_key("x-api-key"), "{headers:?}");
    assert_eq!(headers["content-type"], "application/json");
}

#[tokio::test]
async fn embeddings_arrive_byte_by_byte() {
    let (upstream, headgate) = gate("m").await;
    let request = r#"{ "input":["\u00e9","b"], "x_unknown":1e400,"model":"m","dimensions":2 }"#;
    headgate.client().post_raw("/v1/embeddings", request).await.expect(200);
    assert_eq!(upstream.only_request().text(), request);
}
