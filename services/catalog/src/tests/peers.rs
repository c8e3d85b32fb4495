//! The adapter as catalog's tests need it: what its probes find is said beforehand.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::conn::{Conn, local};
use headgate_proto::adapter::v1::adapter_service_server::{AdapterService, AdapterServiceServer};
use headgate_proto::adapter::v1::{
    ChatRequest, ChatResponse, EmbedRequest, EmbedResponse, ProbeRequest, ProbeResponse, ProbeStatus,
    StreamChatRequest, StreamChatResponse, Target,
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

/// What probes find, by base URL, and who was asked. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Upstreams(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    found: HashMap<String, (ProbeStatus, u32)>,
    away: bool,
    asked: Vec<Target>,
}

impl Upstreams {
    pub(super) fn conn(&self) -> Conn {
        local(AdapterServiceServer::new(self.clone()))
    }

    /// From now on.
    pub(super) fn are(&self, base_url: &str, status: ProbeStatus, code: u32) {
        self.0.lock().found.insert(base_url.to_owned(), (status, code));
    }

    /// Whether the adapter itself answers nothing.
    pub(super) fn are_away(&self, away: bool) {
        self.0.lock().away = away;
    }

    pub(super) fn asked(&self) -> Vec<Target> {
        self.0.lock().asked.clone()
    }
}

#[tonic::async_trait]
impl AdapterService for Upstreams {
    type StreamChatStream = Pin<Box<dyn Stream<Item = Result<StreamChatResponse, Status>> + Send>>;

    async fn chat(&self, _: Request<ChatRequest>) -> Result<Response<ChatResponse>, Status> {
        Err(Status::unimplemented("the catalog only probes"))
    }

    async fn stream_chat(
        &self,
        _: Request<StreamChatRequest>,
    ) -> Result<Response<Self::StreamChatStream>, Status> {
        Err(Status::unimplemented("the catalog only probes"))
    }

    async fn embed(&self, _: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        Err(Status::unimplemented("the catalog only probes"))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let target = request.into_inner().target.unwrap();
        let mut script = self.0.lock();
        if script.away {
            return Err(Failure::unavailable("the adapter", "it is away").into());
        }
        let (status, status_code) =
            script.found.get(&target.base_url).copied().unwrap_or((ProbeStatus::Online, 200));
        script.asked.push(target);
        let detail = "as it was said".to_owned();
        Ok(Response::new(ProbeResponse { status: status.into(), status_code, latency_ms: 12, detail }))
    }
}
