//! Providers, models and allowlists that the configuration names.

mod entries;
mod form;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::money::Usd;
use headgate_kit::seeds::{Applied, Due};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

use crate::change::Stamp;
use crate::price::UsdPerMillionTokens;
use crate::registry::Registry;
use crate::state::State;

/// What a start makes or changes. What is said of a provider, a model, a tenant's allowlist or the default model is applied
/// when it is new here or says something else than it did; otherwise what was changed or removed by call since stands. A
/// database of an earlier version, which does not know what was applied, has everything applied once more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Providers to make, or to change, by id.
    pub providers: Vec<BootstrapProvider>,
    /// Models to make, or to replace, by name.
    pub models: Vec<BootstrapModel>,
    /// The only models that a tenant may use, by the tenant's id. Tenants that do not stand here are left as they are.
    pub tenant_models: BTreeMap<String, Vec<String>>,
    /// The name of the model that requests get which ask for `default`. Unset leaves what there is.
    pub default_model: Option<String>,
}

/// A provider that shall exist. It is made enabled; an existing one stays as enabled as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapProvider {
    /// 1 to 64 letters, digits, `_` and `-`.
    pub id: String,
    /// For people; 1 to 128 characters; unique.
    pub name: String,
    /// How it is spoken to.
    pub kind: BootstrapKind,
    /// The URL below which the API's paths stand, http or https. Required unless the kind is built in.
    #[serde(default)]
    pub base_url: String,
    /// The API key it wants, shown as `[redacted]`. Unset leaves what is stored; empty removes it.
    #[serde(default, serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretString>,
    /// How long each phase of an attempt may take.
    #[serde(default)]
    pub deadlines: BootstrapDeadlines,
}

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapKind {
    /// OpenAI's API.
    Openai,
    /// Built in: says back what it is told.
    Echo,
}

/// Deadlines in milliseconds. 0, as when unset, means the adapter's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapDeadlines {
    /// Until the connection stands.
    pub connect_ms: u32,
    /// From the request to the first content of the answer.
    pub first_byte_ms: u32,
    /// Between two pieces of a stream.
    pub inter_chunk_ms: u32,
    /// The whole attempt.
    pub total_ms: u32,
}

/// A model that shall exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapModel {
    /// As requests give it: 1 to 128 letters, digits and `._:/@-`.
    pub name: String,
    /// What it is for. At least one.
    pub operations: Vec<BootstrapOperation>,
    /// What it costs. Unset means that it is free.
    #[serde(default)]
    pub price: BootstrapPrice,
    /// Where it runs. At least one.
    pub targets: Vec<BootstrapTarget>,
    /// The longest answer, in tokens. Required for chat.
    #[serde(default)]
    pub max_output_tokens: u32,
    /// Prompt and answer together, in tokens. 0, as when unset, means not known.
    #[serde(default)]
    pub context_tokens: u32,
    /// Other names that requests may give.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether requests are taken. Unset means yes.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What runs it, e.g. `vllm`: at most 64 letters, digits, spaces and `._:/@+-`. Empty, as when unset, means not known.
    #[serde(default)]
    pub engine: String,
    /// What chat requests get that do not say so themselves.
    #[serde(default)]
    pub request_defaults: BootstrapRequestDefaults,
}

/// What chat requests get that do not say so themselves. What is unset is left to the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapRequestDefaults {
    /// The most tokens the answer may have: 1 to the model's `max_output_tokens`.
    pub max_output_tokens: Option<u32>,
    /// Randomness, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Penalty on tokens by how often they occurred, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens that occurred at all, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Texts that end the answer: at most 4, of 1 to 256 characters.
    pub stop: Vec<String>,
    /// Asks for the same answer to the same prompt, as far as the model can.
    pub seed: Option<i64>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapOperation {
    /// Chat completions.
    Chat,
    /// Embeddings.
    Embeddings,
}

/// What requests cost, by their tokens or each the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapPrice {
    /// A prompt token not read from a cache.
    pub input_usd_per_1m_tokens: UsdPerMillionTokens,
    /// An answer's token.
    pub output_usd_per_1m_tokens: UsdPerMillionTokens,
    /// A prompt token read from a cache. Unset means the same as any prompt token.
    pub cached_input_usd_per_1m_tokens: Option<UsdPerMillionTokens>,
    /// A request that took any tokens, however many. It overrides the prices of tokens.
    pub request_usd: Option<Usd>,
}

/// One place where a model runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapTarget {
    /// The id of the provider that runs it; in this bootstrap or made before.
    pub provider: String,
    /// The model's name there.
    pub upstream_model: String,
    /// Its share of the requests, relative to the other targets' weights. Unset means 1; 0 keeps it as a last resort.
    #[serde(default = "one")]
    pub weight: u32,
    /// What it costs there. Unset means the model's price.
    #[serde(default)]
    pub price: Option<BootstrapPrice>,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn redacted<S: Serializer>(_secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("[redacted]")
}

/// Brings the catalog to what is new in the bootstrap.
pub(crate) async fn apply(registry: &Arc<Registry>, bootstrap: &Bootstrap) -> Result<(), Failure> {
    let (wanted, faults) = form::check(bootstrap);
    faults.first()?;
    let (master_key, clock) = (registry.master_key.clone(), registry.clock.clone());
    let entries = entries::of(bootstrap)?;
    let plan = move |state: &State, applied: &[Applied], stamp: &Stamp| {
        let due = Due::of(&entries, applied, &master_key)?;
        plan::plan(state, wanted, due, &master_key, &clock, stamp)
    };
    registry.seed(Author::own("bootstrap"), plan).await
}
