//! `AuditService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::page::Page;
use headgate_proto::auth::v1::audit_service_server::AuditService;
use headgate_proto::auth::v1::{AuditFilter, AuditOutcome, ListAuditEventsRequest, ListAuditEventsResponse};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::audit::{self, Filter};
use crate::registry::Registry;

/// The longest text that is looked for, in bytes.
const MAX_TEXT: usize = 256;

/// Reads the audit log to admins of tenants, and all of it to super admins.
#[derive(Clone)]
pub struct AuditApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl AuditApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }

    /// Events of one tenant are for its admins, all of them for super admins.
    fn check(&self, request: &Request<ListAuditEventsRequest>) -> Result<(), Status> {
        let filter = request.get_ref().filter.as_ref();
        if let Some(tenant_id) = filter.map(|filter| filter.tenant_id.as_str()).filter(|id| !id.is_empty()) {
            let exists = self.registry.read().tenant(tenant_id).is_some();
            return self.gate.check_in(request, exists.then_some(tenant_id), "tenant").map(drop);
        }
        if self.gate.check_across(request)?.is_super_admin() {
            return Ok(());
        }
        let message = "filter.tenant_id is required: only super admins read the events of all tenants";
        Err(Failure::invalid("filter.tenant_id", message).into())
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        self.check(&request)?;
        let ListAuditEventsRequest { filter, page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        text("page_token", &page.after)?;
        let filter = read(filter.unwrap_or_default())?;
        let found = audit::page(self.registry.db(), &filter, &page).await;
        let (events, next_page_token) =
            found.map_err(|cause| Failure::unavailable("the audit log", cause))?;
        Ok(Response::new(ListAuditEventsResponse { events, next_page_token }))
    }
}

/// A filter, found good.
fn read(filter: AuditFilter) -> Result<Filter, Failure> {
    let outcome = AuditOutcome::try_from(filter.outcome)
        .map_err(|_| Failure::invalid("filter.outcome", "there is no such outcome"))?;
    let from_ms = filter.start_time.map(|time| unix_ms("filter.start_time", time)).transpose()?;
    let until_ms = filter.end_time.map(|time| unix_ms("filter.end_time", time)).transpose()?;
    if until_ms.zip(from_ms).is_some_and(|(until, from)| until < from) {
        return Err(Failure::invalid("filter.end_time", "end_time must not be before start_time"));
    }
    let texts = [
        ("tenant_id", filter.tenant_id),
        ("user_id", filter.user_id),
        ("action", filter.action),
        ("resource_kind", filter.resource_kind),
        ("resource_id", filter.resource_id),
        ("request_id", filter.request_id),
    ];
    for (field, value) in &texts {
        text(&format!("filter.{field}"), value)?;
    }
    Ok(Filter {
        texts: texts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        outcome: (outcome != AuditOutcome::Unspecified).then_some(outcome.into()),
        from_ms,
        until_ms,
    })
}

/// Refuses what no row can hold.
fn text(field: &str, value: &str) -> Result<(), Failure> {
    if value.len() <= MAX_TEXT && !value.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("{field} must be at most {MAX_TEXT} bytes without control characters");
    Err(Failure::invalid(field, message))
}

/// Rounded up: events have whole milliseconds, so "at or after" and "before" a part of one mean the next whole one.
fn unix_ms(field: &str, time: Timestamp) -> Result<i64, Failure> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis = nanos
        .and_then(|nanos| time.seconds.checked_mul(1000)?.checked_add(i64::from(nanos.div_ceil(1_000_000))));
    millis.ok_or_else(|| Failure::invalid(field, format!("{field} is not a valid time")))
}
