//! S0-38: every log line that is written for a request says which, through success, failure and departure.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use headgate_proto::auth::v1::CreateTenantRequest;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::inference::v1::chat_request::Encoding;
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::inference_service_client::InferenceServiceClient;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, StreamChatRequest,
};
use headgate_proto::usage::v1::GetUsageSummaryRequest;
use headgate_proto::usage::v1::usage_service_client::UsageServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::repo;
use headgate_tests::setup::{KEY, OTHER_KEY, Setup};
use headgate_tests::upstream::{Answer, Behaviour, End, Upstream, refusing_url};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tonic::{Code, Request};

const SOON: Duration = Duration::from_secs(20);
const ID: &str = "x-request-id";

/// Where our lines come from that are for no request: the process, its listeners, connections and watches.
const BACKGROUND: [&str; 12] = [
    "headgate::serve",
    "headgate_audit::denials",
    "headgate_audit::outbox",
    "headgate_edge::serve",
    "headgate_kit::conn::remote",
    "headgate_kit::nats::broker",
    "headgate_kit::nats::forward",
    "headgate_kit::nats::puller",
    "headgate_kit::nats::stream",
    "headgate_kit::server",
    "headgate_kit::follow",
    "headgate_router::uses",
];

const ENDED: (&str, &str) = ("headgate_router::lease", "request ended");
const REFUSED: (&str, &str) = ("headgate_router::call", "request refused");
const FAILED: (&str, &str) = ("headgate_router::attempt", "attempt failed");
const UNREACHABLE: (&str, &str) = ("headgate_inference_adapter::failure", "no connection to the upstream");
const BROKE: (&str, &str) = ("headgate_inference_adapter::failure", "the upstream's answer broke off");
const ACCESS: (&str, &str) = ("headgate::access", "request");

/// What befalls a request, by the model it asks for, and the lines of its own that this leaves at each door.
const FATES: [(&str, &[(&str, &str)]); 8] = [
    ("whole", &[ENDED]),
    ("down", &[UNREACHABLE, FAILED, UNREACHABLE, FAILED, ENDED]),
    ("unknown", &[REFUSED]),
    ("limited", &[("headgate_budget::service::admission", "request not admitted"), REFUSED]),
    ("breaks", &[BROKE, FAILED, ENDED]),
    ("left", &[ENDED]),
    ("left-early", &[ENDED]),
    (
        "open",
        &[
            ENDED,
            (
                "headgate_inference_adapter::driver::pieces",
                "an upstream did not end its answer after the end marker",
            ),
        ],
    ),
];

struct World {
    upstream: Upstream,
    headgate: Headgate,
}

impl World {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        upstream.script("breaks", Answer::paced(3, Duration::from_millis(10)).ending(End::Reset));
        upstream.script("left", Answer::default().ending(End::Hang));
        upstream.script("left-early", Behaviour::HangBeforeHead);
        upstream.script("open", Answer::default().ending(End::DoneThenOpen));
        let mut setup = Setup::with_model("whole", &upstream)
            .provider("down-1", &refusing_url())
            .provider("down-2", &refusing_url())
            .model("down", &["down-1", "down-2"])
            .limits(json!({"key_id": "key_globex", "requests_per_minute": 1}))
            .section("log", &json!({"filter": "trace"}))
            .section("edge", &json!({"access_log": true}));
        for model in ["limited", "breaks", "left", "left-early", "open"] {
            setup = setup.model(model, &["mock"]);
        }
        Self { headgate: Headgate::start(&setup).await, upstream }
    }

    /// Waits until the upstream was asked for `model` so many times.
    async fn asked(&self, model: &str, times: usize) {
        eventually(SOON, model, || async {
            let journal = self.upstream.journal();
            (journal.iter().filter(|entry| entry.json()["model"] == model).count() == times).then_some(())
        })
        .await;
    }

    async fn over_rest(&self) {
        let named = |model: &str| self.headgate.client().with_header(ID, &format!("rest-{model}"));
        named("whole").chat(&prompts::chat("whole")).await.expect(200);
        named("down").chat(&prompts::chat("down")).await.expect(502);
        named("unknown").chat(&prompts::chat("unknown")).await.expect(404);
        let other = self.headgate.anonymous().with_key(OTHER_KEY);
        other.with_header(ID, "rest-first").chat(&prompts::chat("limited")).await.expect(200);
        other.with_header(ID, "rest-limited").chat(&prompts::chat("limited")).await.expect(429);
        named("breaks").stream(&prompts::stream("breaks")).await.read_to_end().await;
        let (events, clean) = named("open").stream(&prompts::stream("open")).await.read_to_end().await;
        assert!(clean && events.last().unwrap().is_done());
        let mut left = named("left").stream(&prompts::stream("left")).await;
        left.read_content(1).await;
        let _ = left.hang_up();
        let (client, prompt) = (named("left-early"), prompts::chat("left-early"));
        tokio::select! {
            _ = client.chat(&prompt) => panic!("answered"),
            () = self.asked("left-early", 1) => {}
        }
    }

    async fn over_grpc(&self) {
        let mut ours = InferenceServiceClient::new(self.headgate.grpc(KEY).await);
        let whole = ours.chat(named("whole", typed("whole"))).await.unwrap();
        assert_eq!(whole.metadata().get(ID).unwrap(), "grpc-whole");
        let code = |answer: Result<_, tonic::Status>| answer.err().map(|status| status.code());
        assert_eq!(code(ours.chat(named("down", typed("down"))).await), Some(Code::Unavailable));
        assert_eq!(code(ours.chat(named("unknown", typed("unknown"))).await), Some(Code::NotFound));
        let mut other = InferenceServiceClient::new(self.headgate.grpc(OTHER_KEY).await);
        let limited = other.chat(named("limited", typed("limited"))).await;
        assert_eq!(code(limited), Some(Code::ResourceExhausted));
        for model in ["breaks", "open", "left"] {
            let request = StreamChatRequest { request: Some(typed(model)) };
            let mut stream = ours.stream_chat(named(model, request)).await.unwrap().into_inner();
            assert!(stream.message().await.unwrap().is_some());
            // The one that is to be left is left by dropping it.
            while model != "left" && matches!(stream.message().await, Ok(Some(_))) {}
        }
        tokio::select! {
            _ = ours.chat(named("left-early", typed("left-early"))) => panic!("answered"),
            () = self.asked("left-early", 2) => {}
        }
    }

    /// Every line since the process listened.
    fn lines(&self) -> Vec<Value> {
        let logs = self.headgate.logs();
        assert!(logs.lines().all(|line| line.matches(r#""request_id":"#).count() < 2), "named twice");
        let lines = logs.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.skip_while(|line: &Value| line["message"] != "listening").skip(1).collect()
    }
}

fn typed(model: &str) -> ChatRequest {
    let text = ContentPart { part: Some(Part::Text("Count.".into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![text], ..Default::default() };
    let prompt = ChatPrompt { messages: vec![message], ..Default::default() };
    ChatRequest { model: model.into(), encoding: Some(Encoding::Typed(prompt)), ..Default::default() }
}

fn named<M>(model: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(ID, format!("grpc-{model}").parse().unwrap());
    request
}

fn is_ours(line: &Value) -> bool {
    line["target"].as_str().unwrap().starts_with("headgate")
}

/// The lines of a request's own, in order.
fn of<'a>(lines: &'a [Value], id: &str) -> Vec<(&'a str, &'a str)> {
    let ours = lines.iter().filter(|line| is_ours(line) && line["request_id"] == id);
    ours.map(|line| (line["target"].as_str().unwrap(), line["message"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn every_line_of_a_request_says_which() {
    let world = World::start().await;
    world.over_rest().await;
    world.over_grpc().await;
    for (fate, own) in FATES {
        let mut at_edge = own.to_vec();
        if fate != "left-early" {
            // Before or after what its stream leaves behind.
            at_edge.push(ACCESS);
        }
        for (door, mut expected) in [("rest", at_edge), ("grpc", own.to_vec())] {
            expected.sort_unstable();
            let id = format!("{door}-{fate}");
            eventually(SOON, &format!("the lines of {id}: {expected:?}"), || async {
                let lines = world.lines();
                let mut found = of(&lines, &id);
                found.sort_unstable();
                (found == expected).then_some(())
            })
            .await;
        }
    }
    let lines = world.lines();
    assert!(lines.iter().any(|line| line["level"] == "TRACE"), "not all was logged");
    for line in lines.iter().filter(|line| is_ours(line) && line["request_id"].is_null()) {
        let target = line["target"].as_str().unwrap();
        assert!(BACKGROUND.contains(&target), "whose is it? {line}");
    }
}

#[tokio::test]
async fn calls_of_operators_and_lines_of_text_are_named_too() {
    let setup =
        Setup::new().section("log", &json!({"format": "text"})).section("edge", &json!({"access_log": true}));
    let headgate = Headgate::start(&setup).await;
    let mut usage = UsageServiceClient::new(headgate.operator("usage").await);
    let mut summary = async |id: Option<&'static str>| {
        let mut request = Request::new(GetUsageSummaryRequest { filter: None });
        if let Some(id) = id {
            request.metadata_mut().insert(ID, id.parse().unwrap());
        }
        let answer = usage.get_usage_summary(request).await.unwrap();
        answer.metadata().get(ID).unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(summary(Some("given")).await, "given");
    assert_eq!(summary(None).await.len(), 36);

    headgate.anonymous().with_header(ID, "of-text").get("/ping").await.expect(200);
    let line = eventually(SOON, "the access line", || async {
        headgate.logs().lines().find(|line| line.contains("headgate::access")).map(str::to_owned)
    })
    .await;
    assert!(line.contains(" of-text"), "{line}");
}

/// Locks a database against every other writer, until the process it returns is dropped.
async fn locked(database: &Path) -> Child {
    let lock = "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('BEGIN IMMEDIATE')\n\
                print('locked', flush=True); sys.stdin.read()";
    let mut python = Command::new(repo::tool("venv/bin/python"));
    python.args(["-c", lock]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = python.spawn().unwrap();
    process.stdout.as_mut().unwrap().read_exact(&mut [0; "locked".len()]).await.expect("it locks");
    process
}

#[tokio::test]
async fn a_change_that_outlives_its_call_is_the_operators_still() {
    let headgate = Headgate::start(&Setup::new()).await;
    let _process = locked(&headgate.data_dir_of("auth").join("auth.db")).await;
    let mut tenants = TenantServiceClient::new(headgate.operator("auth").await);
    let request = CreateTenantRequest { name: "Initech".into(), ..Default::default() };
    let failed = tenants.create_tenant(named("tenant", request)).await;
    assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    let logs = headgate.logs();
    let line = logs.lines().find(|line| line.contains("headgate_kit::error")).expect("the cause is logged");
    assert!(line.contains(r#""request_id":"grpc-tenant""#), "{line}");
}
