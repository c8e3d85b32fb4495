//! What a model gives requests that do not say so themselves: what it is held for, and what is asked of the adapter.

use bytes::Bytes;
use futures_util::StreamExt as _;
use headgate_proto::budget::v1::AdmitRequest;
use headgate_proto::catalog::v1::{Price, WatchCatalogResponse};
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, Dialect, DialectBody, EmbedRequest,
    InferenceServiceStub, RequestDefaults, StreamChatRequest, chat_request, embed_request,
};

use super::ask::request;
use super::peers::catalog;
use super::world::World;

/// The model's maximum.
const MAXIMUM: i64 = 1_000;
/// What a token of an answer costs. One of the prompt is free.
const NANO_USD_PER_TOKEN: i64 = 600;

fn defaults() -> RequestDefaults {
    RequestDefaults { max_output_tokens: Some(50), temperature: Some(0.5), ..RequestDefaults::default() }
}

async fn world(defaults: Option<RequestDefaults>) -> World {
    let world = World::new().await;
    let mut model = catalog().models.remove(0);
    model.request_defaults = defaults;
    model.price =
        Some(Price { output_nano_usd_per_1k_tokens: NANO_USD_PER_TOKEN * 1_000, ..Price::default() });
    let (revision, models) = (catalog().revision + 1, vec![model]);
    world.router.0.models.apply(WatchCatalogResponse { revision, models, ..Default::default() });
    world
}

fn dialect(dialect: Dialect, members: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"m",{members}"messages":[{{"role":"user"}}],"prompt":"abc"}}"#);
    let body = DialectBody { dialect: dialect.into(), body: Bytes::from(body) };
    ChatRequest { encoding: Some(chat_request::Encoding::Dialect(body)), ..ChatRequest::default() }
}

fn typed(max_output_tokens: Option<u32>, choices: Option<u32>) -> ChatRequest {
    let text = ContentPart { part: Some(Part::Text("Hello".into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![text], ..ChatMessage::default() };
    let prompt = ChatPrompt { messages: vec![message], max_output_tokens, choices, ..ChatPrompt::default() };
    let encoding = Some(chat_request::Encoding::Typed(prompt));
    ChatRequest { model: "m".into(), encoding, facts: None }
}

/// What of the last admission is for the answer: of the hold in tokens, and of the token limit. And whether less will do.
fn admitted(world: &World) -> (i64, u32, bool) {
    let AdmitRequest { intent, limit_tokens, cap_terms, .. } =
        world.peers.seen.lock().admits.pop().unwrap().0;
    let intent = intent.unwrap();
    let limited = limit_tokens - intent.prompt_tokens_estimate;
    (intent.hold_nano_usd / NANO_USD_PER_TOKEN, limited, cap_terms.is_some())
}

/// Asks once, streamed and not. What is admitted, and what the adapter gets, which must be the same both times.
async fn ask(
    world: &World,
    question: ChatRequest,
) -> ((i64, u32, bool), Option<u32>, Option<RequestDefaults>) {
    let router = InferenceServiceStub::new(world.router.conn());
    router.chat(request(question.clone())).await.unwrap();
    let held = admitted(world);
    let asked = world.peers.seen.lock().chats.pop().unwrap().0;
    let stream = StreamChatRequest { request: Some(question) };
    router.stream_chat(request(stream)).await.unwrap().into_inner().collect::<Vec<_>>().await;
    assert_eq!(admitted(world), held);
    let streamed = world.peers.seen.lock().streams.pop().unwrap().0;
    assert_eq!((streamed.output_token_cap, &streamed.target), (asked.output_token_cap, &asked.target));
    (held, asked.output_token_cap, asked.target.unwrap().request_defaults)
}

#[tokio::test]
async fn a_default_limit_is_what_is_held_and_what_is_asked() {
    let (with, without) = (world(Some(defaults())).await, world(None).await);
    let (chat, completions) = (Dialect::OpenaiChat, Dialect::OpenaiCompletions);
    for question in [
        dialect(chat, ""),
        dialect(chat, r#""max_tokens":null,"max_completion_tokens":null,"#),
        dialect(completions, ""),
        typed(None, None),
    ] {
        let given = (Some(50), Some(defaults()));
        let (held, cap, sent) = ask(&with, question.clone()).await;
        assert_eq!((held, (cap, sent)), ((50, 50, true), given), "{question:?}");
        assert_eq!(ask(&without, question).await, ((MAXIMUM, 0, true), None, None));
    }
    let (held, cap, _) = ask(&with, typed(None, Some(3))).await;
    assert_eq!((held, cap), ((150, 150, true), Some(50)), "each of several answers may be as long");
}

#[tokio::test]
async fn a_limit_of_its_own_wins_also_where_it_is_larger() {
    let world = world(Some(defaults())).await;
    for (question, tokens) in [
        (dialect(Dialect::OpenaiChat, r#""max_tokens":20,"#), 20),
        (dialect(Dialect::OpenaiChat, r#""max_completion_tokens":700,"#), 700),
        (dialect(Dialect::OpenaiCompletions, r#""max_tokens":700,"#), 700),
        (typed(Some(700), None), 700),
    ] {
        let (held, cap, sent) = ask(&world, question).await;
        assert_eq!((held, cap), ((tokens.into(), tokens, false), None));
        assert_eq!(sent, Some(defaults()), "what else it does not say it gets");
    }
}

#[tokio::test]
async fn where_less_is_left_in_the_budget_the_answer_gets_less() {
    let world = world(Some(defaults())).await;
    for (left, cap) in [(7, 7), (60, 50)] {
        *world.peers.output_token_cap.lock() = Some(left);
        assert_eq!(ask(&world, typed(None, None)).await.1, Some(cap));
    }
}

#[tokio::test]
async fn embeddings_have_no_answer_to_bound() {
    let world = world(Some(defaults())).await;
    let body = DialectBody {
        dialect: Dialect::OpenaiEmbeddings.into(),
        body: Bytes::from_static(br#"{"model":"m","input":"a"}"#),
    };
    let encoding = Some(embed_request::Encoding::Dialect(body));
    let question = EmbedRequest { model: "m".into(), encoding, facts: None };
    InferenceServiceStub::new(world.router.conn()).embed(request(question)).await.unwrap();
    assert_eq!(admitted(&world), (0, 0, false));
}
