//! What a bootstrap changes, given the catalog as it is: nothing where nothing is due, or all is as it shall be.

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::seal::MasterKey;
use headgate_kit::seeds::Due;
use secrecy::ExposeSecret as _;

use super::entries::{DEFAULT_MODEL, MODEL, PROVIDER, TENANT_MODELS};
use super::form::{Wanted, WantedProvider};
use crate::allowlist;
use crate::change::{Change, Provider, Stamp};
use crate::credential;
use crate::default_model;
use crate::health::Health;
use crate::plan::{check_providers, put_model, put_provider, with_ids};
use crate::state::State;

pub(super) fn plan(
    state: &State,
    mut wanted: Wanted,
    due: Due,
    master_key: &MasterKey,
    clock: &Clock,
    stamp: &Stamp,
) -> Result<Change, Failure> {
    wanted.providers.retain(|provider| due.has(PROVIDER, &provider.shown.id));
    let named: Vec<String> = wanted.providers.iter().map(|provider| provider.shown.id.clone()).collect();
    let exists = |id: &str| state.provider(id).is_some() || named.iter().any(|name| name == id);
    let mut change = Change::default();
    for provider in wanted.providers {
        let provider = complete(state, provider, master_key, stamp)?;
        change.providers.extend(put_provider(state, provider, stamp)?.0.providers);
    }
    let models = wanted.models.into_iter().enumerate();
    for (i, model) in models.filter(|(_, model)| due.has(MODEL, &model.name)) {
        check_providers(&format!("bootstrap.models[{i}]"), &model, exists)?;
        let old = state.model_named(&model.name);
        let mut model = with_ids(model, old, clock);
        if let Some(old) = old {
            // Which it does not speak of.
            (model.description, model.metadata) = (old.description.clone(), old.metadata.clone());
        }
        change.models.extend(put_model(state, model, stamp)?.0.models);
    }
    for list in wanted.tenant_models.into_iter().filter(|list| due.has(TENANT_MODELS, &list.tenant_id)) {
        change.tenant_models.extend(allowlist::put(state, list, stamp).0.tenant_models);
    }
    if let Some(name) = wanted.default_model.filter(|_| due.has(DEFAULT_MODEL, DEFAULT_MODEL)) {
        let field = "bootstrap.default_model";
        change.default_model = default_model::put(state, &change.models, field, &name, stamp)?;
    }
    change.seeded = due;
    Ok(change)
}

/// Adds what an existing provider keeps, or what a new one begins with.
fn complete(
    state: &State,
    wanted: WantedProvider,
    master_key: &MasterKey,
    stamp: &Stamp,
) -> Result<Provider, Failure> {
    let mut shown = wanted.shown;
    let old = state.provider(&shown.id);
    old.map_or_else(Health::unknown, |old| Health::of(&old.shown)).show(&mut shown);
    match old.map(|old| old.shown.clone()) {
        Some(old) => {
            (shown.is_active, shown.created_at, shown.models) = (old.is_active, old.created_at, old.models);
        }
        None => (shown.is_active, shown.created_at) = (true, Some(stamp.time())),
    }
    let stored = old.and_then(|old| old.credential.as_ref());
    let sealed = match &wanted.api_key {
        None => stored.cloned(),
        Some(secret) => credential::seal(master_key, &shown.id, secret.expose_secret(), stored)?,
    };
    Ok(Provider::new(shown, sealed))
}
