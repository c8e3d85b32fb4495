//! Models in short: a name, the URL where it is served, what for, and what runs it. What of it makes which change. Pure, but for ids.

use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::catalog::v1::{
    Model, ModelTarget, Operation, Provider as ShownProvider, RegisterModelRequest, RegisteredModel,
};
use headgate_proto::inference::v1::RequestDefaults;
use sha2::{Digest as _, Sha256};

use crate::change::{Change, Provider, Stamp};
use crate::health::Health;
use crate::plan::{delete_model, put_model, put_provider, with_ids};
use crate::state::State;
use crate::validate;

/// The longest answer of a chat model that nobody said more of, in tokens.
const MAX_OUTPUT_TOKENS: u32 = 4096;

/// What is to be registered, found good by itself.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    name: String,
    url: String,
    operation: Operation,
    engine: String,
    request_defaults: Option<RequestDefaults>,
}

impl Wanted {
    pub(crate) fn parse(request: RegisterModelRequest) -> Result<Self, Failure> {
        validate::model_name("served_name", &request.served_name)?;
        let url = validate::base_url("url", ProviderKind::Openai, &request.url)?;
        let operation = match request.task.as_str() {
            "" | "chat" | "generate" => Operation::Chat,
            "embeddings" | "embed" => Operation::Embeddings,
            _ => return Err(Failure::invalid("task", "task must be chat, generate, embeddings or embed")),
        };
        let most = Some(max_output_tokens(operation)).filter(|most| *most > 0);
        let request_defaults =
            validate::request_defaults("request_defaults", request.request_defaults, most)?;
        validate::engine("engine", &request.engine)?;
        Ok(Self { name: request.served_name, url, operation, engine: request.engine, request_defaults })
    }
}

fn max_output_tokens(operation: Operation) -> u32 {
    if operation == Operation::Chat { MAX_OUTPUT_TOKENS } else { 0 }
}

/// Makes the model, unless it is there. Answers how it is then.
pub(crate) fn register(
    state: &State,
    wanted: Wanted,
    clock: &Clock,
    stamp: &Stamp,
) -> Result<(Change, RegisteredModel), Failure> {
    if let Some(model) = state.model_called(&wanted.name) {
        return Ok((Change::default(), present(state, model, &wanted)?));
    }
    let (mut change, provider) = provider(state, &wanted.url, clock, stamp)?;
    let target = ModelTarget {
        provider_id: provider.id.clone(),
        upstream_model: wanted.name.clone(),
        weight: 1,
        ..Default::default()
    };
    let model = Model {
        name: wanted.name,
        enabled: true,
        operations: vec![wanted.operation.into()],
        targets: vec![target],
        max_output_tokens: max_output_tokens(wanted.operation),
        engine: wanted.engine,
        request_defaults: wanted.request_defaults,
        ..Default::default()
    };
    let model = with_ids(validate::model("model", model)?, None, clock);
    let (made, model) = put_model(state, model, stamp)?;
    change.models = made.models;
    Ok((change, shown(&model, Some(&provider))))
}

/// A model in short.
pub(crate) fn short(state: &State, model: &Model) -> RegisteredModel {
    let first = model.targets.first().and_then(|target| state.provider(&target.provider_id));
    shown(model, first.map(|provider| &provider.shown))
}

/// Removes a model, and the provider that was made for it.
pub(crate) fn unregister(state: &State, name: &str, etag: &str) -> Result<Change, Failure> {
    let mut change = delete_model(state, name, etag)?;
    let targets = state.model_named(name).map_or(&[][..], |model| &model.targets);
    let is_needed = |id: &str| {
        let mut others = state.models_after("").filter(|other| other.name != name);
        others.any(|other| other.targets.iter().any(|target| target.provider_id == id))
    };
    for provider in targets.iter().filter_map(|target| state.provider(&target.provider_id)) {
        let ShownProvider { id, base_url, .. } = &provider.shown;
        let is_ours = *id == id_of(base_url) && provider.credential.is_none();
        if is_ours && !is_needed(id) && !change.removed_provider_ids.contains(id) {
            change.removed_provider_ids.push(id.clone());
        }
    }
    Ok(change)
}

/// The model that is there, if it is what is wanted.
fn present(state: &State, model: &Model, wanted: &Wanted) -> Result<RegisteredModel, Failure> {
    let differs = |field: &str, what: &str| {
        let message = format!("{what}; change it as a model, or remove it");
        Err(Failure::new(ErrorReason::AlreadyExists, message).with("field", field))
    };
    if model.name != wanted.name {
        return differs("served_name", "it is another name of a model");
    }
    let providers = model.targets.iter().filter_map(|target| state.provider(&target.provider_id));
    let mut there = providers.map(|provider| &provider.shown).filter(|shown| is_at(shown, &wanted.url));
    let Some(provider) = there.next() else {
        return differs("url", "the model is served elsewhere");
    };
    if !model.operations().any(|operation| operation == wanted.operation) {
        return differs("task", "the model is for something else");
    }
    Ok(shown(model, Some(provider)))
}

/// The active provider at a URL, made if there is none.
fn provider(
    state: &State,
    url: &str,
    clock: &Clock,
    stamp: &Stamp,
) -> Result<(Change, ShownProvider), Failure> {
    let mut there = state.providers_after("").map(|provider| &provider.shown);
    if let Some(provider) = there.find(|shown| is_at(shown, url) && shown.is_active) {
        return Ok((Change::default(), provider.clone()));
    }
    // Somebody may have taken it, or have disabled the provider that has it.
    let id = Some(id_of(url)).filter(|id| state.provider(id).is_none());
    let id = id.unwrap_or_else(|| ids::prefixed("provider", clock));
    let is_name = validate::label("name", url).is_ok() && state.provider_named(url).is_none();
    let mut shown = ShownProvider {
        name: if is_name { url.to_owned() } else { id.clone() },
        id,
        kind: ProviderKind::Openai.into(),
        base_url: url.to_owned(),
        is_active: true,
        created_at: Some(stamp.time()),
        ..Default::default()
    };
    Health::unknown().show(&mut shown);
    put_provider(state, Provider::new(shown, None), stamp)
}

fn is_at(provider: &ShownProvider, url: &str) -> bool {
    provider.kind() == ProviderKind::Openai && provider.base_url == url
}

/// The id of a provider that a registration makes, by which it is known again.
fn id_of(url: &str) -> String {
    let digest = Sha256::digest(url);
    digest.iter().take(8).fold("registered-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

fn shown(model: &Model, provider: Option<&ShownProvider>) -> RegisteredModel {
    let is_chat = model.operations().any(|operation| operation == Operation::Chat);
    RegisteredModel {
        served_name: model.name.clone(),
        url: provider.map(|provider| provider.base_url.clone()).unwrap_or_default(),
        task: if is_chat { "chat" } else { "embeddings" }.to_owned(),
        model_id: model.id.clone(),
        provider_id: provider.map(|provider| provider.id.clone()).unwrap_or_default(),
        engine: model.engine.clone(),
        request_defaults: model.request_defaults.clone(),
    }
}
