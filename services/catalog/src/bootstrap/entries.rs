//! What a bootstrap says, thing by thing, to tell what was applied of it before. Pure.

use headgate_kit::Failure;
use headgate_kit::seeds::Entry;

use super::Bootstrap;

pub(super) const PROVIDER: &str = "provider";
pub(super) const MODEL: &str = "model";
pub(super) const TENANT_MODELS: &str = "tenant_models";
pub(super) const DEFAULT_MODEL: &str = "default_model";

/// An entry for each provider, model and allowlist, and for the default model, of which there is one.
pub(super) fn of(bootstrap: &Bootstrap) -> Result<Vec<Entry>, Failure> {
    let providers = bootstrap.providers.iter();
    let providers =
        providers.map(|provider| Entry::new(PROVIDER, &provider.id, provider, &[provider.api_key.as_ref()]));
    let models = bootstrap.models.iter().map(|model| Entry::new(MODEL, &model.name, model, &[]));
    let lists = bootstrap.tenant_models.iter();
    let lists = lists.map(|(tenant_id, names)| Entry::new(TENANT_MODELS, tenant_id, names, &[]));
    let default_model = bootstrap.default_model.iter();
    let default_model = default_model.map(|name| Entry::new(DEFAULT_MODEL, DEFAULT_MODEL, name, &[]));
    providers.chain(models).chain(lists).chain(default_model).collect()
}
