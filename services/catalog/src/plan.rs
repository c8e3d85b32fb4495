//! What a request changes, given the catalog as it is. Pure, but for new ids.

use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::catalog::v1::{Model, ModelTarget, Provider as ShownProvider};
use headgate_proto::timestamp;

use crate::change::{Change, Provider, Stamp};
use crate::default_model;
use crate::state::State;

/// That there is no such thing.
pub(crate) fn no_such(kind: &str) -> Failure {
    Failure::no_such(kind)
}

pub(crate) fn taken(kind: &str, field: &str) -> Failure {
    let message = format!("a {kind} with this {field} exists");
    Failure::new(ErrorReason::AlreadyExists, message).with("field", field)
}

/// Refuses a change of something that is not as its author read it. An empty etag is any.
pub(crate) fn check_etag(given: &str, present: &str) -> Result<(), Failure> {
    if given.is_empty() || given == present {
        return Ok(());
    }
    let message = "it was changed since it was read, read it again";
    Err(Failure::new(ErrorReason::Conflict, message).with("field", "etag").with("etag", present))
}

/// The etag that a request to replace something goes by: its own, or the one in what it gives, as that was read.
pub(crate) fn etag_of(request: String, given: &str) -> Result<String, Failure> {
    match (request.as_str(), given) {
        (etag, "") if !etag.is_empty() => Ok(request),
        ("", given) => Ok(given.to_owned()),
        (etag, given) if etag == given => Ok(request),
        _ => Err(Failure::invalid("etag", "etag is another than that of what is given")),
    }
}

/// Adds a provider whose id and name are free. Answers how it is then.
pub(crate) fn create_provider(
    state: &State,
    provider: Provider,
    stamp: &Stamp,
) -> Result<(Change, ShownProvider), Failure> {
    if state.provider(&provider.shown.id).is_some() {
        return Err(taken("provider", "id"));
    }
    put_provider(state, provider, stamp)
}

/// Puts a provider in, in place of the one of its id; an empty change where that is the same. Answers how it is then.
pub(crate) fn put_provider(
    state: &State,
    mut provider: Provider,
    stamp: &Stamp,
) -> Result<(Change, ShownProvider), Failure> {
    let id = &provider.shown.id;
    if state.provider_named(&provider.shown.name).is_some_and(|other| other.shown.id != *id) {
        return Err(taken("provider", "name"));
    }
    if let Some(old) = state.provider(id) {
        provider.shown.etag.clone_from(&old.shown.etag);
        provider.shown.updated_at = old.shown.updated_at;
        if provider == *old {
            return Ok((Change::default(), provider.shown));
        }
    }
    provider.shown.etag = stamp.etag();
    provider.shown.updated_at = Some(stamp.time());
    let shown = provider.shown.clone();
    Ok((Change::provider(provider), shown))
}

/// Removes a provider that no model needs.
pub(crate) fn delete_provider(state: &State, id: &str, etag: &str) -> Result<Change, Failure> {
    let provider = state.provider(id).ok_or_else(|| no_such("provider"))?;
    check_etag(etag, &provider.shown.etag)?;
    if state.is_targeted(id) {
        return Err(Failure::new(ErrorReason::Conflict, "a model has a target at this provider"));
    }
    Ok(Change { removed_provider_ids: vec![id.to_owned()], ..Change::default() })
}

/// Gives a model the id, time and target ids of the one it replaces, and new ones to what is new. Targets are the
/// same where provider and upstream model are.
pub(crate) fn with_ids(mut model: Model, old: Option<&Model>, clock: &Clock) -> Model {
    model.id = old.map_or_else(|| ids::prefixed("model", clock), |old| old.id.clone());
    model.create_time = old.map_or_else(|| Some(timestamp(clock.unix_millis())), |old| old.create_time);
    let known = old.map_or(&[][..], |old| &old.targets);
    for target in &mut model.targets {
        let same = |other: &&ModelTarget| {
            other.provider_id == target.provider_id && other.upstream_model == target.upstream_model
        };
        let id = known.iter().find(same).map(|other| other.id.clone());
        target.id = id.unwrap_or_else(|| ids::prefixed("target", clock));
    }
    model
}

/// Refuses targets at providers that are not there.
pub(crate) fn check_providers(
    field: &str,
    model: &Model,
    exists: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    match model.targets.iter().position(|target| !exists(&target.provider_id)) {
        None => Ok(()),
        Some(i) => {
            let field = format!("{field}.targets[{i}].provider_id");
            Err(Failure::invalid(&field, format!("{field} names no provider")))
        }
    }
}

/// Puts a model in, in place of the one of its id; an empty change where that is the same. Answers how it is then.
pub(crate) fn put_model(state: &State, mut model: Model, stamp: &Stamp) -> Result<(Change, Model), Failure> {
    let belongs = |name: &String| state.model_called(name).is_some_and(|other| other.id != model.id);
    if belongs(&model.name) {
        return Err(taken("model", "name"));
    }
    if model.aliases.iter().any(belongs) {
        return Err(taken("model", "aliases"));
    }
    default_model::check_name(state, &model)?;
    if let Some(old) = state.model(&model.id) {
        model.etag.clone_from(&old.etag);
        model.update_time = old.update_time;
        if model == *old {
            return Ok((Change::default(), model));
        }
    }
    model.etag = stamp.etag();
    // It may have been drawn up a moment after the change began.
    let now = stamp.time();
    let later = model.create_time.filter(|made| (made.seconds, made.nanos) > (now.seconds, now.nanos));
    model.update_time = Some(later.unwrap_or(now));
    Ok((Change::model(model.clone()), model))
}

/// Removes a model.
pub(crate) fn delete_model(state: &State, name: &str, etag: &str) -> Result<Change, Failure> {
    let model = state.model_named(name).ok_or_else(|| no_such("model"))?;
    check_etag(etag, &model.etag)?;
    if state.default_model().is_some_and(|default| default.model_id == model.id) {
        return Err(Failure::new(ErrorReason::Conflict, "it is the default model"));
    }
    Ok(Change { removed_model_ids: vec![model.id.clone()], ..Change::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_model_was_changed_before_it_was_made() {
        let stamp = Stamp { revision: 1, unix_ms: 5 };
        for (made, changed) in [(6, 6), (5, 5), (4, 5)] {
            let model = Model { create_time: Some(timestamp(made)), ..Default::default() };
            let (_, put) = put_model(&State::default(), model, &stamp).unwrap();
            assert_eq!(put.update_time, Some(timestamp(changed)));
        }
    }
}
