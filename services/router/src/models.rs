//! The snapshot of the catalog, kept by its watch, and step two: what a name stands for.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use foldhash::{HashMap, HashSet};
use headgate_kit::error::Failure;
use headgate_proto::adapter::v1::Target;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::catalog::v1::{
    DefaultModel, Model, Operation, Price, ProviderRecord, TenantModels, WatchCatalogResponse,
};
use headgate_proto::inference::v1::{ModelInfo, ModelStatus};
use parking_lot::Mutex;

use crate::{error, price};

/// Stands for the model that the catalog says.
const DEFAULT: &str = "default";

/// What requests are resolved against. Readers never wait.
#[derive(Default)]
pub(crate) struct Models {
    raw: Mutex<Raw>,
    current: ArcSwap<Snapshot>,
}

#[derive(Default)]
struct Raw {
    revision: u64,
    /// Rises with every change.
    changes: u64,
    providers: HashMap<String, ProviderRecord>,
    models: HashMap<String, Model>,
    tenant_models: HashMap<String, Arc<HashSet<String>>>,
    default_model: Option<DefaultModel>,
}

/// The catalog at one revision.
#[derive(Default)]
pub(crate) struct Snapshot {
    ready: bool,
    by_name: HashMap<String, Arc<Entry>>,
    /// Models by their other names.
    by_alias: HashMap<String, Arc<Entry>>,
    allowed: HashMap<String, Arc<HashSet<String>>>,
}

/// One model with everything an attempt needs.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) model: Model,
    pub(crate) revision: u64,
    pub(crate) candidates: Vec<Candidate>,
    /// Whether some candidate's provider is not well, for the many requests that meet none.
    pub(crate) any_unwell: bool,
    info: ModelInfo,
}

/// One place a request may go.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) target: Target,
    pub(crate) weight: u32,
    pub(crate) price: Price,
    /// Whether the provider does well, as the catalog's probes and operators say.
    pub(crate) is_healthy: bool,
}

impl Models {
    /// Takes in what the watch says.
    pub(crate) fn apply(&self, message: WatchCatalogResponse) {
        let heartbeat = !message.snapshot
            && message.providers.is_empty()
            && message.models.is_empty()
            && message.tenant_models.is_empty()
            && message.removed_provider_ids.is_empty()
            && message.removed_model_ids.is_empty()
            && message.default_model.is_none();
        if heartbeat {
            return;
        }
        let mut raw = self.raw.lock();
        raw.take(message);
        self.current.store(Arc::new(raw.snapshot()));
    }

    /// The number of changes.
    pub(crate) fn changes(&self) -> u64 {
        self.raw.lock().changes
    }

    /// Everything there is.
    pub(crate) fn snapshot(&self) -> WatchCatalogResponse {
        self.raw.lock().message()
    }

    /// The catalog as it is now. Meant to be looked into, not to be kept.
    pub(crate) fn current(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }
}

impl Raw {
    fn take(&mut self, message: WatchCatalogResponse) {
        if message.snapshot {
            *self = Self { changes: self.changes, ..Self::default() };
        }
        self.revision = message.revision;
        self.changes += 1;
        for id in &message.removed_provider_ids {
            self.providers.remove(id);
        }
        for id in &message.removed_model_ids {
            self.models.remove(id);
        }
        for record in message.providers {
            let id = record.provider.as_ref().map(|p| p.id.clone()).unwrap_or_default();
            self.providers.insert(id, record);
        }
        for model in message.models {
            self.models.insert(model.id.clone(), model);
        }
        for list in message.tenant_models {
            if list.restricted {
                self.tenant_models.insert(list.tenant_id, Arc::new(list.models.into_iter().collect()));
            } else {
                self.tenant_models.remove(&list.tenant_id);
            }
        }
        self.default_model = message.default_model.or(self.default_model.take());
    }

    fn message(&self) -> WatchCatalogResponse {
        let list = |(tenant_id, names): (&String, &Arc<HashSet<String>>)| TenantModels {
            tenant_id: tenant_id.clone(),
            restricted: true,
            models: names.iter().cloned().collect(),
            ..TenantModels::default()
        };
        WatchCatalogResponse {
            revision: self.revision,
            snapshot: true,
            providers: self.providers.values().cloned().collect(),
            models: self.models.values().cloned().collect(),
            tenant_models: self.tenant_models.iter().map(list).collect(),
            default_model: self.default_model.clone(),
            ..WatchCatalogResponse::default()
        }
    }

    fn snapshot(&self) -> Snapshot {
        let entries: HashMap<String, Arc<Entry>> = self
            .models
            .values()
            .map(|model| {
                let candidates = self.candidates(model);
                let entry = Entry {
                    any_unwell: candidates.iter().any(|candidate| !candidate.is_healthy),
                    candidates,
                    info: self.info(model),
                    model: model.clone(),
                    revision: self.revision,
                };
                (model.name.clone(), Arc::new(entry))
            })
            .collect();
        let aliases = entries.values().flat_map(|entry| {
            entry.model.aliases.iter().map(move |alias| (alias.clone(), Arc::clone(entry)))
        });
        let mut by_alias: HashMap<_, _> = aliases.collect();
        let default = self.default_model.as_ref().and_then(|default| self.models.get(&default.model_id));
        if let Some(entry) = default.and_then(|model| entries.get(&model.name)) {
            by_alias.entry(DEFAULT.to_owned()).or_insert_with(|| Arc::clone(entry));
        }
        Snapshot { ready: true, by_name: entries, by_alias, allowed: self.tenant_models.clone() }
    }

    fn candidates(&self, model: &Model) -> Vec<Candidate> {
        let default_price = model.price.unwrap_or_default();
        let usable = model.targets.iter().filter_map(|t| {
            let record = self.providers.get(&t.provider_id)?;
            let provider = record.provider.as_ref().filter(|p| p.is_active)?;
            let target = Target {
                target_id: t.id.clone(),
                provider_id: provider.id.clone(),
                kind: provider.kind,
                base_url: provider.base_url.clone(),
                credential: record.credential.clone(),
                upstream_model: t.upstream_model.clone(),
                deadlines: provider.deadlines,
                request_defaults: model.request_defaults.clone(),
            };
            let price = t.price.unwrap_or(default_price);
            Some(Candidate { target, weight: t.weight, price, is_healthy: provider.is_healthy })
        });
        usable.collect()
    }

    fn info(&self, model: &Model) -> ModelInfo {
        let provider =
            |id: &str| self.providers.get(id).and_then(|r| r.provider.as_ref()).map(|p| p.name.clone());
        ModelInfo {
            name: model.name.clone(),
            enabled: model.enabled,
            created_unix_seconds: model.create_time.map_or(0, |t| t.seconds),
            operations: model.operations().map(|o| operation_name(o).to_owned()).collect(),
            providers: model.targets.iter().map(|t| provider(&t.provider_id).unwrap_or_default()).collect(),
            deployments: model.targets.iter().map(|t| t.upstream_model.clone()).collect(),
            context_tokens: model.context_tokens,
            max_output_tokens: model.max_output_tokens,
            // Told when it is asked for.
            status: ModelStatus::Unspecified.into(),
            retry_after_ms: 0,
            aliases: model.aliases.clone(),
            description: model.description.clone(),
        }
    }
}

impl Snapshot {
    /// Whether the catalog is known at all.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The model that a name means to whoever presents a key.
    pub(crate) fn resolve(&self, key: &KeyRecord, name: &str) -> Result<&Arc<Entry>, Failure> {
        if !self.ready {
            return Err(Failure::unavailable("the catalog", "no snapshot yet"));
        }
        let entry = self
            .by_name
            .get(name)
            .or_else(|| self.by_alias.get(name))
            .filter(|e| e.model.enabled && self.may_use(key, &e.model.name));
        entry.ok_or_else(|| error::model_not_found(name))
    }

    /// The models that a key may be used for, by name.
    pub(crate) fn list(&self, key: &KeyRecord) -> Vec<&Arc<Entry>> {
        let may_use = |e: &&Arc<Entry>| e.model.enabled && self.may_use(key, &e.model.name);
        let mut visible: Vec<_> = self.by_name.values().filter(may_use).collect();
        visible.sort_by(|a, b| a.model.name.cmp(&b.model.name));
        visible
    }

    /// Every model, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_name.values()
    }

    /// Whether both the tenant's list and the key's own leave the model open.
    fn may_use(&self, key: &KeyRecord, name: &str) -> bool {
        let own = key.models.is_empty() || key.models.iter().any(|own| own == name);
        own && self.allowed.get(&key.tenant_id).is_none_or(|names| names.contains(name))
    }
}

impl Entry {
    /// Refuses an operation the model does not offer.
    pub(crate) fn offers(&self, operation: Operation) -> Result<(), Failure> {
        if self.model.operations().any(|o| o == operation) {
            return Ok(());
        }
        Err(error::unsupported(&self.model.name, operation_name(operation)))
    }

    /// What consumers may know of the model, but for its status.
    pub(crate) fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The dearest of the candidates' prices, of each kind: what a hold is computed with.
    pub(crate) fn dearest(&self) -> Price {
        price::dearest(self.candidates.iter().map(|candidate| &candidate.price))
    }
}

/// An operation as scopes, metrics and `GET /v1/models` name it.
pub(crate) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat",
        Operation::Embeddings => "embeddings",
        Operation::Unspecified => "unspecified",
    }
}
