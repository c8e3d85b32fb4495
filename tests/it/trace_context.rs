//! A request's trace (W3C Trace Context) from the client through every process to the upstream, and in their logs.

use std::collections::BTreeSet;
use std::time::Duration;

use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{ChatRequest, Dialect, DialectBody};
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Entry, Upstream, refusing_url};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};
use tonic::Request;

const SOON: Duration = Duration::from_secs(20);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const STATE: &str = "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE";

/// A `traceparent` as it arrived.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    trace: String,
    parent: String,
    flags: String,
    state: Option<String>,
}

fn told(entry: &Entry) -> Told {
    let header = |name| entry.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let text = header("traceparent").expect("every request tells its trace");
    let [version, trace, parent, flags] = text.split('-').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((version, trace.len(), parent.len(), flags.len()), ("00", 32, 16, 2), "{text}");
    assert!(trace != "0".repeat(32) && parent != "0".repeat(16), "{text}");
    Told { trace: trace.into(), parent: parent.into(), flags: flags.into(), state: header("tracestate") }
}

/// The traces that lines of `request` name, each once.
fn traces(logs: &str, request: &str) -> BTreeSet<String> {
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = lines.filter(|line| line["request_id"] == request);
    own.map(|line| line["trace_id"].as_str().unwrap_or_else(|| panic!("of which trace? {line}")).into())
        .collect()
}

/// Waits until the process of `service` has written lines for a request, which name this trace alone.
async fn writes_for(headgate: &Headgate, service: &str, request: &str, trace: &str) {
    let what = format!("lines of {service} for {request}");
    let named = eventually(SOON, &what, || async {
        let named = traces(&headgate.node(service).logs(), request);
        (!named.is_empty()).then_some(named)
    })
    .await;
    assert_eq!(Vec::from_iter(named), [trace], "{what}");
}

fn chat_over_grpc(parent: &str) -> Request<ChatRequest> {
    let body =
        DialectBody { dialect: Dialect::OpenaiChat.into(), body: prompts::chat("m").to_string().into() };
    let model = "m".to_owned();
    let mut request =
        Request::new(ChatRequest { model, encoding: Some(Encoding::Dialect(body)), ..Default::default() });
    for (name, value) in [("traceparent", parent), ("tracestate", STATE), ("x-request-id", "grpc")] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_trace_goes_through_every_process_to_the_upstream() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream)
        .provider("down", &refusing_url())
        .model("down", &["down"])
        .section("log", &json!({"filter": "trace"}));
    let headgate = Headgate::start_on(Topology::Split, &setup).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let named = |client: Client, id| {
        let client = client.with_header("traceparent", &parent).with_header("tracestate", STATE);
        client.with_header("x-request-id", id)
    };
    named(headgate.client(), "whole").chat(&prompts::chat("m")).await.expect(200);
    named(headgate.client(), "stream").stream(&prompts::stream("m")).await.read_to_end().await;
    InferenceServiceClient::new(headgate.grpc(KEY).await).chat(chat_over_grpc(&parent)).await.unwrap();
    named(headgate.client(), "down").chat(&prompts::chat("down")).await.expect(502);
    let stranger = headgate.anonymous().with_key("sk-no.body");
    named(stranger, "unknown").chat(&prompts::chat("m")).await.expect(401);

    let told: Vec<_> = upstream.journal().iter().map(told).collect();
    let parents: BTreeSet<_> = told.iter().map(|told| told.parent.as_str()).chain([PARENT]).collect();
    assert_eq!((told.len(), parents.len()), (3, 4), "each has a parent of its own: {told:?}");
    for Told { trace, flags, state, .. } in &told {
        assert_eq!((trace.as_str(), flags.as_str(), state.as_deref()), (TRACE, "01", Some(STATE)));
    }
    for (request, services) in [
        ("whole", &["edge", "router", "budget", "adapter"][..]),
        ("stream", &["edge", "router", "budget", "adapter"]),
        ("grpc", &["router", "budget", "adapter"]),
        ("down", &["edge", "router", "budget", "adapter"]),
        ("unknown", &["edge", "router", "auth"]),
    ] {
        for service in services {
            writes_for(&headgate, service, request, TRACE).await;
        }
    }
}

#[tokio::test]
async fn a_request_without_a_valid_trace_begins_one() {
    let upstream = Upstream::start().await;
    let setup = Setup::with_model("m", &upstream).section("log", &json!({"filter": "debug"}));
    let headgate = Headgate::start(&setup).await;
    let given = [
        None,
        Some(format!("00-{TRACE}-{PARENT}-01-more")),
        Some(format!("ff-{TRACE}-{PARENT}-01")),
        Some(format!("00-{}-{PARENT}-01", "0".repeat(32))),
        Some(format!("00-{TRACE}-{}-01", "0".repeat(16))),
    ];
    let mut seen = BTreeSet::from([TRACE.to_owned()]);
    for (number, parent) in given.iter().enumerate() {
        let request = format!("r-{number}");
        let client = headgate.client().with_header("x-request-id", &request).with_header("tracestate", STATE);
        let client = parent.iter().fold(client, |client, parent| client.with_header("traceparent", parent));
        client.chat(&prompts::chat("m")).await.expect(200);
        let told = told(&upstream.journal()[number]);
        assert_eq!((told.flags.as_str(), &told.state), ("02", &None), "{parent:?}");
        writes_for(&headgate, "router", &request, &told.trace).await;
        assert!(seen.insert(told.trace), "{parent:?}");
    }
}
