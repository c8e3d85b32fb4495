//! Facts of a body are believed from peers only, here and wherever the request goes from here.

use bytes::Bytes;
use futures_util::StreamExt as _;
use headgate_dialect::openai::request::{peek_chat, peek_embeddings};
use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::inference_service_server::InferenceService;
use headgate_proto::inference::v1::{
    BodyFacts, ChatMessage, ChatPrompt, ChatRequest, ChatRole, ContentPart, Dialect, DialectBody,
    EmbedRequest, InferenceServiceStub, StreamChatRequest, body_facts, chat_request, embed_request,
};
use tonic::Code;

use super::ask::request;
use super::world::World;
use crate::grpc::Inference;

const CHAT: &str = r#"{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}"#;
const EMBEDDINGS: &str = r#"{"model": "m", "input": ["Hello"]}"#;

/// What nobody who read the bodies could say.
fn made_up() -> BodyFacts {
    let places = Some(body_facts::Places {
        model: Some(body_facts::Place { start: 1, end: 2 }),
        ..body_facts::Places::default()
    });
    BodyFacts { max_output_tokens: Some(1), prompt_bytes: 3, places, ..BodyFacts::default() }
}

fn body(dialect: Dialect, body: &'static str) -> DialectBody {
    DialectBody { dialect: dialect.into(), body: Bytes::from_static(body.as_bytes()) }
}

fn chat(facts: BodyFacts) -> ChatRequest {
    let encoding = Some(chat_request::Encoding::Dialect(body(Dialect::OpenaiChat, CHAT)));
    ChatRequest { model: "m".into(), facts: Some(facts), encoding }
}

fn embed(facts: BodyFacts) -> EmbedRequest {
    let encoding = Some(embed_request::Encoding::Dialect(body(Dialect::OpenaiEmbeddings, EMBEDDINGS)));
    EmbedRequest { model: "m".into(), facts: Some(facts), encoding }
}

/// The facts that the adapter got with every kind of request, from a peer or from a consumer.
async fn forwarded(world: &World, peer: bool, facts: BodyFacts) -> [Option<BodyFacts>; 3] {
    let stream = StreamChatRequest { request: Some(chat(facts)) };
    if peer {
        let router = InferenceServiceStub::new(world.router.conn());
        router.chat(request(chat(facts))).await.unwrap();
        router.stream_chat(request(stream)).await.unwrap().into_inner().collect::<Vec<_>>().await;
        router.embed(request(embed(facts))).await.unwrap();
    } else {
        let router = Inference(world.router.0.clone());
        InferenceService::chat(&router, request(chat(facts))).await.unwrap();
        let stream = InferenceService::stream_chat(&router, request(stream)).await.unwrap();
        stream.into_inner().collect::<Vec<_>>().await;
        InferenceService::embed(&router, request(embed(facts))).await.unwrap();
    }
    let seen = world.peers.seen.lock();
    [
        seen.chats.last().unwrap().0.request.as_ref().unwrap().facts,
        seen.streams.last().unwrap().0.request.as_ref().unwrap().facts,
        seen.embeds.last().unwrap().0.request.as_ref().unwrap().facts,
    ]
}

#[tokio::test]
async fn facts_of_a_consumer_end_here() {
    let world = World::new().await;
    let chat = Some(peek_chat(CHAT.as_bytes()).unwrap().facts());
    let embed = Some(peek_embeddings(EMBEDDINGS.as_bytes()).unwrap().facts());
    assert_eq!(forwarded(&world, false, made_up()).await, [chat, chat, embed]);
    let bound = |n: usize| world.peers.seen.lock().admits[n].0.limit_tokens;
    assert!(bound(0) > 9, "the hold is counted from the body, too");
}

#[tokio::test]
async fn facts_of_a_peer_go_on() {
    let world = World::new().await;
    let told = Some(made_up());
    assert_eq!(forwarded(&world, true, made_up()).await, [told, told, told]);
    assert_eq!(world.peers.seen.lock().admits[0].0.limit_tokens, 2, "and are what the request is held for");
}

#[tokio::test]
async fn what_has_no_body_has_no_facts() {
    let world = World::new().await;
    let text = ContentPart { part: Some(Part::Text("Hello".into())) };
    let message = ChatMessage { role: ChatRole::User.into(), content: vec![text], ..ChatMessage::default() };
    let prompt = ChatPrompt { messages: vec![message], ..ChatPrompt::default() };
    let encoding = Some(chat_request::Encoding::Typed(prompt));
    let typed = ChatRequest { model: "m".into(), facts: Some(made_up()), encoding };
    InferenceServiceStub::new(world.router.conn()).chat(request(typed)).await.unwrap();
    assert_eq!(world.peers.seen.lock().chats[0].0.request.as_ref().unwrap().facts, None);
}

#[tokio::test]
async fn a_body_names_the_model_where_the_message_does_not() {
    let world = World::new().await;
    let router = Inference(world.router.0.clone());
    let named = |model: &str| request(ChatRequest { model: model.into(), ..chat(made_up()) });
    assert!(InferenceService::chat(&router, named("")).await.is_ok());
    let unknown = InferenceService::chat(&router, named("other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "the message's own counts first");
    let sent = world.peers.seen.lock().chats[0].0.request.clone().unwrap();
    assert_eq!(sent.model, "", "the message goes on as it came");
}
