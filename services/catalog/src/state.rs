//! The whole catalog in memory: what reading looks at, and what a watch describes. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use headgate_proto::catalog::v1::{DefaultModel, Model, TenantModels, WatchCatalogResponse};

use crate::change::{Change, Provider};
use crate::health::Health;

/// The etag of what no change made.
const NEVER_SET: &str = "0";

/// How often the catalog was changed, and its providers' health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revisions {
    pub catalog: u64,
    pub health: u64,
}

/// Providers, models and allowlists, by everything they are looked up by.
#[derive(Default)]
pub(crate) struct State {
    revisions: Revisions,
    providers: BTreeMap<String, Provider>,
    models: BTreeMap<String, Model>,
    model_names: HashMap<String, String>,
    /// The names of models by their aliases.
    aliases: HashMap<String, String>,
    /// With those that are lifted, for their etags.
    allowlists: BTreeMap<String, TenantModels>,
    /// Its name may be another by now.
    default_model: Option<DefaultModel>,
}

impl State {
    pub(crate) fn revision(&self) -> u64 {
        self.revisions.catalog
    }

    pub(crate) fn revisions(&self) -> Revisions {
        self.revisions
    }

    pub(crate) fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.get(id)
    }

    pub(crate) fn provider_named(&self, name: &str) -> Option<&Provider> {
        // Providers are few, and asked for by name only when one is made or renamed.
        self.providers.values().find(|provider| provider.shown.name == name)
    }

    /// Providers by id, beginning behind `after`.
    pub(crate) fn providers_after(&self, after: &str) -> impl Iterator<Item = &Provider> {
        self.providers.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, p)| p)
    }

    pub(crate) fn model_named(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// The model that has this name, or else this alias.
    pub(crate) fn model_called(&self, name: &str) -> Option<&Model> {
        self.models.get(name).or_else(|| self.models.get(self.aliases.get(name)?))
    }

    /// The model that has this name, or else this alias, or else this id.
    pub(crate) fn model_known_as(&self, what: &str) -> Option<&Model> {
        self.model_called(what).or_else(|| self.model(what))
    }

    pub(crate) fn model(&self, id: &str) -> Option<&Model> {
        self.models.get(self.model_names.get(id)?)
    }

    /// Models by name, beginning behind `after`.
    pub(crate) fn models_after(&self, after: &str) -> impl Iterator<Item = &Model> {
        self.models.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, model)| model)
    }

    /// Whether a model has a target at the provider.
    pub(crate) fn is_targeted(&self, provider_id: &str) -> bool {
        self.models.values().flat_map(|model| &model.targets).any(|target| target.provider_id == provider_id)
    }

    /// The models a tenant may use.
    pub(crate) fn tenant_models(&self, tenant_id: &str) -> TenantModels {
        let never_set = || TenantModels {
            tenant_id: tenant_id.to_owned(),
            etag: NEVER_SET.to_owned(),
            ..TenantModels::default()
        };
        self.allowlists.get(tenant_id).cloned().unwrap_or_else(never_set)
    }

    /// The model that `default` stands for, by its present name.
    pub(crate) fn default_model(&self) -> Option<DefaultModel> {
        let default = self.default_model.clone()?;
        let model = self.model_names.get(&default.model_id)?.clone();
        Some(DefaultModel { model, ..default })
    }

    /// Everything there is, as the watch tells it.
    pub(crate) fn snapshot(&self) -> WatchCatalogResponse {
        WatchCatalogResponse {
            revision: self.revision(),
            snapshot: true,
            providers: self.providers.values().map(Provider::to_record).collect(),
            models: self.models.values().cloned().collect(),
            tenant_models: self.allowlists.values().filter(|list| list.restricted).cloned().collect(),
            default_model: self.default_model(),
            ..Default::default()
        }
    }

    /// Takes a change in, and tells it as the watch does.
    pub(crate) fn take(&mut self, change: &Change, revisions: Revisions) -> WatchCatalogResponse {
        let mut message = change.to_message(revisions.catalog);
        let turned = self.apply(change, revisions);
        message.providers.extend(turned.iter().filter_map(|id| Some(self.provider(id)?.to_record())));
        message
    }

    /// Takes a change in. Returns the ids of those who became healthy or unhealthy.
    pub(crate) fn apply(&mut self, change: &Change, revisions: Revisions) -> Vec<String> {
        self.revisions = revisions;
        for id in &change.removed_model_ids {
            self.remove_model(id);
        }
        for id in &change.removed_provider_ids {
            self.providers.remove(id);
        }
        for provider in &change.providers {
            self.providers.insert(provider.shown.id.clone(), provider.clone());
        }
        for model in &change.models {
            self.remove_model(&model.id);
            self.model_names.insert(model.id.clone(), model.name.clone());
            let aliases = model.aliases.iter().map(|alias| (alias.clone(), model.name.clone()));
            self.aliases.extend(aliases);
            self.models.insert(model.name.clone(), model.clone());
        }
        for list in &change.tenant_models {
            self.allowlists.insert(list.tenant_id.clone(), list.clone());
        }
        if let Some(default) = &change.default_model {
            self.default_model = Some(default.clone()).filter(|default| !default.model_id.is_empty());
        }
        let turned = change.health.iter().filter(|(id, health)| self.set_health(id, health));
        turned.map(|(id, _)| id.clone()).collect()
    }

    /// Returns whether the provider became healthy or unhealthy.
    fn set_health(&mut self, id: &str, health: &Health) -> bool {
        let Some(provider) = self.providers.get_mut(id) else { return false };
        let turned = provider.shown.is_healthy != health.is_healthy;
        health.clone().show(&mut provider.shown);
        turned
    }

    fn remove_model(&mut self, id: &str) {
        let removed = self.model_names.remove(id).and_then(|name| self.models.remove(&name));
        for alias in removed.iter().flat_map(|model| &model.aliases) {
            self.aliases.remove(alias);
        }
    }
}
