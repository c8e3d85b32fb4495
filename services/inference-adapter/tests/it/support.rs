//! An adapter, a client and requests.

use bytes::Bytes;
use headgate_inference_adapter::{Adapter, Config, Deps};
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{Conn, local};
use headgate_kit::seal::MasterKey;
use headgate_kit::tasks::Tasks;
use headgate_proto::adapter::v1::adapter_service_client::AdapterServiceClient;
use headgate_proto::adapter::v1::{self as adapter, Deadlines, ProviderKind, Target};
use headgate_proto::inference::v1::stream_chat_response::Encoding as Piece;
use headgate_proto::inference::v1::{
    self as inference, ChatMessage, ChatPrompt, ChatRole, ContentPart, Dialect, DialectBody, TokenUsage,
    chat_request, chat_response, content_part,
};
use prometheus::Registry;

pub(crate) type Client = AdapterServiceClient<Conn>;

pub(crate) const SECRET: &str = "sk-planted-secret";

/// One content chunk, a finish, usage and the end marker, as upstreams send them.
pub(crate) const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"odd\":1e400}\n\n";
pub(crate) const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
pub(crate) const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";
pub(crate) const BODY: &str =
    r#"{"model":"mine","messages":[{"role":"user","content":"hi"}],"x_big":123456789012345678901234567890}"#;

pub(crate) fn key() -> MasterKey {
    MasterKey::parse(&"5a".repeat(32)).unwrap()
}

pub(crate) fn client() -> Client {
    with_config(Config::default()).0
}

pub(crate) fn with_config(config: Config) -> (Client, Registry) {
    let registry = Registry::new();
    let deps = Deps {
        clock: Clock::manual(1_700_000_000_000_000),
        tasks: Tasks::new(),
        registry: registry.clone(),
        master_key: key(),
    };
    let adapter = Adapter::build(config, deps).unwrap();
    (AdapterServiceClient::new(local(adapter.adapter_service())), registry)
}

pub(crate) fn target(base_url: &str) -> Target {
    Target {
        target_id: "target_1".into(),
        provider_id: "provider_1".into(),
        kind: ProviderKind::Openai.into(),
        base_url: base_url.into(),
        credential: Some(key().seal("provider_1", SECRET).unwrap()),
        upstream_model: "theirs".into(),
        deadlines: None,
        request_defaults: None,
    }
}

pub(crate) fn hasty(base_url: &str, deadlines: Deadlines) -> Target {
    Target { deadlines: Some(deadlines), ..target(base_url) }
}

pub(crate) fn echo() -> Target {
    let provider_id = "echo".into();
    Target {
        provider_id,
        kind: ProviderKind::Echo.into(),
        upstream_model: "echo".into(),
        ..Target::default()
    }
}

pub(crate) fn dialect(body: impl Into<Bytes>) -> inference::ChatRequest {
    let body = DialectBody { dialect: Dialect::OpenaiChat.into(), body: body.into() };
    let encoding = Some(chat_request::Encoding::Dialect(body));
    inference::ChatRequest { encoding, ..inference::ChatRequest::default() }
}

pub(crate) fn completions(body: impl Into<Bytes>) -> inference::ChatRequest {
    let body = DialectBody { dialect: Dialect::OpenaiCompletions.into(), body: body.into() };
    let encoding = Some(chat_request::Encoding::Dialect(body));
    inference::ChatRequest { encoding, ..inference::ChatRequest::default() }
}

pub(crate) fn typed(text: &str) -> inference::ChatRequest {
    let part = ContentPart { part: Some(content_part::Part::Text(text.into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![part], ..ChatMessage::default() };
    let prompt = ChatPrompt { messages: vec![message], ..ChatPrompt::default() };
    let encoding = Some(chat_request::Encoding::Typed(prompt));
    inference::ChatRequest { model: "mine".into(), encoding, facts: None }
}

pub(crate) fn ask(target: Target, request: inference::ChatRequest) -> adapter::ChatRequest {
    adapter::ChatRequest { target: Some(target), request: Some(request), output_token_cap: None }
}

pub(crate) fn ask_stream(
    target: Target,
    request: inference::ChatRequest,
    include_usage: bool,
) -> adapter::StreamChatRequest {
    let (target, request) = (Some(target), Some(request));
    adapter::StreamChatRequest { target, request, output_token_cap: None, include_usage }
}

/// A whole answer's bytes.
pub(crate) fn body(response: &adapter::ChatResponse) -> Bytes {
    match response.response.as_ref().unwrap().encoding.as_ref().unwrap() {
        chat_response::Encoding::Dialect(body) => body.body.clone(),
        chat_response::Encoding::Typed(_) => panic!("typed"),
    }
}

/// How a stream went.
#[derive(Debug, Default)]
pub(crate) struct Streamed {
    pub(crate) events: String,
    pub(crate) pieces: usize,
    pub(crate) content_chunks: u32,
    pub(crate) usage: Vec<TokenUsage>,
    pub(crate) typed: String,
    /// The failure it ended with.
    pub(crate) failure: Option<Failure>,
}

/// Reads a stream to its end; `Err` for a call that failed before it began.
pub(crate) async fn stream(
    client: &mut Client,
    ask: adapter::StreamChatRequest,
) -> Result<Streamed, Failure> {
    let mut stream =
        client.stream_chat(ask).await.map_err(|status| Failure::from_status(&status))?.into_inner();
    let mut all = Streamed::default();
    loop {
        match stream.message().await {
            Ok(None) => return Ok(all),
            Err(status) => {
                all.failure = Some(Failure::from_status(&status));
                return Ok(all);
            }
            Ok(Some(piece)) => {
                all.pieces += 1;
                all.content_chunks += piece.content_chunks;
                let response = piece.response.unwrap();
                all.usage.extend(response.usage);
                match response.encoding {
                    Some(Piece::DialectEvents(events)) => all.events += std::str::from_utf8(&events).unwrap(),
                    Some(Piece::Typed(delta)) => {
                        all.typed += &delta.choices.iter().map(|c| c.content.as_str()).collect::<String>();
                    }
                    None => {}
                }
            }
        }
    }
}
