//! Steps one to five of a request: authenticate, resolve, admit, intent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headgate_kit::conn::is_broken_off;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_kit::ids;
use headgate_kit::request_id::RequestId;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::budget::v1::admit_response::Outcome;
use headgate_proto::budget::v1::{AdmitRequest, AdmitResponse, Admitted, Idempotency};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::asked::Asked;
use crate::attempt::Run;
use crate::headers::Headers;
use crate::lease::Lease;
use crate::models::{Entry, operation_name};
use crate::release::Pending;
use crate::router::Parts;
use crate::subject::Subject;
use crate::{error, targets};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ADMIT_TIMEOUT: HeaderValue = HeaderValue::from_static("5S");
/// How many replicas of budget are asked.
const ADMIT_ATTEMPTS: usize = 3;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// A request on its way in.
pub(crate) struct Call<'a> {
    parts: &'a Arc<Parts>,
    pub(crate) key: Arc<KeyRecord>,
    headers: Headers,
    request_id: RequestId,
    idempotency_key: Option<String>,
    started: Instant,
}

/// A request that may run, or one that ran before.
pub(crate) enum Admission {
    Run(Box<Run>),
    Replay(Headers, Bytes),
}

impl<'a> Call<'a> {
    /// Who asks. Everything said of a request before this is known says nothing of models.
    pub(crate) async fn begin(parts: &'a Arc<Parts>, metadata: &MetadataMap) -> Result<Self, Status> {
        let started = Instant::now();
        let request_id = RequestId::of(metadata.as_ref(), &parts.clock);
        let headers = Headers::new(request_id.header());
        match parts.authenticator.authenticate(metadata, started).await {
            Ok(key) => {
                let idempotency_key = metadata.as_ref().get(IDEMPOTENCY_KEY);
                let idempotency_key = idempotency_key.map(|v| v.to_str().unwrap_or("").to_owned());
                Ok(Self { parts, key, headers, request_id, idempotency_key, started })
            }
            Err(failure) => Err(refused(parts, headers, failure)),
        }
    }

    /// The answer of a call that needs no admission.
    pub(crate) fn answer<T>(self, message: T) -> tonic::Response<T> {
        self.headers.response(message)
    }

    /// Counts and renders a refusal. The last word of a call.
    pub(crate) fn refuse(&mut self, failure: Failure) -> Status {
        refused(self.parts, std::mem::take(&mut self.headers), failure)
    }

    /// Resolves, admits, and writes the intent. `digest` tells requests apart that carry one idempotency key.
    pub(crate) async fn admit(
        &mut self,
        asked: &Asked<'_>,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<Admission, Status> {
        match self.try_admit(asked, digest).await {
            Ok(admission) => Ok(admission),
            Err(failure) => Err(self.refuse(failure)),
        }
    }

    async fn try_admit(
        &mut self,
        asked: &Asked<'_>,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<Admission, Failure> {
        let (prepared, request) = self.prepare(asked, digest)?;
        let Some(budget) = &self.parts.remote_budget else {
            let pending = self.pending(&prepared);
            let answer = self.parts.admission.admit(request).await;
            pending.answered(&answer);
            return match answer {
                Ok(response) => self.decided(prepared, response.into_inner()),
                Err(status) => Err(Failure::unavailable("admission", status.message())),
            };
        };
        // Boxed: only there it is needed, and larger than all the rest.
        let answer = if budget.is_away() {
            Err(Status::unavailable("no replica of budget answers"))
        } else {
            Box::pin(admit_anywhere(self.pending(&prepared), request)).await
        };
        match answer {
            Ok(response) => self.decided(prepared, response.into_inner()),
            Err(status) if is_broken_off(&status) && self.may_go_on() => {
                self.parts.metrics.unlimited_requests.inc();
                self.enter(prepared, None).map(Admission::Run)
            }
            Err(status) => Err(Failure::unavailable("admission", status.message())),
        }
    }

    fn pending(&self, prepared: &Prepared) -> Pending<'_> {
        Pending::new(self.parts, prepared.subject.id, &self.key.tenant_id)
    }

    /// Whether a request may run while budget is away: it is known to have no budget that it could overrun, and brings
    /// no idempotency key, of which nobody else knows.
    fn may_go_on(&self) -> bool {
        let max_age = Duration::from_millis(self.parts.config.max_snapshot_age_ms);
        let (key, now) = (&self.key, self.parts.clock.unix_millis());
        self.idempotency_key.is_none()
            && self.parts.policies.know_no_budget(&key.key_id, &key.tenant_id, now, max_age)
    }

    fn prepare(
        &self,
        asked: &Asked<'_>,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<(Prepared, tonic::Request<AdmitRequest>), Failure> {
        let entry = self.resolve(asked)?;
        let targets = targets::choose(&entry, self.parts)?;
        let idempotency = self.idempotency(digest)?;
        let keep_response = idempotency.is_some();
        let cap_terms = asked.cap_terms(&entry);
        let default_output_limit = asked.default_output_limit(&entry);
        let limit_tokens = asked.limit_tokens(&entry);
        let subject = self.subject(entry, asked);
        let intent = subject.intent();
        let prepared = Prepared {
            subject,
            intent: intent.encode_to_vec(),
            targets,
            keep_response,
            default_output_limit,
        };
        let message = AdmitRequest { limit_tokens, cap_terms, idempotency, intent: Some(intent) };
        Ok((prepared, within(ADMIT_TIMEOUT, message)))
    }

    fn decided(&mut self, prepared: Prepared, answer: AdmitResponse) -> Result<Admission, Failure> {
        if let Some(budget) = &answer.budget {
            self.headers.budget(budget);
        }
        match answer.outcome {
            Some(Outcome::Admitted(admitted)) => self.enter(prepared, Some(&admitted)).map(Admission::Run),
            Some(Outcome::Replay(replay)) => {
                self.headers.replayed();
                Ok(Admission::Replay(std::mem::take(&mut self.headers), replay.response))
            }
            Some(Outcome::Refused(refused)) => {
                if refused.reason() == ErrorReason::BudgetExceeded {
                    self.headers.budget_exceeded();
                }
                Err(error::refused(&refused))
            }
            None => Err(Failure::internal("budget answered without an outcome")),
        }
    }

    /// Writes the intent of a request that may run. One that nobody admitted has no lease to keep.
    fn enter(&mut self, prepared: Prepared, admitted: Option<&Admitted>) -> Result<Box<Run>, Failure> {
        let Prepared { subject, intent, mut targets, keep_response, default_output_limit } = prepared;
        let (id, now) = (subject.id, subject.started_at_unix_ms);
        let key = subject.key.clone();
        let lease = Lease::open(self.parts.clone(), subject, &intent, self.started, keep_response)?;
        if let Some(admitted) = admitted {
            self.parts.keeper.hold(id, key, now, admitted.expires_at_unix_ms);
        }
        let budgeted = admitted.and_then(|admitted| admitted.output_token_cap);
        if let Some(cap) = budgeted {
            self.headers.output_cap(cap);
        }
        targets.truncate(usize::try_from(self.parts.config.max_attempts).unwrap_or(usize::MAX));
        Ok(Box::new(Run {
            lease,
            headers: std::mem::take(&mut self.headers),
            targets: targets.into_iter(),
            output_token_cap: [budgeted, default_output_limit].into_iter().flatten().min(),
        }))
    }

    fn resolve(&self, asked: &Asked<'_>) -> Result<Arc<Entry>, Failure> {
        let operation = operation_name(asked.operation);
        if !self.key.scopes.is_empty() && !self.key.scopes.iter().any(|s| s == operation) {
            return Err(error::scope(operation));
        }
        let models = self.parts.models.current();
        let entry = models.resolve(&self.key, &asked.model)?;
        entry.offers(asked.operation)?;
        Ok(entry.clone())
    }

    fn subject(&self, entry: Arc<Entry>, asked: &Asked<'_>) -> Subject {
        let now = self.parts.clock.unix_millis();
        let (key, request_id) = (self.key.clone(), self.request_id.clone());
        Subject::new(ids::uuid_at(now), key, request_id, entry, asked, now)
    }

    fn idempotency(&self, digest: impl FnOnce() -> [u8; 32]) -> Result<Option<Idempotency>, Failure> {
        let Some(key) = &self.idempotency_key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
            let message =
                format!("the idempotency key must be 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters");
            return Err(Failure::invalid("idempotency-key", message));
        }
        Ok(Some(Idempotency { key: key.clone(), request_sha256: digest().to_vec().into() }))
    }
}

/// Asks another replica when one breaks off: the lease id makes that safe.
async fn admit_anywhere(
    mut pending: Pending<'_>,
    request: tonic::Request<AdmitRequest>,
) -> Result<tonic::Response<AdmitResponse>, Status> {
    let (metadata, _, message) = request.into_parts();
    let mut left = ADMIT_ATTEMPTS;
    loop {
        let again =
            tonic::Request::from_parts(metadata.clone(), tonic::Extensions::default(), message.clone());
        let answer = pending.admission().admit(again).await;
        left -= 1;
        match answer {
            Err(status) if left > 0 && is_broken_off(&status) => {
                tracing::debug!("admission broke off, asking again");
                pending.broke_off();
            }
            answer => {
                pending.answered(&answer);
                return answer;
            }
        }
    }
}

fn refused(parts: &Parts, headers: Headers, failure: Failure) -> Status {
    parts.metrics.refused(failure.reason);
    tracing::debug!(reason = failure.reason.as_str_name(), "request refused");
    headers.refuse(failure)
}

/// A request that waits for its admission.
struct Prepared {
    subject: Subject,
    /// The encoded intent. Written only once the request is admitted; the message itself goes to the admission.
    intent: Vec<u8>,
    targets: Vec<usize>,
    keep_response: bool,
    /// The most tokens of the answer, where the request leaves that to the model's default.
    default_output_limit: Option<u32>,
}

/// A call that ends after `timeout` at the latest, given as gRPC writes it.
fn within<M>(timeout: HeaderValue, message: M) -> tonic::Request<M> {
    let metadata = HeaderMap::from_iter([(GRPC_TIMEOUT, timeout)]);
    tonic::Request::from_parts(MetadataMap::from_headers(metadata), tonic::Extensions::default(), message)
}
