//! Steps one to five of a request: authenticate, resolve, admit, intent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headgate_kit::error::Failure;
use headgate_kit::ids;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::budget::v1::admit_response::Outcome;
use headgate_proto::budget::v1::{AdmitRequest, CapTerms, Idempotency};
use headgate_proto::catalog::v1::{Operation, Price};
use headgate_proto::inference::v1::BodyFacts;
use headgate_proto::record::v1::IntentRecord;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::error;
use crate::estimate;
use crate::headers::Headers;
use crate::lease::Lease;
use crate::models::{Candidate, Entry, operation_name};
use crate::order::weighted;
use crate::price::worst_case;
use crate::router::Parts;

const ADMIT_DEADLINE: Duration = Duration::from_secs(2);
const MAX_IDEMPOTENCY_KEY: usize = 255;
const MAX_REQUEST_ID: usize = 128;

/// A request on its way in.
pub(crate) struct Call {
    parts: Arc<Parts>,
    pub(crate) key: Arc<KeyRecord>,
    pub(crate) headers: Headers,
    request_id: String,
    idempotency_key: Option<String>,
    started: Instant,
}

/// What a request asks for.
pub(crate) struct Asked {
    pub(crate) model: String,
    pub(crate) operation: Operation,
    pub(crate) facts: BodyFacts,
    pub(crate) streamed: bool,
}

/// A request that may run, or one that ran before.
pub(crate) enum Admission {
    Run(Box<Run>),
    Replay(Headers, Bytes),
}

/// A request that may run.
pub(crate) struct Run {
    pub(crate) parts: Arc<Parts>,
    pub(crate) lease: Lease,
    pub(crate) headers: Headers,
    pub(crate) candidates: VecDeque<Arc<Candidate>>,
    pub(crate) output_token_cap: Option<u32>,
}

impl Call {
    /// Who asks. Everything said of a request before this is known says nothing of models.
    pub(crate) async fn begin(parts: &Arc<Parts>, metadata: &MetadataMap) -> Result<Self, Status> {
        let started = Instant::now();
        let request_id = request_id(metadata).unwrap_or_else(|| ids::uuid(&parts.clock).to_string());
        let headers = Headers::new(&request_id);
        match parts.authenticator.authenticate(metadata).await {
            Ok(key) => {
                let idempotency_key =
                    metadata.get("idempotency-key").map(|v| v.to_str().unwrap_or("").to_owned());
                Ok(Self { parts: parts.clone(), key, headers, request_id, idempotency_key, started })
            }
            Err(failure) => {
                parts.metrics.refused(failure.reason);
                Err(headers.refuse(failure))
            }
        }
    }

    /// Counts and renders a refusal.
    pub(crate) fn refuse(&self, failure: Failure) -> Status {
        self.parts.metrics.refused(failure.reason);
        self.headers.refuse(failure)
    }

    /// Resolves, admits, and writes the intent. `digest` tells requests apart that carry one idempotency key.
    pub(crate) async fn admit(
        mut self,
        asked: Asked,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<Admission, Status> {
        match self.try_admit(asked, digest).await {
            Ok(admission) => Ok(admission),
            Err(failure) => Err(self.refuse(failure)),
        }
    }

    async fn try_admit(
        &mut self,
        asked: Asked,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<Admission, Failure> {
        let entry = self.resolve(&asked)?;
        let candidates = self.order(&entry)?;
        let id = ids::uuid(&self.parts.clock);
        let intent = self.intent(id.to_string(), &entry, &asked);
        let idempotency = self.idempotency(digest)?;
        let keep_response = idempotency.is_some();
        let mut request = tonic::Request::new(AdmitRequest {
            limit_tokens: limit_tokens(&asked.facts),
            cap_terms: cap_terms(&asked, &intent),
            idempotency,
            intent: Some(intent.clone()),
        });
        request.set_timeout(ADMIT_DEADLINE);
        let answer = match self.parts.admission.admit(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(Failure::unavailable("admission", status.message())),
        };
        if let Some(budget) = &answer.budget {
            self.headers.budget(budget);
        }
        match answer.outcome {
            Some(Outcome::Admitted(admitted)) => {
                let lease = Lease::open(self.parts.clone(), id, intent, self.started, keep_response)?;
                let now = self.parts.clock.unix_millis();
                self.parts.keeper.hold(id.to_string(), now, admitted.expires_at_unix_ms);
                Ok(Admission::Run(Box::new(self.run(lease, candidates, admitted.output_token_cap))))
            }
            Some(Outcome::Replay(replay)) => {
                self.headers.set("idempotent-replayed", "true");
                Ok(Admission::Replay(self.headers.clone(), replay.response))
            }
            Some(Outcome::Refused(refused)) => Err(error::refused(&refused)),
            None => Err(Failure::internal("budget answered without an outcome")),
        }
    }

    fn run(&mut self, lease: Lease, candidates: VecDeque<Arc<Candidate>>, output_token_cap: Option<u32>) -> Run {
        if let Some(cap) = output_token_cap {
            self.headers.set("x-headgate-output-cap", &cap.to_string());
        }
        let headers = std::mem::take(&mut self.headers);
        Run { parts: self.parts.clone(), lease, headers, candidates, output_token_cap }
    }

    fn resolve(&self, asked: &Asked) -> Result<Arc<Entry>, Failure> {
        let operation = operation_name(asked.operation);
        if !self.key.scopes.is_empty() && !self.key.scopes.iter().any(|s| s == operation) {
            return Err(error::scope(operation));
        }
        let models = self.parts.models.current();
        let entry = models.resolve(&self.key.tenant_id, &asked.model)?;
        entry.offers(asked.operation)?;
        Ok(entry.clone())
    }

    /// The targets to try, best first; those that asked to be left alone are not among them.
    fn order(&self, entry: &Entry) -> Result<VecDeque<Arc<Candidate>>, Failure> {
        let now = Instant::now();
        let mut soonest: Option<Duration> = None;
        let mut usable = Vec::with_capacity(entry.candidates.len());
        for candidate in &entry.candidates {
            match self.parts.cooldowns.remaining(&candidate.target.target_id, now) {
                None => usable.push(candidate),
                Some(wait) => soonest = Some(soonest.map_or(wait, |s| s.min(wait))),
            }
        }
        if usable.is_empty() {
            return Err(soonest.map_or_else(error::no_target, error::all_cooling));
        }
        let order = match usable.len() {
            1 => vec![0],
            _ => {
                let weights: Vec<u32> = usable.iter().map(|c| c.weight).collect();
                weighted(&weights, &mut *self.parts.rng.lock())
            }
        };
        let most = usize::try_from(self.parts.config.max_attempts).unwrap_or(usize::MAX);
        Ok(order.into_iter().take(most).map(|i| usable[i].clone()).collect())
    }

    fn intent(&self, lease_id: String, entry: &Entry, asked: &Asked) -> IntentRecord {
        let facts = &asked.facts;
        let most = facts.max_output_tokens.unwrap_or(entry.model.max_output_tokens);
        let output = match asked.operation {
            Operation::Chat => u64::from(most) * u64::from(facts.choices.max(1)),
            _ => 0,
        };
        let price = entry.dearest();
        IntentRecord {
            lease_id,
            request_id: self.request_id.clone(),
            tenant_id: self.key.tenant_id.clone(),
            key_id: self.key.key_id.clone(),
            model: entry.model.name.clone(),
            operation: asked.operation.into(),
            started_at_unix_ms: self.parts.clock.unix_millis(),
            hold_nano_usd: worst_case(&price, facts.prompt_bytes.into(), output),
            prompt_tokens_estimate: estimate::tokens(facts.prompt_bytes),
            price: Some(price),
            price_revision: entry.revision,
            streamed: asked.streamed,
        }
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

/// What the token limit is charged with: the prompt, and the answer where the request bounds it.
fn limit_tokens(facts: &BodyFacts) -> u32 {
    let output = facts.max_output_tokens.unwrap_or(0).saturating_mul(facts.choices.max(1));
    estimate::tokens(facts.prompt_bytes).saturating_add(output)
}

/// A request that sets no limit of its own may be given less than the model's maximum.
fn cap_terms(asked: &Asked, intent: &IntentRecord) -> Option<CapTerms> {
    if asked.operation != Operation::Chat || asked.facts.max_output_tokens.is_some() {
        return None;
    }
    let price: Price = intent.price?;
    Some(CapTerms {
        prompt_nano_usd: worst_case(&price, asked.facts.prompt_bytes.into(), 0),
        output_nano_usd_per_1k_tokens: price
            .output_nano_usd_per_1k_tokens
            .saturating_mul(asked.facts.choices.max(1).into()),
    })
}

fn request_id(metadata: &MetadataMap) -> Option<String> {
    let id = metadata.get("x-request-id")?.to_str().ok()?;
    let fine = !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
    fine.then(|| id.to_owned())
}
