//! What callers are kept from doing, told to whoever keeps a record of it.

use std::sync::{Arc, OnceLock};

use headgate_kit::error::ErrorReason;

use crate::author::Author;
use crate::caller::Caller;

/// Something that a known caller has no right to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who tried what.
    pub author: Author,
    /// At something of this tenant. `None` at what belongs to none.
    pub tenant_id: Option<String>,
    /// Whether the caller belongs to the tenant.
    pub belongs: bool,
    /// What they were answered.
    pub reason: ErrorReason,
}

type Listener = Box<dyn Fn(Denial) + Send + Sync>;

/// Who hears of denials; nobody, until somebody does. Cheap to clone; clones share the listener.
#[derive(Clone, Default)]
pub(crate) struct Denials(Arc<OnceLock<Listener>>);

impl Denials {
    /// The first one stays.
    pub(crate) fn tell(&self, listener: impl Fn(Denial) + Send + Sync + 'static) {
        let _second = self.0.set(Box::new(listener));
    }

    pub(crate) fn note(&self, caller: &Caller, tenant_id: Option<&str>, reason: ErrorReason) {
        let Some(listener) = self.0.get() else { return };
        listener(Denial {
            author: caller.author().clone(),
            tenant_id: tenant_id.map(str::to_owned),
            belongs: tenant_id.is_some_and(|id| caller.role_in(id).is_some()),
            reason,
        });
    }
}

impl std::fmt::Debug for Denials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Denials")
    }
}
