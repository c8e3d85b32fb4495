//! The model that requests get which ask for `default`: what changes of it take. Pure.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::catalog::v1::{DefaultModel, Model};

use crate::change::{Change, Stamp};
use crate::plan::{check_etag, no_such, taken};
use crate::state::State;

/// Stands for the model.
const NAME: &str = "default";

/// Makes a model the default, which may be one of `models`, those of the same change. Nothing where it is already.
pub(crate) fn put(
    state: &State,
    models: &[Model],
    field: &str,
    name: &str,
    stamp: &Stamp,
) -> Result<Option<DefaultModel>, Failure> {
    let changed = models.iter().find(|model| is_called(model, name));
    let model = changed.or_else(|| state.model_called(name));
    let model = model.ok_or_else(|| Failure::invalid(field, format!("{field} names no model")))?;
    if state.default_model().is_some_and(|default| default.model_id == model.id) {
        return Ok(None);
    }
    if state.model_called(NAME).is_some() || models.iter().any(|model| is_called(model, NAME)) {
        let message = "a model is called `default` itself, and what asks for that gets it";
        return Err(Failure::new(ErrorReason::Conflict, message).with("field", field));
    }
    Ok(Some(DefaultModel {
        model: model.name.clone(),
        model_id: model.id.clone(),
        update_time: Some(stamp.time()),
        etag: stamp.etag(),
    }))
}

/// Makes a model of the catalog the default for whoever read it with this etag. Answers how it is then.
pub(crate) fn set(
    state: &State,
    name: &str,
    etag: &str,
    stamp: &Stamp,
) -> Result<(Change, DefaultModel), Failure> {
    let present = state.default_model();
    check_etag(etag, present.as_ref().map_or("", |default| &default.etag))?;
    let default_model = put(state, &[], "model", name, stamp)?;
    let answer = default_model.clone().or(present).unwrap_or_default();
    Ok((Change { default_model, ..Change::default() }, answer))
}

/// Leaves no default.
pub(crate) fn delete(state: &State, etag: &str) -> Result<Change, Failure> {
    let present = state.default_model().ok_or_else(|| no_such("default model"))?;
    check_etag(etag, &present.etag)?;
    Ok(Change { default_model: Some(DefaultModel::default()), ..Change::default() })
}

/// Refuses a model that would take the name away from the default.
pub(crate) fn check_name(state: &State, model: &Model) -> Result<(), Failure> {
    if state.default_model().is_none() || !is_called(model, NAME) {
        return Ok(());
    }
    Err(taken("model", if model.name == NAME { "name" } else { "aliases" }))
}

fn is_called(model: &Model, name: &str) -> bool {
    model.name == name || model.aliases.iter().any(|alias| alias == name)
}
