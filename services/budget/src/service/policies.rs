//! `PolicyWatchService`.

use std::pin::Pin;

use futures_util::Stream;
use headgate_kit::identity::require_peer;
use headgate_kit::watch::HEARTBEAT;
use headgate_proto::budget::v1::policy_watch_service_server::PolicyWatchService;
use headgate_proto::budget::v1::{WatchPoliciesRequest, WatchPoliciesResponse};
use tonic::{Request, Response, Status};

use crate::Budget;

/// Who may call.
const CALLERS: &[&str] = &["router"];

/// The server of `PolicyWatchService`.
#[derive(Clone, Debug)]
pub struct PolicyWatch(pub(crate) Budget);

#[tonic::async_trait]
impl PolicyWatchService for PolicyWatch {
    type WatchPoliciesStream = Pin<Box<dyn Stream<Item = Result<WatchPoliciesResponse, Status>> + Send>>;

    async fn watch_policies(
        &self,
        request: Request<WatchPoliciesRequest>,
    ) -> Result<Response<Self::WatchPoliciesStream>, Status> {
        require_peer(&request, CALLERS)?;
        let (budget, stop) = (self.0.clone(), self.0.tasks.stopping());
        let mut changes = budget.engine.policies().changes();
        let stream = async_stream::stream! {
            loop {
                changes.mark_unchanged();
                yield Ok(snapshot(&budget));
                // Heartbeats, until something changes.
                loop {
                    let change = tokio::select! {
                        () = stop.cancelled() => return,
                        change = tokio::time::timeout(HEARTBEAT, changes.changed()) => change,
                    };
                    match change {
                        Ok(Ok(())) => break,
                        Ok(Err(_)) => return,
                        Err(_) => yield Ok(WatchPoliciesResponse::default()),
                    }
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }
}

fn snapshot(budget: &Budget) -> WatchPoliciesResponse {
    let policies = budget.engine.policies();
    let (key_ids_with_budget, tenant_ids_with_budget) = policies.with_budget();
    let every_tenant_has_budget = policies.default_budget().is_some();
    WatchPoliciesResponse {
        snapshot: true,
        key_ids_with_budget,
        tenant_ids_with_budget,
        every_tenant_has_budget,
    }
}
