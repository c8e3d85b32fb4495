//! Checks a bootstrap by itself, and brings it into the catalog's own terms.

use std::collections::HashSet;

use headgate_kit::Failure;
use headgate_proto::adapter::v1::{Deadlines, ProviderKind};
use headgate_proto::catalog::v1::{
    Model, ModelTarget, Operation, Price, Provider as ShownProvider, TenantModels,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Bootstrap, BootstrapKind, BootstrapModel, BootstrapOperation, BootstrapPrice, BootstrapProvider,
};
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
}

pub(super) fn check(bootstrap: &Bootstrap) -> Result<Wanted, Failure> {
    let mut providers = Vec::with_capacity(bootstrap.providers.len());
    let (mut ids, mut names, mut model_names) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (i, provider) in bootstrap.providers.iter().enumerate() {
        let at = format!("bootstrap.providers[{i}]");
        unique(&format!("{at}.id"), &mut ids, &provider.id)?;
        unique(&format!("{at}.name"), &mut names, &provider.name)?;
        providers.push(check_provider(&at, provider)?);
    }
    let mut models = Vec::with_capacity(bootstrap.models.len());
    for (i, model) in bootstrap.models.iter().enumerate() {
        let at = format!("bootstrap.models[{i}]");
        unique(&format!("{at}.name"), &mut model_names, &model.name)?;
        models.push(validate::model(&at, to_model(model))?);
    }
    let mut tenant_models = Vec::with_capacity(bootstrap.tenant_models.len());
    for (tenant_id, names) in &bootstrap.tenant_models {
        validate::id("bootstrap.tenant_models", tenant_id)?;
        let models = validate::model_names(&format!("bootstrap.tenant_models.{tenant_id}"), names)?;
        tenant_models.push(TenantModels { tenant_id: tenant_id.clone(), restricted: true, models });
    }
    Ok(Wanted { providers, models, tenant_models })
}

fn unique<'a>(field: &str, seen: &mut HashSet<&'a str>, value: &'a str) -> Result<(), Failure> {
    if seen.insert(value) {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} stands twice: {value}")))
}

fn check_provider(at: &str, provider: &BootstrapProvider) -> Result<WantedProvider, Failure> {
    validate::id(&format!("{at}.id"), &provider.id)?;
    validate::label(&format!("{at}.name"), &provider.name)?;
    let kind = match provider.kind {
        BootstrapKind::Openai => ProviderKind::Openai,
        BootstrapKind::Echo => ProviderKind::Echo,
    };
    if let Some(secret) = &provider.api_key {
        credential::check(&format!("{at}.api_key"), secret.expose_secret())?;
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
        base_url: validate::base_url(&format!("{at}.base_url"), kind, &provider.base_url)?,
        deadlines: validate::deadlines(Some(deadlines)),
        ..Default::default()
    };
    Ok(WantedProvider { shown, api_key: provider.api_key.clone() })
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
        create_time: None,
    }
}

fn to_price(price: &BootstrapPrice) -> Price {
    Price {
        input_nano_usd_per_1k_tokens: price.input_usd_per_1m_tokens.nano_usd_per_1k_tokens(),
        output_nano_usd_per_1k_tokens: price.output_usd_per_1m_tokens.nano_usd_per_1k_tokens(),
        cached_input_nano_usd_per_1k_tokens: price
            .cached_input_usd_per_1m_tokens
            .map(|price| price.nano_usd_per_1k_tokens()),
    }
}
