//! What a consumer may learn of what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::{
    GetCallerResponse, GetFeaturesResponse, ListModelsRequest, ModelStatus, ProviderInfo,
};
use headgate_proto::timestamp;

use crate::cooldown::Cooldowns;
use crate::models::{Candidate, Entry, operation_name};

/// The APIs that requests may be written in.
const DIALECTS: [&str; 3] = ["openai.chat", "openai.completions", "openai.embeddings"];
/// What every request may make use of.
const FEATURES: [&str; 4] = ["streaming", "idempotency", "aliases", "failover"];
const OPERATIONS: [Operation; 2] = [Operation::Chat, Operation::Embeddings];

/// What is looked for among models.
pub(crate) struct Wanted {
    /// In lower case.
    query: String,
    operation: String,
    provider: String,
}

impl Wanted {
    /// # Errors
    /// INVALID_REQUEST where there is no such operation.
    pub(crate) fn new(request: ListModelsRequest) -> Result<Self, Failure> {
        let ListModelsRequest { query, operation, provider } = request;
        if !operation.is_empty() && !OPERATIONS.iter().any(|known| operation_name(*known) == operation) {
            let text = "operation must be \"chat\" or \"embeddings\"";
            return Err(Failure::new(ErrorReason::InvalidRequest, text).with("field", "operation"));
        }
        Ok(Self { query: query.to_lowercase(), operation, provider })
    }

    /// Whether a model is one of those.
    pub(crate) fn fits(&self, entry: &Entry) -> bool {
        let info = entry.info();
        let texts = [&info.name, &info.description].into_iter().chain(&info.aliases);
        let by = |wanted: &str, all: &[String]| wanted.is_empty() || all.iter().any(|one| one == wanted);
        by(&self.operation, &info.operations)
            && by(&self.provider, &info.providers)
            && (self.query.is_empty() || texts.into_iter().any(|text| self.is_in(text)))
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.query)
    }
}

/// How a provider stands while its targets are gone through.
struct Standing {
    kind: ProviderKind,
    is_healthy: bool,
    models: BTreeSet<String>,
    soonest: Duration,
}

/// The providers that requests for these models may go to, by name.
pub(crate) fn providers<'a>(
    models: impl Iterator<Item = &'a Entry>,
    cooldowns: &Cooldowns,
    now: Instant,
) -> Vec<ProviderInfo> {
    let mut found = BTreeMap::<&str, Standing>::new();
    for entry in models {
        for (name, candidate) in
            entry.info().providers.iter().zip(&entry.model.targets).filter_map(|(name, target)| {
                let runs = |candidate: &&Candidate| candidate.target.target_id == target.id;
                Some((name, entry.candidates.iter().find(runs)?))
            })
        {
            let wait = cooldowns.remaining(&candidate.target.target_id, now).unwrap_or_default();
            let standing = found.entry(name).or_insert_with(|| Standing {
                kind: candidate.target.kind(),
                is_healthy: candidate.is_healthy,
                models: BTreeSet::new(),
                soonest: wait,
            });
            standing.models.insert(entry.model.name.clone());
            standing.soonest = standing.soonest.min(wait);
        }
    }
    found.into_iter().map(|(name, standing)| told(name, standing)).collect()
}

fn told(name: &str, standing: Standing) -> ProviderInfo {
    let status = match standing.soonest.is_zero() {
        true => ModelStatus::Available,
        false => ModelStatus::Cooling,
    };
    ProviderInfo {
        name: name.to_owned(),
        kind: kind_name(standing.kind).to_owned(),
        models: standing.models.into_iter().collect(),
        status: status.into(),
        retry_after_ms: u64::try_from(standing.soonest.as_millis()).unwrap_or(u64::MAX),
        is_healthy: standing.is_healthy,
    }
}

fn kind_name(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Openai => "openai",
        ProviderKind::Echo => "echo",
        ProviderKind::Unspecified => "",
    }
}

/// What requests with a key may do with these models.
pub(crate) fn features<'a>(key: &KeyRecord, models: impl Iterator<Item = &'a Entry>) -> GetFeaturesResponse {
    let (mut offered, mut count) = (BTreeSet::new(), 0);
    for entry in models {
        count += 1;
        offered.extend(entry.info().operations.iter().map(String::as_str));
    }
    let may = |operation: &str| key.scopes.is_empty() || key.scopes.iter().any(|scope| scope == operation);
    GetFeaturesResponse {
        operations: offered.into_iter().filter(|operation| may(operation)).map(str::to_owned).collect(),
        dialects: DIALECTS.map(str::to_owned).to_vec(),
        features: FEATURES.map(str::to_owned).to_vec(),
        models: count,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Whose a key is and what it may do.
pub(crate) fn caller(key: &KeyRecord) -> GetCallerResponse {
    let expires = Some(key.expires_at_unix_ms).filter(|at| *at != 0);
    GetCallerResponse {
        tenant_id: key.tenant_id.clone(),
        key_id: key.key_id.clone(),
        prefix: key.prefix.clone(),
        scopes: key.scopes.clone(),
        models: key.models.clone(),
        ip_allowlist: key.ip_allowlist.clone(),
        expire_time: expires.map(timestamp),
    }
}
