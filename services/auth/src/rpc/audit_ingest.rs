//! `AuditIngestService`.

use std::sync::Arc;

use headgate_audit::id_floor;
use headgate_kit::Failure;
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::audit_ingest_service_server::AuditIngestService;
use headgate_proto::auth::v1::{AuditEvent, RecordAuditEventsRequest, RecordAuditEventsResponse};
use tonic::{Request, Response, Status};

use crate::audit;
use crate::registry::Registry;

/// Who may call: every service that people call.
const CALLERS: &[&str] = &["budget", "catalog", "runtime", "usage"];
/// How many events one call tells at most.
const MAX_EVENTS: usize = 500;

/// Takes in what other services have to tell the audit log.
#[derive(Clone)]
pub struct AuditIngestApi {
    registry: Arc<Registry>,
}

impl AuditIngestApi {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    async fn store(&self, events: &[AuditEvent]) -> Result<(), sqlx::Error> {
        let mut tx = self.registry.db().begin().await?;
        audit::write(&mut tx, events).await?;
        tx.commit().await
    }
}

#[tonic::async_trait]
impl AuditIngestService for AuditIngestApi {
    async fn record_audit_events(
        &self,
        request: Request<RecordAuditEventsRequest>,
    ) -> Result<Response<RecordAuditEventsResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let events = request.into_inner().events;
        if events.len() > MAX_EVENTS {
            let message = format!("events must be at most {MAX_EVENTS}");
            return Err(Failure::invalid("events", message).into());
        }
        if !events.iter().all(is_dated) {
            return Err(Failure::invalid("events.id", "an id is not of its event's time").into());
        }
        self.store(&events).await.map_err(|cause| Failure::unavailable("the audit log", cause))?;
        Ok(Response::new(RecordAuditEventsResponse {}))
    }
}

/// Whether an event is found by its time, which is looked for by id.
fn is_dated(event: &AuditEvent) -> bool {
    event.id.starts_with(&id_floor(audit::unix_ms(event.time)))
}
