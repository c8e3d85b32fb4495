//! What a key may be used for, from where, and who is told that it was.

use std::time::Instant;

use headgate_kit::conn::local;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_kit::origin;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationServiceServer;
use headgate_proto::auth::v1::{KeyRecord, KeyUse, WatchKeysResponse};
use headgate_proto::inference::v1::embed_request::Encoding;
use headgate_proto::inference::v1::{
    Dialect, DialectBody, EmbedRequest, GetModelRequest, InferenceServiceStub, ListModelsRequest,
    StreamChatRequest,
};
use tonic::{Request, Status};

use super::ask::{question, request};
use super::peers::key;
use super::world::{NOW_UNIX_MS, World};
use crate::keys::Now;

impl World {
    /// The watch tells that the key changed.
    fn tell(&self, changed: KeyRecord) {
        let now = Now { instant: Instant::now(), unix_ms: NOW_UNIX_MS };
        let message = WatchKeysResponse { keys: vec![changed], ..WatchKeysResponse::default() };
        self.router.0.keys.apply(message, now);
    }

    async fn report_uses(&self) {
        let auth = local(AuthenticationServiceServer::from_arc(self.peers.clone()));
        self.router.0.authenticator.uses.tell_once(&auth).await;
    }
}

fn embedding() -> EmbedRequest {
    let body = DialectBody {
        dialect: Dialect::OpenaiEmbeddings.into(),
        body: br#"{"model": "m", "input": ["Hello"]}"#[..].into(),
    };
    EmbedRequest { model: "m".into(), facts: None, encoding: Some(Encoding::Dialect(body)) }
}

fn reason<T>(answer: Result<T, Status>) -> Option<ErrorReason> {
    answer.err().map(|status| Failure::from_status(&status).reason)
}

/// How every call ends that names the model `m`, and which models are listed.
async fn outcomes(world: &World) -> ([Option<ErrorReason>; 4], Vec<String>) {
    let router = InferenceServiceStub::new(world.router.conn());
    let reasons = [
        reason(router.chat(request(question())).await),
        reason(router.stream_chat(request(StreamChatRequest { request: Some(question()) })).await),
        reason(router.embed(request(embedding())).await),
        reason(router.get_model(request(GetModelRequest { model: "m".into() })).await),
    ];
    let listed = router.list_models(request(ListModelsRequest::default())).await.unwrap().into_inner().models;
    (reasons, listed.into_iter().map(|model| model.name).collect())
}

#[tokio::test]
async fn a_model_that_a_key_may_not_use_does_not_exist_for_it() {
    let world = World::new().await;
    world.tell(KeyRecord { models: vec!["k".into(), "m".into()], ..key() });
    assert_eq!(outcomes(&world).await, ([None; 4], vec!["m".to_owned()]));
    world.tell(KeyRecord { models: vec!["k".into()], ..key() });
    assert_eq!(outcomes(&world).await, ([Some(ErrorReason::ModelNotFound); 4], Vec::new()));
    assert_eq!(world.peers.seen.lock().admits.len(), 3, "those that were open");
}

#[tokio::test]
async fn a_key_is_refused_elsewhere_than_its_list_says() {
    let world = World::new().await;
    world.tell(KeyRecord { ip_allowlist: vec!["192.0.2.0/24".into()], ..key() });
    let router = InferenceServiceStub::new(world.router.conn());
    let ask = async |client: Option<&str>| {
        let mut request: Request<_> = request(question());
        origin::tell(request.metadata_mut().as_mut(), client.map(|address| address.parse().unwrap()));
        reason(router.chat(request).await)
    };
    assert_eq!(ask(Some("192.0.2.7")).await, None);
    assert_eq!(ask(Some("198.51.100.7")).await, Some(ErrorReason::PermissionDenied));
    assert_eq!(ask(None).await, Some(ErrorReason::PermissionDenied), "nobody knows where it is");
    assert_eq!(world.peers.seen.lock().admits.len(), 1);
}

#[tokio::test]
async fn auth_is_told_once_of_each_use_and_again_where_that_failed() {
    let world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    let told = || std::mem::take(&mut world.peers.seen.lock().key_uses);
    world.report_uses().await;
    assert!(told().is_empty(), "nothing was used");
    for _ in 0..3 {
        router.chat(request(question())).await.unwrap();
    }
    world.peers.failures.lock().push_back(Failure::unavailable("auth", "on purpose"));
    let used = [vec![KeyUse { key_id: "key_1".into(), last_used_at_unix_ms: NOW_UNIX_MS }]];
    for _ in 0..2 {
        world.report_uses().await;
        assert_eq!(told().into_iter().map(|report| report.uses).collect::<Vec<_>>(), used);
    }
    world.report_uses().await;
    assert!(told().is_empty(), "it was told");
    world.tell(KeyRecord { ip_allowlist: vec!["192.0.2.1".into()], ..key() });
    router.chat(request(question())).await.unwrap_err();
    world.report_uses().await;
    assert!(told().is_empty(), "a refused request is no use");
}
