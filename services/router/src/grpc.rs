//! The inference API, one file an RPC group.

mod chat;
mod directory;
mod embed;
mod models;
mod read;
mod routing;
mod stream_chat;
mod unary;

use std::sync::Arc;

pub use directory::Directory;
use headgate_proto::inference::v1::inference_service_server::InferenceService;
use headgate_proto::inference::v1::{
    ChatRequest, ChatResponse, EmbedRequest, EmbedResponse, GetModelRequest, GetModelResponse,
    ListModelsRequest, ListModelsResponse, StreamChatRequest,
};
pub use routing::Routing;
use tonic::{Request, Response, Status};

use crate::router::Parts;

/// Implements `headgate.inference.v1.InferenceService`.
pub struct Inference(pub(crate) Arc<Parts>);

#[tonic::async_trait]
impl InferenceService for Inference {
    type StreamChatStream = stream_chat::ChatStream;

    async fn chat(&self, mut request: Request<ChatRequest>) -> Result<Response<ChatResponse>, Status> {
        chat::chat(&self.0, &mut request).await
    }

    async fn stream_chat(
        &self,
        request: Request<StreamChatRequest>,
    ) -> Result<Response<Self::StreamChatStream>, Status> {
        stream_chat::stream_chat(&self.0, request).await
    }

    async fn embed(&self, mut request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        embed::embed(&self.0, &mut request).await
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        models::list(&self.0, request).await
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        models::get(&self.0, request).await
    }
}
