//! `headgate.usage.v1.UsageService`.

mod request;
#[cfg(test)]
mod tests;

use headgate_access::{Caller, Gate};
use headgate_kit::error::Failure;
use headgate_proto::usage::v1::usage_service_server::UsageService;
use headgate_proto::usage::v1::{
    GetUsageSummaryRequest, GetUsageSummaryResponse, ListUsageRecordsRequest, ListUsageRecordsResponse,
    UsageFilter,
};
use prost::Name;
use tonic::{Request, Response, Status};

use self::request::{filter, page_size, page_token, read_page_token};
use crate::ledger::{Ledger, Summary};
use crate::pending::Pending;

/// Reads the ledger. See the proto for what its calls promise.
pub struct UsageApi {
    ledger: Ledger,
    pending: Pending,
    gate: Gate,
}

impl UsageApi {
    pub(crate) fn new(ledger: Ledger, pending: Pending, gate: Gate) -> Self {
        Self { ledger, pending, gate }
    }
}

#[tonic::async_trait]
impl UsageService for UsageApi {
    async fn list_usage_records(
        &self,
        request: Request<ListUsageRecordsRequest>,
    ) -> Result<Response<ListUsageRecordsResponse>, Status> {
        self.check(&request, request.get_ref().filter.as_ref())?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let after = read_page_token(&request.page_token)?;
        let filter = filter(request.filter.unwrap_or_default())?;
        let page = self.ledger.page(&filter, after.as_ref(), size).await.map_err(unavailable)?;
        Ok(Response::new(ListUsageRecordsResponse {
            records: page.records,
            next_page_token: page.next.as_ref().map(page_token).unwrap_or_default(),
        }))
    }

    async fn get_usage_summary(
        &self,
        request: Request<GetUsageSummaryRequest>,
    ) -> Result<Response<GetUsageSummaryResponse>, Status> {
        let caller = self.check(&request, request.get_ref().filter.as_ref())?;
        let filter = filter(request.into_inner().filter.unwrap_or_default())?;
        // Asked first: a record that is stored in between is then counted twice rather than not at all.
        let pending = if caller.is_super_admin() { self.pending.records() } else { 0 };
        let summary = self.ledger.summary(&filter).await.map_err(unavailable)?;
        Ok(Response::new(encode(&summary, pending)))
    }
}

impl UsageApi {
    /// Rows of one tenant are for its people, rows of all of them for super admins.
    fn check<M: Name>(&self, request: &Request<M>, filter: Option<&UsageFilter>) -> Result<Caller, Status> {
        let tenant_id = filter.map(|filter| filter.tenant_id.as_str()).filter(|id| !id.is_empty());
        if tenant_id.is_some() {
            return self.gate.check_in(request, tenant_id, "tenant");
        }
        let caller = self.gate.check_across(request)?;
        if caller.is_super_admin() {
            return Ok(caller);
        }
        let message = "filter.tenant_id is required: only super admins read the rows of all tenants";
        Err(Failure::invalid("filter.tenant_id", message).into())
    }
}

fn unavailable(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the ledger", cause)
}

fn encode(summary: &Summary, pending_records: u64) -> GetUsageSummaryResponse {
    GetUsageSummaryResponse {
        requests: count(summary.requests),
        failed_requests: count(summary.failed_requests),
        estimated_requests: count(summary.estimated_requests),
        prompt_tokens: count(summary.prompt_tokens),
        completion_tokens: count(summary.completion_tokens),
        total_tokens: count(summary.total_tokens),
        cached_tokens: count(summary.cached_tokens),
        reasoning_tokens: count(summary.reasoning_tokens),
        cost_nano_usd: summary.cost_nano_usd,
        pending_records,
    }
}

/// Sums of columns that are never negative.
fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}
