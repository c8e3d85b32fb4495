//! `AdmissionService`: translates between the wire and the engine.

use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::identity::{is_from_elsewhere, require_peer};
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::admission_service_server::AdmissionService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::wire;
use crate::Budget;
use crate::engine::admit::{Answer, Ask, Decision};
use crate::engine::finish::Settlement;
use crate::engine::lease::Idempotency;
use crate::replays::IdempotencyKey;

/// Who may call.
const CALLERS: &[&str] = &["router"];

/// The longest idempotency key, in bytes.
const KEY_MAX_BYTES: usize = 255;

/// When to come back while the backlog of a start is read.
const BEHIND_RETRY: Duration = Duration::from_secs(1);

/// The server of `AdmissionService`.
#[derive(Clone, Debug)]
pub struct Admissions(pub(crate) Budget);

#[tonic::async_trait]
impl AdmissionService for Admissions {
    async fn admit(&self, request: Request<pb::AdmitRequest>) -> Result<Response<pb::AdmitResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let from_elsewhere = is_from_elsewhere(&request);
        let ask = ask(request.into_inner(), from_elsewhere)?;
        if !self.0.ready() && self.0.engine.needs_backlog(&ask) {
            return Err(behind().into());
        }
        if let Some(follower) = &self.0.follower {
            follower.meet(&ask.intent.key_id).await?;
        }
        let answer = self.0.engine.admit(ask).await?;
        self.count(&answer.decision);
        Ok(Response::new(response(answer)?))
    }

    async fn extend(
        &self,
        request: Request<pb::ExtendRequest>,
    ) -> Result<Response<pb::ExtendResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let request = request.get_ref();
        let id = lease_id("lease_id", &request.lease_id)?;
        let expires = self.0.engine.extend(id, &request.tenant_id).await?;
        let expires = expires.ok_or_else(|| Failure::new(ErrorReason::NotFound, "the lease has ended"))?;
        Ok(Response::new(pb::ExtendResponse { expires_at_unix_ms: expires }))
    }

    async fn settle(
        &self,
        request: Request<pb::SettleRequest>,
    ) -> Result<Response<pb::SettleResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let request = request.into_inner();
        let id = lease_id("lease_id", &request.lease_id)?;
        let cost = not_negative("cost_nano_usd", request.cost_nano_usd)?;
        let settlement = Settlement { cost, tokens: request.tokens, response: request.response };
        self.0.engine.settle(id, &request.tenant_id, settlement).await?;
        Ok(Response::new(pb::SettleResponse {}))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let request = request.get_ref();
        let id = lease_id("lease_id", &request.lease_id)?;
        self.0.engine.release(id, &request.tenant_id).await?;
        Ok(Response::new(pb::ReleaseResponse {}))
    }
}

impl Admissions {
    fn count(&self, decision: &Decision) {
        let metrics = &self.0.engine.metrics();
        let refused_for = match decision {
            Decision::Admitted { .. } => return metrics.admitted(),
            Decision::Replay(_) => return metrics.replayed(),
            Decision::Refused(refusal) => {
                if let Some(reached) = refusal.limit {
                    metrics.limited(reached);
                }
                refusal.reason
            }
            Decision::Ended => ErrorReason::Conflict,
        };
        metrics.refused(refused_for);
        tracing::debug!(reason = refused_for.as_str_name(), "request not admitted");
    }
}

/// Said of every request until then, so it is no warning in the log.
fn behind() -> Failure {
    Failure::new(ErrorReason::Unavailable, "what was spent is not known yet after a start, try again shortly")
        .retry_after(BEHIND_RETRY)
}

fn ask(request: pb::AdmitRequest, from_elsewhere: bool) -> Result<Ask, Failure> {
    let intent = request.intent.ok_or_else(|| Failure::invalid("intent", "intent is required"))?;
    let lease = lease_id("intent.lease_id", &intent.lease_id)?;
    not_negative("intent.hold_nano_usd", intent.hold_nano_usd)?;
    for (field, value) in [("intent.key_id", &intent.key_id), ("intent.tenant_id", &intent.tenant_id)] {
        if value.is_empty() {
            return Err(Failure::invalid(field, format!("{field} is required")));
        }
    }
    if let Some(terms) = &request.cap_terms {
        not_negative("cap_terms.prompt_nano_usd", terms.prompt_nano_usd)?;
        let field = "cap_terms.output_nano_usd_per_1k_tokens";
        not_negative(field, terms.output_nano_usd_per_1k_tokens)?;
    }
    let idempotency = request.idempotency.map(|i| idempotency(i, &intent.key_id)).transpose()?;
    Ok(Ask {
        lease,
        intent: Box::new(intent),
        limit_tokens: request.limit_tokens,
        cap_terms: request.cap_terms,
        idempotency,
        from_elsewhere,
    })
}

fn idempotency(given: pb::Idempotency, key_id: &str) -> Result<Idempotency, Failure> {
    if !(1..=KEY_MAX_BYTES).contains(&given.key.len()) {
        let text = format!("the idempotency key must have 1 to {KEY_MAX_BYTES} bytes");
        return Err(Failure::invalid("idempotency.key", text));
    }
    let request_sha256 = <[u8; 32]>::try_from(&given.request_sha256[..])
        .map_err(|_| Failure::invalid("idempotency.request_sha256", "a SHA-256 has 32 bytes"))?;
    Ok(Idempotency { key: IdempotencyKey { key_id: key_id.to_owned(), key: given.key }, request_sha256 })
}

fn response(answer: Answer) -> Result<pb::AdmitResponse, Failure> {
    use pb::admit_response::Outcome;
    let outcome = match answer.decision {
        Decision::Admitted { expires_at, cap, .. } => {
            Outcome::Admitted(pb::Admitted { expires_at_unix_ms: expires_at, output_token_cap: cap })
        }
        Decision::Replay(response) => Outcome::Replay(pb::Replay { response }),
        Decision::Refused(refusal) => Outcome::Refused(pb::Refused {
            reason: refusal.reason.into(),
            message: refusal.message,
            retry_after_ms: refusal.retry_after_ms,
        }),
        Decision::Ended => return Err(Failure::new(ErrorReason::Conflict, "the lease was used before")),
    };
    Ok(pb::AdmitResponse { outcome: Some(outcome), budget: answer.budget.map(wire::status) })
}

fn lease_id(field: &str, id: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(id).map_err(|_| Failure::invalid(field, format!("{field} must be a UUID")))
}

fn not_negative(field: &str, amount: i64) -> Result<i64, Failure> {
    if amount < 0 {
        return Err(Failure::invalid(field, format!("{field} must not be negative")));
    }
    Ok(amount)
}
