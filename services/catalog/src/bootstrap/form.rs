//! Checks a bootstrap by itself, and brings it into the catalog's own terms. Goes on after the first fault.

use std::collections::HashSet;

use headgate_kit::Failure;
use headgate_kit::config::{Faults, Problem};
use headgate_proto::adapter::v1::{Deadlines, ProviderKind};
use headgate_proto::catalog::v1::{
    Model, ModelTarget, Operation, Price, Provider as ShownProvider, TenantModels,
};
use headgate_proto::inference::v1::RequestDefaults;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Bootstrap, BootstrapKind, BootstrapModel, BootstrapOperation, BootstrapPrice, BootstrapProvider,
    BootstrapRequestDefaults,
};
use crate::plan::check_providers;
use crate::{credential, validate};

/// A provider as it shall be, but for what an existing one keeps.
pub(super) struct WantedProvider {
    pub shown: ShownProvider,
    /// Unset leaves what is stored.
    pub api_key: Option<SecretString>,
}

/// A bootstrap found good by itself. Ids and times of models are not given yet.
pub(super) struct Wanted {
    pub providers: Vec<WantedProvider>,
    pub models: Vec<Model>,
    pub tenant_models: Vec<TenantModels>,
    pub default_model: Option<String>,
}

impl Bootstrap {
    /// Everything that is wrong with it by itself, with its path in the configuration. No secret is shown.
    ///
    /// `first_start` says that no provider was made before, so that the providers of targets must stand here.
    #[must_use]
    pub fn problems(&self, first_start: bool) -> Vec<Problem> {
        let mut faults = check(self).1;
        if first_start {
            for (i, model) in self.models.iter().enumerate() {
                self.check_targets(&format!("bootstrap.models[{i}]"), &to_model(model), &mut faults);
            }
        }
        faults.into_problems()
    }

    /// Finds the first target of each provider that does not stand here.
    fn check_targets(&self, at: &str, model: &Model, faults: &mut Faults) {
        let here = |id: &str| self.providers.iter().any(|provider| provider.id == id);
        let mut seen = HashSet::new();
        for absent in model.targets.iter().map(|target| &target.provider_id) {
            if seen.insert(absent) {
                faults.keep(check_providers(at, model, |id| id != absent || here(id)));
            }
        }
    }
}

/// What is good of it, and every fault of the whole.
pub(super) fn check(bootstrap: &Bootstrap) -> (Wanted, Faults) {
    let mut faults = Faults::default();
    if let Some(name) = &bootstrap.default_model {
        faults.keep(validate::model_name("bootstrap.default_model", name));
    }
    let wanted = Wanted {
        providers: providers(&bootstrap.providers, &mut faults),
        models: models(&bootstrap.models, &mut faults),
        tenant_models: tenant_models(bootstrap, &mut faults),
        default_model: bootstrap.default_model.clone(),
    };
    (wanted, faults)
}

fn providers(given: &[BootstrapProvider], faults: &mut Faults) -> Vec<WantedProvider> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    let mut wanted = Vec::with_capacity(given.len());
    for (i, provider) in given.iter().enumerate() {
        let at = format!("bootstrap.providers[{i}]");
        faults.keep(unique(&format!("{at}.id"), &mut ids, &provider.id));
        faults.keep(unique(&format!("{at}.name"), &mut names, &provider.name));
        wanted.extend(check_provider(&at, provider, faults));
    }
    wanted
}

fn models(given: &[BootstrapModel], faults: &mut Faults) -> Vec<Model> {
    let mut names = HashSet::new();
    let mut wanted = Vec::with_capacity(given.len());
    for (i, model) in given.iter().enumerate() {
        let at = format!("bootstrap.models[{i}]");
        faults.keep(unique(&format!("{at}.name"), &mut names, &model.name));
        for alias in &model.aliases {
            faults.keep(unique(&format!("{at}.aliases"), &mut names, alias));
        }
        wanted.push(validate::check_model(&at, to_model(model), faults));
    }
    wanted
}

fn tenant_models(bootstrap: &Bootstrap, faults: &mut Faults) -> Vec<TenantModels> {
    let mut wanted = Vec::with_capacity(bootstrap.tenant_models.len());
    for (tenant_id, names) in &bootstrap.tenant_models {
        if faults.keep(validate::id("bootstrap.tenant_models", tenant_id)).is_some() {
            let field = format!("bootstrap.tenant_models.{tenant_id}");
            let models = faults.keep(validate::allowlist(&field, true, names));
            let list = |models| TenantModels {
                tenant_id: tenant_id.clone(),
                restricted: true,
                models,
                ..Default::default()
            };
            wanted.extend(models.map(list));
        }
    }
    wanted
}

/// Does not show the value: it may be a secret in the wrong place.
fn unique<'a>(field: &str, seen: &mut HashSet<&'a str>, value: &'a str) -> Result<(), Failure> {
    if seen.insert(value) {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} stands twice")))
}

fn check_provider(at: &str, provider: &BootstrapProvider, faults: &mut Faults) -> Option<WantedProvider> {
    faults.keep(validate::id(&format!("{at}.id"), &provider.id));
    faults.keep(validate::label(&format!("{at}.name"), &provider.name));
    let kind = match provider.kind {
        BootstrapKind::Openai => ProviderKind::Openai,
        BootstrapKind::Echo => ProviderKind::Echo,
    };
    if let Some(secret) = &provider.api_key {
        faults.keep(credential::check(&format!("{at}.api_key"), secret.expose_secret()));
    }
    let deadlines = Deadlines {
        connect_ms: provider.deadlines.connect_ms,
        first_byte_ms: provider.deadlines.first_byte_ms,
        inter_chunk_ms: provider.deadlines.inter_chunk_ms,
        total_ms: provider.deadlines.total_ms,
    };
    let shown = ShownProvider {
        id: provider.id.clone(),
        name: provider.name.clone(),
        kind: kind.into(),
        base_url: faults.keep(validate::base_url(&format!("{at}.base_url"), kind, &provider.base_url))?,
        deadlines: validate::deadlines(Some(deadlines)),
        ..Default::default()
    };
    Some(WantedProvider { shown, api_key: provider.api_key.clone() })
}

fn to_model(model: &BootstrapModel) -> Model {
    let operation = |operation: &BootstrapOperation| match operation {
        BootstrapOperation::Chat => Operation::Chat.into(),
        BootstrapOperation::Embeddings => Operation::Embeddings.into(),
    };
    let targets = model.targets.iter().map(|target| ModelTarget {
        id: String::new(),
        provider_id: target.provider.clone(),
        upstream_model: target.upstream_model.clone(),
        weight: target.weight,
        price: target.price.as_ref().map(to_price),
    });
    Model {
        id: String::new(),
        name: model.name.clone(),
        enabled: model.enabled,
        operations: model.operations.iter().map(operation).collect(),
        price: Some(to_price(&model.price)),
        targets: targets.collect(),
        max_output_tokens: model.max_output_tokens,
        context_tokens: model.context_tokens,
        aliases: model.aliases.clone(),
        engine: model.engine.clone(),
        request_defaults: Some(to_request_defaults(&model.request_defaults)),
        ..Default::default()
    }
}

fn to_request_defaults(defaults: &BootstrapRequestDefaults) -> RequestDefaults {
    RequestDefaults {
        max_output_tokens: defaults.max_output_tokens,
        temperature: defaults.temperature,
        top_p: defaults.top_p,
        frequency_penalty: defaults.frequency_penalty,
        presence_penalty: defaults.presence_penalty,
        stop: defaults.stop.clone(),
        seed: defaults.seed,
    }
}

fn to_price(price: &BootstrapPrice) -> Price {
    Price {
        input_nano_usd_per_1k_tokens: price.input_usd_per_1m_tokens.nano_usd_per_1k_tokens(),
        output_nano_usd_per_1k_tokens: price.output_usd_per_1m_tokens.nano_usd_per_1k_tokens(),
        cached_input_nano_usd_per_1k_tokens: price
            .cached_input_usd_per_1m_tokens
            .map(|price| price.nano_usd_per_1k_tokens()),
        request_nano_usd: price.request_usd.map(|price| price.nano),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(json: &str, first_start: bool) -> Vec<String> {
        let bootstrap: Bootstrap = serde_json::from_str(json).unwrap();
        bootstrap.problems(first_start).into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let json = r#"{
            "providers": [
                {"id": "a b", "name": "", "kind": "openai", "base_url": "ftp://x", "api_key": "with space"},
                {"id": "p", "name": "p", "kind": "echo"},
                {"id": "p", "name": "p", "kind": "echo"}
            ],
            "models": [{"name": "m", "operations": ["chat"], "targets": [{"provider": "p", "upstream_model": "u"}]}],
            "tenant_models": {"a b": [], "t": [""]}
        }"#;
        let wanted = [
            "bootstrap.providers[0].id",
            "bootstrap.providers[0].name",
            "bootstrap.providers[0].api_key",
            "bootstrap.providers[0].base_url",
            "bootstrap.providers[2].id",
            "bootstrap.providers[2].name",
            "bootstrap.models[0].max_output_tokens",
            "bootstrap.tenant_models",
            "bootstrap.tenant_models.t[0]",
        ];
        assert_eq!(paths(json, true), wanted);
    }

    #[test]
    fn every_fault_of_a_model_is_found() {
        let json = r#"{"models": [{"name": "a b", "operations": ["chat"], "targets": [
            {"provider": "x", "upstream_model": ""}, {"provider": "x", "upstream_model": "u", "weight": 1000001}
        ]}]}"#;
        let wanted = ["name", "max_output_tokens", "targets[0].upstream_model", "targets[1].weight"];
        assert_eq!(paths(json, false), wanted.map(|field| format!("bootstrap.models[0].{field}")));
    }

    #[test]
    fn a_target_s_provider_may_have_been_made_before() {
        let json = r#"{"models": [{"name": "m", "operations": ["embeddings"], "targets": [
            {"provider": "x", "upstream_model": "u"}, {"provider": "x", "upstream_model": "v"},
            {"provider": "y", "upstream_model": "u"}
        ]}]}"#;
        let wanted =
            ["bootstrap.models[0].targets[0].provider_id", "bootstrap.models[0].targets[2].provider_id"];
        assert_eq!(paths(json, true), wanted);
        assert!(paths(json, false).is_empty());
    }
}
