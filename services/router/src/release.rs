//! Gives admissions back that nobody uses: their answers were not awaited, or did not come, or nothing could follow.
//! Left alone they would hold their share until their leases expire, and then be accounted for though nothing ran.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::conn::Conn;
use headgate_proto::budget::v1::admit_response::Outcome;
use headgate_proto::budget::v1::{AdmissionServiceStub, AdmitResponse, ReleaseRequest};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::router::Parts;
use crate::settle::{CALL_DEADLINE, promptly};

/// Admissions on their way back at once, at most. More are left to expire.
pub(crate) const MOST: usize = 4096;
/// How long to try.
const PATIENCE: Duration = Duration::from_secs(120);
const BACK_OFF: Duration = Duration::from_secs(1);

/// An admission that was asked for. It is given back when this is dropped, unless an answer tells for certain what is
/// held.
pub(crate) struct Pending<'a> {
    parts: &'a Arc<Parts>,
    lease: Uuid,
    tenant_id: &'a str,
    /// A call may come through yet that came to nothing for us.
    in_doubt: bool,
    is_certain: bool,
}

impl<'a> Pending<'a> {
    /// From before the first call on.
    pub(crate) fn new(parts: &'a Arc<Parts>, lease: Uuid, tenant_id: &'a str) -> Self {
        Self { parts, lease, tenant_id, in_doubt: false, is_certain: false }
    }

    /// Who is asked.
    pub(crate) fn admission(&self) -> &'a AdmissionServiceStub<Conn> {
        &self.parts.admission
    }

    /// A call broke off, and another one follows.
    pub(crate) fn broke_off(&mut self) {
        self.in_doubt = true;
    }

    /// The last call has ended.
    pub(crate) fn answered(mut self, answer: &Result<Response<AdmitResponse>, Status>) {
        self.is_certain = match answer {
            Ok(answer) if matches!(answer.get_ref().outcome, Some(Outcome::Admitted(_))) => true,
            Ok(_) => !self.in_doubt,
            // What budget says itself has a reason, and is no admission.
            Err(status) => !self.in_doubt && !status.details().is_empty(),
        };
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_certain {
            release(self.parts, self.lease, self.tenant_id);
        }
    }
}

/// Gives an admission back without waiting. A budget service in this process is done before this returns, one elsewhere
/// is told by a task.
pub(crate) fn release(parts: &Arc<Parts>, lease: Uuid, tenant_id: &str) {
    let Ok(turn) = parts.releases.clone().try_acquire_owned() else {
        parts.metrics.unreleased_admissions.inc();
        return;
    };
    let (of, tenant_id) = (parts.clone(), tenant_id.to_owned());
    promptly(parts, PATIENCE + 2 * CALL_DEADLINE, async move {
        let message = ReleaseRequest { lease_id: lease.to_string(), tenant_id };
        tell(&of, message).await;
        drop(turn);
    });
}

/// Tells budget, whichever replica answers, as often as it takes; once more at most when the process stops.
async fn tell(parts: &Parts, message: ReleaseRequest) {
    let (since, stopping) = (Instant::now(), parts.tasks.stopping());
    loop {
        if !parts.remote_budget.as_ref().is_some_and(Conn::is_away) {
            let mut request = Request::new(message.clone());
            request.set_timeout(CALL_DEADLINE);
            match parts.admission.release(request).await {
                Ok(_) => return,
                Err(status) => tracing::debug!(cause = status.message(), "admission not given back yet"),
            }
        }
        if stopping.is_cancelled() || since.elapsed() > PATIENCE {
            parts.metrics.unreleased_admissions.inc();
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(BACK_OFF) => {}
        }
    }
}
