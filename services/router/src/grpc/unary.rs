//! What calls with one answer have in common.

use bytes::Bytes;
use headgate_kit::conn::Conn;
use headgate_kit::error::Failure;
use headgate_proto::adapter::v1::{AdapterServiceStub, Target};
use prost::Message;
use tonic::{Response, Status};

use crate::attempt::Run;
use crate::headers::Headers;
use crate::{error, replay};

/// An attempt with one answer.
pub(super) trait Unary {
    /// What a consumer asks.
    type Question: Clone + Default;
    /// What the adapter answers.
    type Answer;

    /// Makes one attempt.
    fn call(
        adapter: &AdapterServiceStub<Conn>,
        target: Option<Target>,
        question: Self::Question,
        output_token_cap: Option<u32>,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

/// Tries one target after the other until one answers or none is left. Takes the question when it asks for the last
/// time.
pub(super) async fn attempt<U: Unary>(
    run: &mut Run,
    question: &mut U::Question,
) -> Result<U::Answer, Status> {
    let mut failure = error::no_target();
    while let Some(attempt) = run.next_attempt() {
        let question = if run.is_last() { std::mem::take(question) } else { question.clone() };
        let adapter = &run.lease.parts().adapter;
        match U::call(adapter, run.target(attempt), question, run.output_token_cap).await {
            Ok(answer) => {
                run.lease.attempted(attempt, None);
                return Ok(answer.into_inner());
            }
            Err(status) => {
                if let Err(last) = run.failed(attempt, &status) {
                    failure = last;
                    break;
                }
            }
        }
    }
    Err(run.fail(failure))
}

/// The answer that was kept for an idempotency key.
pub(super) fn replayed<M: Message + Default>(headers: Headers, kept: Bytes) -> Result<Response<M>, Status> {
    match replay::read(kept).map(|messages: Vec<M>| messages.into_iter().next()) {
        Ok(Some(response)) => Ok(headers.response(response)),
        Ok(None) => Err(headers.refuse(Failure::internal("a kept response is empty"))),
        Err(failure) => Err(headers.refuse(failure)),
    }
}
