//! `headgate.runtime.v1.LocalModelService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::runtime::v1::local_model_service_server::LocalModelService;
use headgate_proto::runtime::v1::{ListLocalModelsRequest, ListLocalModelsResponse, LocalModel};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::describe::describe;
use crate::folder::{FolderError, ModelFolder};
use crate::group::{group, part_of};

#[cfg(test)]
mod tests;

const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 1000;
/// Scans that read the disk at the same time; the others wait.
const MAX_SCANS: usize = 2;

/// Lists local models for super admins. See the proto for what its calls promise. Clones share everything.
#[derive(Clone)]
pub struct LocalModelApi {
    folder: ModelFolder,
    gate: Gate,
    scans: Arc<Semaphore>,
}

impl LocalModelApi {
    pub(crate) fn new(folder: ModelFolder, gate: Gate) -> Self {
        Self { folder, gate, scans: Arc::new(Semaphore::new(MAX_SCANS)) }
    }
}

#[tonic::async_trait]
impl LocalModelService for LocalModelApi {
    async fn list_local_models(
        &self,
        request: Request<ListLocalModelsRequest>,
    ) -> Result<Response<ListLocalModelsResponse>, Status> {
        self.gate.check(&request)?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let permit = Arc::clone(&self.scans).acquire_owned().await.map_err(Failure::internal)?;
        let folder = self.folder.clone();
        let scan = move || {
            let _permit = permit;
            page(&folder, &request.page_token, size)
        };
        let page = tokio::task::spawn_blocking(scan).await.map_err(Failure::internal)?;
        Ok(Response::new(page.map_err(unavailable)?))
    }
}

fn page_size(asked: u32) -> Result<usize, Failure> {
    match asked {
        0 => Ok(DEFAULT_PAGE_SIZE as usize),
        1..=MAX_PAGE_SIZE => Ok(asked as usize),
        _ => Err(Failure::invalid("page_size", format!("page_size must be at most {MAX_PAGE_SIZE}"))),
    }
}

/// Lists the folder and reads the headers of one page. A token is the first file of the last model; that file need not
/// be there any more.
fn page(folder: &ModelFolder, after: &str, size: usize) -> Result<ListLocalModelsResponse, FolderError> {
    let groups = group(folder.files()?);
    let begin = if after.is_empty() {
        0
    } else {
        let after = (part_of(after).model, after);
        groups.partition_point(|group| group.key() <= after)
    };
    let rest = groups.get(begin..).unwrap_or_default();
    let models: Vec<LocalModel> = rest.iter().take(size).map(describe).collect();
    let last = models.last().filter(|_| rest.len() > size);
    let next_page_token = last.and_then(|model| model.files.first().cloned()).unwrap_or_default();
    Ok(ListLocalModelsResponse { models, next_page_token })
}

fn unavailable(cause: FolderError) -> Failure {
    Failure::new(ErrorReason::Unavailable, cause.to_string())
}
