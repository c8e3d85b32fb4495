//! `KeyQuotaService`: what keys are made with.

use headgate_kit::Failure;
use headgate_kit::identity::require_peer;
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::key_quota_service_server::KeyQuotaService;
use tonic::{Request, Response, Status};

use super::wire;
use crate::Budget;
use crate::change::Change;
use crate::policy::{Limits, Scope};

/// Who may call.
const CALLERS: &[&str] = &["auth"];

/// The server of `KeyQuotaService`.
#[derive(Clone, Debug)]
pub struct KeyQuotas(pub(crate) Budget);

#[tonic::async_trait]
impl KeyQuotaService for KeyQuotas {
    async fn set_key_quota(
        &self,
        request: Request<pb::SetKeyQuotaRequest>,
    ) -> Result<Response<pb::SetKeyQuotaResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let pb::SetKeyQuotaRequest { key_id, tenant_id, limits, budget, author } = request.into_inner();
        let key = Scope::Key(required("key_id", key_id)?);
        let tenant_id = required("tenant_id", tenant_id)?;
        let author = author.ok_or_else(|| Failure::invalid("author", "author is required"))?;
        let (limits, budget) = (limits.map(Limits::from), budget.map(wire::key_budget).transpose()?);
        let change = Change::new(author, String::new(), tenant_id);
        let set = self.0.set_quota(&key, limits, budget, &change).await?;
        Ok(Response::new(pb::SetKeyQuotaResponse {
            limits: set.limits.map(Into::into),
            budget: set.budget.map(|kept| wire::shown_budget(Some(key), kept.budget, kept.alerts.shown())),
        }))
    }
}

fn required(field: &str, id: String) -> Result<String, Failure> {
    if id.is_empty() {
        return Err(Failure::invalid(field, format!("{field} is required")));
    }
    Ok(id)
}
