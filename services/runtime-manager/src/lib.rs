//! Local model files: which lie in the model folder and what their headers say.
//!
//! Owns nothing but the sight of that folder, which it only reads. Promises that no file in it, however broken or
//! hostile, ends in more than a `problem` of its own row: reading a header is bounded in memory and in bytes read.

mod config;
mod describe;
mod folder;
mod gguf;
mod group;
mod quantization;
mod service;
#[cfg(test)]
mod testing;

use std::path::PathBuf;

use headgate_access::Gate;
use headgate_proto::runtime::v1::local_model_service_server::LocalModelServiceServer;

pub use crate::config::Config;
use crate::folder::ModelFolder;
pub use crate::service::LocalModelApi;

/// What the service needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The data folder, whose `models` is the default model folder.
    pub data_dir: PathBuf,
    /// Guards its RPCs.
    pub gate: Gate,
}

/// Why the service cannot start. Nothing yet can keep it from starting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {}

/// Finds local models. Clones share everything.
#[derive(Clone)]
pub struct RuntimeManager {
    api: LocalModelApi,
}

impl RuntimeManager {
    /// Looks at nothing yet: the model folder is read at every call.
    ///
    /// # Errors
    /// None so far.
    #[expect(clippy::unused_async, reason = "every service is built alike")]
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let folder = match config.models_dir {
            Some(dir) => ModelFolder::Configured(dir),
            None => ModelFolder::Default(deps.data_dir.join("models")),
        };
        Ok(Self { api: LocalModelApi::new(folder, deps.gate) })
    }

    /// The gRPC service that lists local models.
    #[must_use]
    pub fn local_model_service(&self) -> LocalModelServiceServer<LocalModelApi> {
        LocalModelServiceServer::new(self.api.clone())
    }
}
