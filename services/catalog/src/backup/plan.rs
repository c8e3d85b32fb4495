//! What restoring a backup changes, given the catalog as it is.

use std::collections::HashSet;

use headgate_kit::clock::Clock;
use headgate_kit::seal::MasterKey;
use headgate_kit::{Failure, ids};
use headgate_proto::catalog::v1::{Backup, Model, ProviderRecord};

use crate::allowlist;
use crate::change::{Change, Provider, Stamp};
use crate::default_model;
use crate::health::Health;
use crate::plan::{check_providers, put_model, put_provider, with_ids};
use crate::state::State;
use crate::validate;

pub(super) fn plan(
    state: &State,
    backup: Backup,
    master_key: &MasterKey,
    clock: &Clock,
    stamp: &Stamp,
) -> Result<Change, Failure> {
    let mut change = Change::default();
    for (i, record) in backup.providers.into_iter().enumerate() {
        let provider = provider(&format!("backup.providers[{i}]"), state, record, master_key)?;
        change.providers.extend(put_provider(state, provider, stamp)?.0.providers);
    }
    let mut names = HashSet::new();
    for (i, given) in backup.models.into_iter().enumerate() {
        let at = format!("backup.models[{i}]");
        let model = model(&at, state, given, clock)?;
        if !model.aliases.iter().chain([&model.name]).all(|name| names.insert(name.clone())) {
            return Err(Failure::invalid(&at, format!("{at} has a name or an alias of another model")));
        }
        let restored = |id: &str| change.providers.iter().any(|provider| provider.shown.id == id);
        check_providers(&at, &model, |id| state.provider(id).is_some() || restored(id))?;
        change.models.extend(put_model(state, model, stamp)?.0.models);
    }
    for (i, mut list) in backup.tenant_models.into_iter().enumerate() {
        let at = format!("backup.tenant_models[{i}]");
        validate::id(&format!("{at}.tenant_id"), &list.tenant_id)?;
        list.models = validate::allowlist(&format!("{at}.models"), list.restricted, &list.models)?;
        change.tenant_models.extend(allowlist::put(state, list, stamp).0.tenant_models);
    }
    if let Some(default) = backup.default_model {
        let field = "backup.default_model.model";
        change.default_model = default_model::put(state, &change.models, field, &default.model, stamp)?;
    }
    Ok(change)
}

fn provider(
    at: &str,
    state: &State,
    record: ProviderRecord,
    master_key: &MasterKey,
) -> Result<Provider, Failure> {
    let required = || Failure::invalid(&format!("{at}.provider"), format!("{at}.provider is required"));
    let mut shown = record.provider.ok_or_else(required)?;
    let field = |name: &str| format!("{at}.provider.{name}");
    validate::id(&field("id"), &shown.id)?;
    validate::label(&field("name"), &shown.name)?;
    let kind = validate::kind(&field("kind"), shown.kind)?;
    shown.base_url = validate::base_url(&field("base_url"), kind, &shown.base_url)?;
    shown.models = validate::upstream_models(&field("models"), &shown.models)?;
    shown.deadlines = validate::deadlines(shown.deadlines);
    let credential = record.credential.filter(|sealed| !sealed.ciphertext.is_empty());
    if let Some(sealed) = &credential
        && master_key.open(&shown.id, sealed).is_err()
    {
        let field = format!("{at}.credential");
        return Err(Failure::invalid(
            &field,
            format!("{field} was not sealed with a master key of this catalog"),
        ));
    }
    let old = state.provider(&shown.id);
    old.map_or_else(Health::unknown, |old| Health::of(&old.shown)).show(&mut shown);
    shown.created_at = old.map_or(shown.created_at, |old| old.shown.created_at);
    Ok(Provider::new(shown, credential))
}

/// A model keeps the ids it had, unless one of its name has others now.
fn model(at: &str, state: &State, given: Model, clock: &Clock) -> Result<Model, Failure> {
    let mut model = validate::model(at, given)?;
    if let Some(old) = state.model(&model.id).or_else(|| state.model_named(&model.name)) {
        return Ok(with_ids(model, Some(old), clock));
    }
    if model.id.is_empty() {
        return Ok(with_ids(model, None, clock));
    }
    validate::id(&format!("{at}.id"), &model.id)?;
    for (i, target) in model.targets.iter_mut().enumerate() {
        if target.id.is_empty() {
            target.id = ids::prefixed("target", clock);
        }
        validate::id(&format!("{at}.targets[{i}].id"), &target.id)?;
    }
    Ok(model)
}
