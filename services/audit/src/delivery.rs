//! Telling auth, and how long to wait until it is tried again.

use std::time::Duration;

use headgate_kit::conn::Conn;
use headgate_proto::auth::v1::audit_ingest_service_client::AuditIngestServiceClient;
use headgate_proto::auth::v1::{AuditEvent, RecordAuditEventsRequest};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

/// How many events one call tells at most.
pub const AT_ONCE: usize = 100;
const CALL_DEADLINE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tells auth events, at most [`AT_ONCE`].
pub(crate) async fn tell(auth: &Conn, events: Vec<AuditEvent>) -> Result<(), Status> {
    let mut request = Request::new(RecordAuditEventsRequest { events });
    request.set_timeout(CALL_DEADLINE);
    let mut auth = AuditIngestServiceClient::new(auth.clone());
    match tokio::time::timeout(CALL_DEADLINE, auth.record_audit_events(request)).await {
        Ok(answer) => answer.map(drop),
        Err(_elapsed) => Err(Status::deadline_exceeded("no answer")),
    }
}

/// Between two tries: doubling up to a longest, from the start again after one that went well.
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    pub(crate) fn went_well(&mut self) {
        *self = Self::default();
    }

    /// Whether to go on afterwards: nobody asked to stop.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }
}
