//! Which models a consumer may use.

use std::sync::Arc;
use std::time::Instant;

use headgate_kit::error::Failure;
use headgate_proto::inference::v1::{
    GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse,
};
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::directory::Wanted;
use crate::router::Parts;
use crate::state;

pub(super) async fn list(
    parts: &Arc<Parts>,
    request: Request<ListModelsRequest>,
) -> Result<Response<ListModelsResponse>, Status> {
    let mut call = Call::begin(parts, request.metadata()).await?;
    let models = parts.models.current();
    if !models.is_ready() {
        return Err(call.refuse(Failure::unavailable("the catalog", "no snapshot yet")));
    }
    let wanted = match Wanted::new(request.into_inner()) {
        Ok(wanted) => wanted,
        Err(failure) => return Err(call.refuse(failure)),
    };
    let now = Instant::now();
    let visible = models.list(&call.key).into_iter().filter(|entry| wanted.fits(entry));
    let models = visible.map(|entry| state::describe(entry, &parts.cooldowns, now)).collect();
    Ok(call.answer(ListModelsResponse { models }))
}

pub(super) async fn get(
    parts: &Arc<Parts>,
    request: Request<GetModelRequest>,
) -> Result<Response<GetModelResponse>, Status> {
    let mut call = Call::begin(parts, request.metadata()).await?;
    match parts.models.current().resolve(&call.key, &request.get_ref().model) {
        Ok(entry) => {
            let model = state::describe(entry, &parts.cooldowns, Instant::now());
            Ok(call.answer(GetModelResponse { model: Some(model) }))
        }
        Err(failure) => Err(call.refuse(failure)),
    }
}
