//! What the router knows of its targets' state.

use std::time::{Duration, Instant};

use foldhash::HashMap;
use headgate_proto::inference::v1::{ModelInfo, ModelStatus};
use headgate_proto::router::v1::ProviderState;

use crate::cooldown::Cooldowns;
use crate::models::{Entry, Snapshot};

/// How a model's targets stand at `now`.
pub(crate) fn describe(entry: &Entry, cooldowns: &Cooldowns, now: Instant) -> ModelInfo {
    let waits = entry.candidates.iter().map(|c| cooldowns.remaining(&c.target.target_id, now));
    let soonest = waits.map(Option::unwrap_or_default).min();
    let (status, wait) = match soonest {
        None => (ModelStatus::Unavailable, Duration::ZERO),
        Some(Duration::ZERO) => (ModelStatus::Available, Duration::ZERO),
        Some(wait) => (ModelStatus::Cooling, wait),
    };
    let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    ModelInfo { status: status.into(), retry_after_ms, ..entry.info().clone() }
}

/// How the targets of every provider stand at `now`.
pub(crate) fn providers(models: &Snapshot, cooldowns: &Cooldowns, now: Instant) -> Vec<ProviderState> {
    let mut states: HashMap<&str, ProviderState> = HashMap::default();
    let any = cooldowns.any();
    let enabled = models.entries().filter(|entry| entry.model.enabled);
    for target in enabled.flat_map(|entry| &entry.candidates).map(|c| &c.target) {
        let state = states.entry(&target.provider_id).or_default();
        state.targets += 1;
        let cools = any && cooldowns.remaining(&target.target_id, now).is_some();
        state.cooling_targets += u32::from(cools);
    }
    let named = states.into_iter().map(|(id, state)| ProviderState { provider_id: id.to_owned(), ..state });
    named.collect()
}
