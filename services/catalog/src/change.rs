//! What a change consists of: the same facts are written, taken into memory and published.

use headgate_kit::seeds::Due;
use headgate_proto::adapter::v1::SealedSecret;
use headgate_proto::catalog::v1::{
    self as proto, DefaultModel, Model, ProviderRecord, TenantModels, WatchCatalogResponse,
};
use headgate_proto::timestamp;

use crate::health::Health;

/// A provider and its sealed credential.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provider {
    /// As shown; `has_credential` is in step with `credential`.
    pub shown: proto::Provider,
    pub credential: Option<SealedSecret>,
}

impl Provider {
    pub(crate) fn new(mut shown: proto::Provider, credential: Option<SealedSecret>) -> Self {
        shown.has_credential = credential.is_some();
        Self { shown, credential }
    }

    pub(crate) fn to_record(&self) -> ProviderRecord {
        ProviderRecord { provider: Some(self.shown.clone()), credential: self.credential.clone() }
    }
}

/// Which change it is, and when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub revision: u64,
    pub unix_ms: i64,
}

impl Stamp {
    /// What tells a row that this change writes from what it was before.
    pub(crate) fn etag(&self) -> String {
        self.revision.to_string()
    }

    pub(crate) fn time(&self) -> prost_types::Timestamp {
        timestamp(self.unix_ms)
    }
}

/// Rows to write together: new ones, and changed ones in full. Models always have a price.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    pub tenant_models: Vec<TenantModels>,
    pub removed_provider_ids: Vec<String>,
    pub removed_model_ids: Vec<String>,
    /// Without an id: there is none any more.
    pub default_model: Option<DefaultModel>,
    /// How providers are, by their ids. By itself it makes no revision.
    pub health: Vec<(String, Health)>,
    /// What the bootstrap applied with it. By itself it makes no revision either.
    pub seeded: Due,
}

impl Change {
    pub(crate) fn provider(provider: Provider) -> Self {
        Self { providers: vec![provider], ..Self::default() }
    }

    pub(crate) fn model(model: Model) -> Self {
        Self { models: vec![model], ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it changes anything that whoever watches is told of, but for health.
    pub(crate) fn makes_revision(&self) -> bool {
        *self != Self { health: self.health.clone(), seeded: self.seeded.clone(), ..Self::default() }
    }

    /// How the watch tells it, but for health.
    pub(crate) fn to_message(&self, revision: u64) -> WatchCatalogResponse {
        WatchCatalogResponse {
            revision,
            snapshot: false,
            providers: self.providers.iter().map(Provider::to_record).collect(),
            models: self.models.clone(),
            tenant_models: self.tenant_models.clone(),
            removed_provider_ids: self.removed_provider_ids.clone(),
            removed_model_ids: self.removed_model_ids.clone(),
            default_model: self.default_model.clone(),
        }
    }
}
