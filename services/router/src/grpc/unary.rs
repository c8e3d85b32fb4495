//! What calls with one answer have in common.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use headgate_kit::error::Failure;
use headgate_proto::adapter::v1::Target;
use prost::Message;
use tonic::{Response, Status};

use crate::call::Run;
use crate::headers::Headers;
use crate::router::Parts;
use crate::{error, replay};

/// Tries one target after the other with `call`, until one answers or none is left.
pub(super) async fn attempt<A, Call, Calling>(mut run: Run, call: Call) -> Result<(Run, A), Status>
where
    Call: Fn(Arc<Parts>, Target, Option<u32>) -> Calling,
    Calling: Future<Output = Result<Response<A>, Status>>,
{
    let mut failure = error::no_target();
    while let Some(candidate) = run.next_candidate() {
        let since = Instant::now();
        match call(run.parts.clone(), candidate.target.clone(), run.output_token_cap).await {
            Ok(answer) => {
                run.lease.attempted(&candidate, since, None);
                return Ok((run, answer.into_inner()));
            }
            Err(status) => {
                if let Err(last) = run.failed(&candidate, since, &status) {
                    failure = last;
                    break;
                }
            }
        }
    }
    run.lease.fail(&failure);
    Err(run.headers.refuse(failure))
}

/// The answer that was kept for an idempotency key.
pub(super) fn replayed<M: Message + Default>(headers: &Headers, kept: Bytes) -> Result<Response<M>, Status> {
    match replay::read(kept).map(|messages: Vec<M>| messages.into_iter().next()) {
        Ok(Some(response)) => Ok(headers.response(response)),
        Ok(None) => Err(headers.refuse(Failure::internal("a kept response is empty"))),
        Err(failure) => Err(headers.refuse(failure)),
    }
}
