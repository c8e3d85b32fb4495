//! What requests may say of providers and models. Pure.

mod request_defaults;

use std::collections::HashSet;

use headgate_kit::Failure;
use headgate_kit::config::Faults;
use headgate_proto::adapter::v1::{Deadlines, ProviderKind};
use headgate_proto::catalog::v1::{Model, ModelTarget, Operation, Price};

pub(crate) use self::request_defaults::request_defaults;
use crate::price::{MAX_NANO_USD_PER_1K_TOKENS, MAX_REQUEST_NANO_USD};

const MAX_ID: usize = 64;
const MAX_ENGINE: usize = 64;
const MAX_NAME: usize = 128;
const MAX_UPSTREAM_MODEL: usize = 256;
const MAX_URL: usize = 2048;
const MAX_TARGETS: usize = 64;
const MAX_OFFERED: usize = 1000;
const MAX_ALLOWED: usize = 1000;
const MAX_ALIASES: usize = 32;
const MAX_DESCRIPTION: usize = 2048;
const MAX_FACTS: usize = 32;
/// Keeps the sum over a model's targets within 32 bits.
const MAX_WEIGHT: u32 = 1_000_000;

/// An id that somebody chose: 1 to 64 letters, digits, `_` and `-`.
pub(crate) fn id(field: &str, id: &str) -> Result<(), Failure> {
    let chars = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    require(chars && (1..=MAX_ID).contains(&id.len()), field, || {
        format!("must be 1 to {MAX_ID} letters, digits, '_' or '-'")
    })
}

/// A name for people: 1 to 128 characters, none of them a control character.
pub(crate) fn label(field: &str, name: &str) -> Result<(), Failure> {
    let good =
        !name.trim().is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    require(good, field, || format!("must be 1 to {MAX_NAME} characters, no control characters"))
}

/// A model's name: 1 to 128 letters, digits and `._:/@-`.
pub(crate) fn model_name(field: &str, name: &str) -> Result<(), Failure> {
    let chars = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    require(chars && (1..=MAX_NAME).contains(&name.len()), field, || {
        format!("must be 1 to {MAX_NAME} letters, digits or any of . _ : / @ -")
    })
}

/// What runs a model: at most 64 letters, digits, spaces and `._:/@+-`; nothing where it is not known.
pub(crate) fn engine(field: &str, engine: &str) -> Result<(), Failure> {
    let chars = engine.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._:/@+-".contains(&b));
    require(chars && engine.trim() == engine && engine.len() <= MAX_ENGINE, field, || {
        format!("must be at most {MAX_ENGINE} letters, digits, spaces between them, or any of . _ : / @ + -")
    })
}

/// Names of models, sorted and each once.
fn model_names(field: &str, names: &[String]) -> Result<Vec<String>, Failure> {
    for (i, name) in names.iter().enumerate() {
        model_name(&format!("{field}[{i}]"), name)?;
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The models that a tenant may use, sorted and each once: 1000 at most, and none unless it is restricted.
pub(crate) fn allowlist(field: &str, restricted: bool, names: &[String]) -> Result<Vec<String>, Failure> {
    require(restricted || names.is_empty(), field, || "must be empty unless restricted".into())?;
    require(names.len() <= MAX_ALLOWED, field, || format!("must be at most {MAX_ALLOWED} names"))?;
    model_names(field, names)
}

/// Names of a provider's own for models, sorted and each once.
pub(crate) fn upstream_models(field: &str, names: &[String]) -> Result<Vec<String>, Failure> {
    require(names.len() <= MAX_OFFERED, field, || format!("must be at most {MAX_OFFERED} names"))?;
    for (i, name) in names.iter().enumerate() {
        upstream_model(&format!("{field}[{i}]"), name)?;
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

/// What a provider calls a model: 1 to 256 bytes of text.
fn upstream_model(field: &str, name: &str) -> Result<(), Failure> {
    let good = (1..=MAX_UPSTREAM_MODEL).contains(&name.len()) && !name.chars().any(char::is_control);
    require(good, field, || format!("must be 1 to {MAX_UPSTREAM_MODEL} bytes of text"))
}

/// A kind of provider that is known.
pub(crate) fn kind(field: &str, kind: i32) -> Result<ProviderKind, Failure> {
    match ProviderKind::try_from(kind) {
        Ok(kind @ (ProviderKind::Openai | ProviderKind::Echo)) => Ok(kind),
        _ => Err(Failure::invalid(field, format!("{field} must be a known kind of provider"))),
    }
}

/// A base URL fit for its kind, without a slash at its end: an http or https URL of a host and a path, or nothing for
/// a kind that is built in.
pub(crate) fn base_url(field: &str, kind: ProviderKind, url: &str) -> Result<String, Failure> {
    if kind == ProviderKind::Echo {
        require(url.is_empty(), field, || "must be empty for a built-in kind".into())?;
        return Ok(String::new());
    }
    let message = || "must be an http or https URL without user, query or fragment".into();
    require(url.len() <= MAX_URL && is_base_url(url), field, message)?;
    Ok(url.trim_end_matches('/').to_owned())
}

fn is_base_url(url: &str) -> bool {
    // `Uri` drops a fragment without a word.
    if url.contains(['?', '#']) {
        return false;
    }
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    // Putting it together again leaves out a user, and a port that is none.
    let plain = match authority.port_u16() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    matches!(scheme, "http" | "https") && !plain.is_empty() && plain == authority.as_str()
}

/// Deadlines as they are kept: nothing where all of them are the default.
pub(crate) fn deadlines(given: Option<Deadlines>) -> Option<Deadlines> {
    given.filter(|deadlines| *deadlines != Deadlines::default())
}

/// A model fit to be kept, as [`check_model`] leaves it.
pub(crate) fn model(field: &str, model: Model) -> Result<Model, Failure> {
    let mut faults = Faults::default();
    let checked = check_model(field, model, &mut faults);
    faults.first()?;
    Ok(checked)
}

/// Finds every fault of a model, whatever its ids and providers, and leaves it as it is kept: operations sorted and each
/// once, a price always, request defaults only where there are any.
pub(crate) fn check_model(field: &str, mut model: Model, faults: &mut Faults) -> Model {
    faults.keep(model_name(&format!("{field}.name"), &model.name));
    if let Some(operations) = faults.keep(operations(&format!("{field}.operations"), &model.operations)) {
        model.operations = operations;
    }
    let chat = model.operations().any(|operation| operation == Operation::Chat);
    faults.keep(require(
        !chat || model.max_output_tokens >= 1,
        &format!("{field}.max_output_tokens"),
        || "must be at least 1 for chat".into(),
    ));
    if let Some(aliases) = faults.keep(aliases(&format!("{field}.aliases"), &model)) {
        model.aliases = aliases;
    }
    faults.keep(facts(field, &model));
    faults.keep(engine(&format!("{field}.engine"), &model.engine));
    let defaults = model.request_defaults.take();
    let most = chat.then_some(model.max_output_tokens);
    let defaults = faults.keep(request_defaults(&format!("{field}.request_defaults"), defaults, most));
    model.request_defaults = defaults.flatten();
    let model_price = model.price.unwrap_or_default();
    faults.keep(price(&format!("{field}.price"), &model_price));
    model.price = Some(model_price);
    targets(&format!("{field}.targets"), &model.targets, faults);
    model
}

/// A model's other names, sorted and each once.
fn aliases(field: &str, model: &Model) -> Result<Vec<String>, Failure> {
    require(model.aliases.len() <= MAX_ALIASES, field, || format!("must be at most {MAX_ALIASES} names"))?;
    require(!model.aliases.contains(&model.name), field, || "must not hold the model's own name".into())?;
    model_names(field, &model.aliases)
}

/// What is told of a model to people and tools.
fn facts(field: &str, model: &Model) -> Result<(), Failure> {
    let short = model.description.chars().count() <= MAX_DESCRIPTION;
    require(short, &format!("{field}.description"), || {
        format!("must be at most {MAX_DESCRIPTION} characters")
    })?;
    let good = |(name, value): (&String, &String)| {
        (1..=64).contains(&name.chars().count())
            && !name.chars().any(char::is_control)
            && value.chars().count() <= 512
    };
    let metadata = &model.metadata;
    require(metadata.len() <= MAX_FACTS && metadata.iter().all(good), &format!("{field}.metadata"), || {
        format!("must be at most {MAX_FACTS} facts, names of 1 to 64 and values of at most 512 characters")
    })
}

fn operations(field: &str, given: &[i32]) -> Result<Vec<i32>, Failure> {
    let known = |operation: &i32| {
        matches!(Operation::try_from(*operation), Ok(Operation::Chat | Operation::Embeddings))
    };
    require(!given.is_empty() && given.iter().all(known), field, || {
        "must name at least one operation, all of them known".into()
    })?;
    let mut operations = given.to_vec();
    operations.sort_unstable();
    operations.dedup();
    Ok(operations)
}

fn price(field: &str, price: &Price) -> Result<(), Failure> {
    let parts = [
        Some(price.input_nano_usd_per_1k_tokens),
        Some(price.output_nano_usd_per_1k_tokens),
        price.cached_input_nano_usd_per_1k_tokens,
    ];
    let range = 0..=MAX_NANO_USD_PER_1K_TOKENS;
    require(parts.into_iter().flatten().all(|part| range.contains(&part)), field, || {
        format!("must be 0 to {MAX_NANO_USD_PER_1K_TOKENS} nano-USD per 1,000 tokens")
    })?;
    let request = price.request_nano_usd.unwrap_or_default();
    require((0..=MAX_REQUEST_NANO_USD).contains(&request), &format!("{field}.request_nano_usd"), || {
        format!("must be 0 to {MAX_REQUEST_NANO_USD} nano-USD")
    })
}

fn targets(field: &str, targets: &[ModelTarget], faults: &mut Faults) {
    faults.keep(require((1..=MAX_TARGETS).contains(&targets.len()), field, || {
        format!("must be 1 to {MAX_TARGETS} targets")
    }));
    let mut seen = HashSet::new();
    for (i, target) in targets.iter().take(MAX_TARGETS).enumerate() {
        let field = |name| format!("{field}[{i}].{name}");
        let upstream = &target.upstream_model;
        faults.keep(upstream_model(&field("upstream_model"), upstream));
        let light = target.weight <= MAX_WEIGHT;
        faults.keep(require(light, &field("weight"), || format!("must be at most {MAX_WEIGHT}")));
        faults.keep(price(&field("price"), &target.price.unwrap_or_default()));
        let new = seen.insert((&target.provider_id, upstream));
        faults.keep(require(new, &field("upstream_model"), || "stands twice for the same provider".into()));
    }
}

fn require(good: bool, field: &str, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if good { Ok(()) } else { Err(Failure::invalid(field, format!("{field} {}", what()))) }
}

#[cfg(test)]
mod tests;
