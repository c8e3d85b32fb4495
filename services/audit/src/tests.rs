//! What is told to a log of our own.

mod delivery;
mod shown;

use std::sync::Arc;

use headgate_access::{Actor, Author};
use headgate_kit::conn::{Conn, local};
use headgate_kit::origin::Origin;
use headgate_proto::auth::v1::audit_ingest_service_server::{AuditIngestService, AuditIngestServiceServer};
use headgate_proto::auth::v1::{AuditEvent, RecordAuditEventsRequest, RecordAuditEventsResponse};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use crate::*;

const NOW_MS: i64 = 1_700_000_000_123;

/// A log that may be away, or take what it is told and not say so.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    events: Vec<AuditEvent>,
    /// How often it is away yet.
    away: usize,
    /// How often its answer gets lost yet.
    silent: usize,
    calls: usize,
}

impl Log {
    fn conn(&self) -> Conn {
        local(AuditIngestServiceServer::new(self.clone()))
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().events.iter().map(|event| event.id.clone()).collect()
    }
}

#[tonic::async_trait]
impl AuditIngestService for Log {
    async fn record_audit_events(
        &self,
        request: Request<RecordAuditEventsRequest>,
    ) -> Result<Response<RecordAuditEventsResponse>, Status> {
        let mut log = self.0.lock();
        log.calls += 1;
        if log.away > 0 {
            log.away -= 1;
            return Err(Status::unavailable("away"));
        }
        for event in request.into_inner().events {
            if log.events.iter().all(|known| known.id != event.id) {
                log.events.push(event);
            }
        }
        if log.silent > 0 {
            log.silent -= 1;
            return Err(Status::unavailable("lost"));
        }
        Ok(Response::new(RecordAuditEventsResponse {}))
    }
}

fn ada() -> Author {
    let origin =
        Origin { address: "192.0.2.7".parse().ok(), user_agent: "curl".into(), request_id: "one".into() };
    Author { actor: Actor::User("ada".into()), origin, action: "test.v1.Service.Call".into() }
}

fn made(now_ms: i64, id: &str) -> Entry {
    Entry::of_deed(&ada(), now_ms, Thing::of("acme", "thing", id))
}
