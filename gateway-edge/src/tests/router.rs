//! A scripted `InferenceService`: what it does depends on the model's name.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::inference::v1::inference_service_server::InferenceService;
use headgate_proto::inference::v1::{self as pb, chat_request, chat_response, embed_request, embed_response};
use headgate_proto::router::v1::routing_service_server::RoutingService;
use headgate_proto::router::v1::{
    CheckKeyRequest, CheckKeyResponse, GetStateRequest, GetStateResponse, ProviderState,
};
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// One call as the router saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: &'static str,
    pub(super) metadata: HeaderMap,
    pub(super) model: String,
    pub(super) body: Bytes,
    pub(super) facts: Option<pb::BodyFacts>,
    pub(super) dialect: pb::Dialect,
}

/// Calls it saw, and the end of calls that never end by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripted {
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    /// Which models it was asked for last.
    pub(super) wanted: Arc<Mutex<Option<pb::ListModelsRequest>>>,
    /// Notified when a call begins that waits for ever, and again when it is dropped.
    pub(super) waiting: Arc<Notify>,
    pub(super) dropped: Arc<Notify>,
}

/// Tells that a call was dropped.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Scripted {
    fn saw<T>(&self, method: &'static str, request: Request<T>) -> T {
        let (metadata, _, message) = request.into_parts();
        let metadata = metadata.into_headers();
        let (model, body, facts) = (String::new(), Bytes::new(), None);
        let dialect = pb::Dialect::Unspecified;
        self.seen.lock().push(Seen { method, metadata, model, body, facts, dialect });
        message
    }

    fn saw_body(&self, model: &str, dialect: &pb::DialectBody, facts: Option<pb::BodyFacts>) {
        let mut seen = self.seen.lock();
        let last = seen.last_mut().unwrap();
        (last.model, last.body, last.facts) = (model.to_owned(), dialect.body.clone(), facts);
        last.dialect = dialect.dialect();
    }

    fn saw_chat(&self, request: pb::ChatRequest) -> Result<(String, pb::DialectBody), Status> {
        let Some(chat_request::Encoding::Dialect(dialect)) = request.encoding else { panic!("typed") };
        self.saw_body(&request.model, &dialect, request.facts);
        if request.facts.is_none() {
            return Err(Failure::new(ErrorReason::MissingCredential, "no credential").into());
        }
        match request.model.as_str() {
            "limited" => Err(limited()),
            "stranger" => {
                Err(Failure::new(ErrorReason::InvalidCredential, "the API key is not valid").into())
            }
            model => Ok((model.to_owned(), dialect)),
        }
    }

    async fn wait_for_ever(&self) {
        let _guard = OnDrop(self.dropped.clone());
        self.waiting.notify_one();
        std::future::pending().await
    }
}

fn limited() -> Status {
    let failure =
        Failure::new(ErrorReason::RateLimited, "too many requests").retry_after(Duration::from_millis(1500));
    let mut status = Status::from(failure);
    status.metadata_mut().insert("x-ratelimit-limit-requests", "5".parse().unwrap());
    status
}

fn budget_metadata(metadata: &mut MetadataMap) {
    for (name, value) in [
        ("x-budget-remaining", "0.5"),
        ("x-headgate-output-cap", "12"),
        ("idempotent-replayed", "true"),
        ("x-internal", "secret"),
    ] {
        metadata.insert(name, value.parse().unwrap());
    }
}

fn info(name: &str) -> pb::ModelInfo {
    pb::ModelInfo {
        name: name.to_owned(),
        enabled: true,
        created_unix_seconds: 1_700_000_000,
        operations: vec!["chat".into()],
        providers: vec!["acme".into()],
        deployments: vec!["gpt-x".into()],
        context_tokens: 8192,
        max_output_tokens: 1024,
        status: pb::ModelStatus::Cooling.into(),
        retry_after_ms: 17,
        aliases: vec!["other".into()],
        description: "Says it back.".into(),
    }
}

/// A piece of a stream.
pub(super) fn events(bytes: &'static str) -> pb::StreamChatResponse {
    use pb::stream_chat_response::Encoding;
    let encoding = Some(Encoding::DialectEvents(Bytes::from_static(bytes.as_bytes())));
    pb::StreamChatResponse { encoding, usage: None }
}

#[tonic::async_trait]
impl InferenceService for Scripted {
    async fn chat(&self, request: Request<pb::ChatRequest>) -> Result<Response<pb::ChatResponse>, Status> {
        let (model, dialect) = self.saw_chat(self.saw("Chat", request))?;
        if model == "waits" {
            self.wait_for_ever().await;
        }
        if model == "slow" {
            self.waiting.notify_one();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let encoding = Some(chat_response::Encoding::Dialect(dialect));
        let mut response = Response::new(pb::ChatResponse { encoding, usage: None });
        budget_metadata(response.metadata_mut());
        Ok(response)
    }

    type StreamChatStream = Pin<Box<dyn Stream<Item = Result<pb::StreamChatResponse, Status>> + Send>>;

    async fn stream_chat(
        &self,
        request: Request<pb::StreamChatRequest>,
    ) -> Result<Response<Self::StreamChatStream>, Status> {
        let request = self.saw("StreamChat", request);
        let (model, _) = self.saw_chat(request.request.unwrap())?;
        let scripted = self.clone();
        let script = async_stream::stream! {
            yield Ok(events("data: {\"n\":1}\n\n"));
            yield Ok(pb::StreamChatResponse { encoding: None, usage: Some(pb::TokenUsage::default()) });
            match model.as_str() {
                "breaks" => {
                    let failure = Failure::new(ErrorReason::UpstreamFailed, "the upstream broke off");
                    yield Err(failure.into());
                }
                "waits" => scripted.wait_for_ever().await,
                _ => {
                    yield Ok(events("data: {\"n\":2}\n\ndata: {\"n\":3}\n\n"));
                    yield Ok(events("data: [DONE]\n\n"));
                }
            }
        };
        let mut response = Response::new(Box::pin(script) as Self::StreamChatStream);
        budget_metadata(response.metadata_mut());
        Ok(response)
    }

    async fn embed(&self, request: Request<pb::EmbedRequest>) -> Result<Response<pb::EmbedResponse>, Status> {
        let request = self.saw("Embed", request);
        let Some(embed_request::Encoding::Dialect(dialect)) = request.encoding else { panic!("typed") };
        assert_eq!(dialect.dialect(), pb::Dialect::OpenaiEmbeddings);
        self.saw_body(&request.model, &dialect, request.facts);
        let encoding = Some(embed_response::Encoding::Dialect(dialect));
        Ok(Response::new(pb::EmbedResponse { encoding, usage: None }))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        *self.wanted.lock() = Some(request.get_ref().clone());
        self.saw("ListModels", request);
        let models = vec![info("echo"), pb::ModelInfo { name: "bare".into(), ..Default::default() }];
        Ok(Response::new(pb::ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let request = self.saw("GetModel", request);
        if request.model == "absent" {
            return Err(Failure::new(ErrorReason::ModelNotFound, "no such model").into());
        }
        Ok(Response::new(pb::GetModelResponse { model: Some(info(&request.model)) }))
    }
}

#[tonic::async_trait]
impl RoutingService for Scripted {
    async fn get_state(&self, _: Request<GetStateRequest>) -> Result<Response<GetStateResponse>, Status> {
        let providers = vec![ProviderState { provider_id: "p".into(), targets: 2, cooling_targets: 2 }];
        Ok(Response::new(GetStateResponse { ready: true, providers }))
    }

    async fn check_key(
        &self,
        request: Request<CheckKeyRequest>,
    ) -> Result<Response<CheckKeyResponse>, Status> {
        self.saw("CheckKey", request);
        Ok(Response::new(CheckKeyResponse {}))
    }
}
