//! All tenants and keys in memory: what verification and reading look at, and what a watch describes. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use headgate_proto::auth::v1::{KeyRecord, TenantStatus};

use crate::model::{Key, Tenant};
use crate::signing::SigningKey;
use crate::voided::Voided;

/// Rows to write together: new ones, and changed ones in full.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub tenants: Vec<Tenant>,
    pub keys: Vec<Key>,
    pub signing_keys: Vec<SigningKey>,
    pub voided: Vec<Voided>,
}

impl Batch {
    pub(crate) fn tenant(tenant: Tenant) -> Self {
        Self { tenants: vec![tenant], ..Self::default() }
    }

    pub(crate) fn key(key: Key) -> Self {
        Self { keys: vec![key], ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { tenants, keys, signing_keys, voided } = self;
        tenants.is_empty() && keys.is_empty() && signing_keys.is_empty() && voided.is_empty()
    }
}

/// Tenants and keys, by everything they are looked up by.
#[derive(Default)]
pub(crate) struct Directory {
    revision: u64,
    tenants: BTreeMap<String, Tenant>,
    tenant_ids: HashMap<String, String>,
    keys: HashMap<String, Arc<Key>>,
    by_prefix: HashMap<String, Arc<Key>>,
    by_tenant: HashMap<String, BTreeMap<String, Arc<Key>>>,
    /// Personal ones, by their owner.
    by_user: HashMap<String, BTreeMap<String, Arc<Key>>>,
}

impl Directory {
    /// Rises with every change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision that a change makes which is planned on what is here.
    pub(crate) fn next_revision(&self) -> u64 {
        self.revision + 1
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(crate) fn tenant(&self, id: &str) -> Option<&Tenant> {
        self.tenants.get(id)
    }

    pub(crate) fn tenant_named(&self, name: &str) -> Option<&Tenant> {
        self.tenants.get(self.tenant_ids.get(name)?)
    }

    /// Tenants by id, beginning behind `after`.
    pub(crate) fn tenants_after(&self, after: &str) -> impl Iterator<Item = &Tenant> {
        self.tenants.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, tenant)| tenant)
    }

    pub(crate) fn key(&self, id: &str) -> Option<&Key> {
        self.keys.get(id).map(AsRef::as_ref)
    }

    pub(crate) fn key_with_prefix(&self, prefix: &str) -> Option<&Key> {
        self.by_prefix.get(prefix).map(AsRef::as_ref)
    }

    /// A tenant's keys by id, beginning behind `after`.
    pub(crate) fn keys_after(&self, tenant_id: &str, after: &str) -> impl Iterator<Item = &Key> {
        behind(self.by_tenant.get(tenant_id), after)
    }

    /// What a user made for themselves, by id, beginning behind `after`.
    pub(crate) fn personal_keys_after(&self, user_id: &str, after: &str) -> impl Iterator<Item = &Key> {
        behind(self.by_user.get(user_id), after)
    }

    /// What peers need of every key.
    pub(crate) fn records(&self) -> Vec<KeyRecord> {
        self.keys.values().map(|key| self.record(key)).collect()
    }

    /// What peers need of one key.
    pub(crate) fn record(&self, key: &Key) -> KeyRecord {
        // A key without its tenant cannot be (the database refuses it); if it were, it would be refused.
        let status = self.tenant(&key.tenant_id).map_or(TenantStatus::Archived, |tenant| tenant.status);
        key.to_record(status)
    }

    /// Takes in what makes a revision, or several. Returns the keys for which something changed that verification
    /// looks at.
    pub(crate) fn apply(&mut self, batch: &Batch, revision: u64) -> Vec<KeyRecord> {
        let mut changed: HashSet<String> = batch.keys.iter().map(|key| key.id.clone()).collect();
        for tenant in &batch.tenants {
            if self.put_tenant(tenant) {
                let keys = self.by_tenant.get(&tenant.id);
                changed.extend(keys.into_iter().flat_map(BTreeMap::keys).cloned());
            }
        }
        for key in &batch.keys {
            self.put_key(key);
        }
        self.revision = revision;
        changed.iter().filter_map(|id| Some(self.record(self.key(id)?))).collect()
    }

    /// Whether an existing tenant's status changed.
    fn put_tenant(&mut self, tenant: &Tenant) -> bool {
        let old = self.tenants.insert(tenant.id.clone(), tenant.clone());
        // Two may have exchanged their names.
        if let Some(old) = &old
            && self.tenant_ids.get(&old.name) == Some(&tenant.id)
        {
            self.tenant_ids.remove(&old.name);
        }
        self.tenant_ids.insert(tenant.name.clone(), tenant.id.clone());
        old.is_some_and(|old| old.status != tenant.status)
    }

    fn put_key(&mut self, key: &Key) {
        let key = Arc::new(key.clone());
        if let Some(old) = self.keys.insert(key.id.clone(), Arc::clone(&key))
            && self.by_prefix.get(&old.prefix).is_some_and(|holder| holder.id == key.id)
        {
            self.by_prefix.remove(&old.prefix);
        }
        self.by_prefix.insert(key.prefix.clone(), Arc::clone(&key));
        // Whose it is never changes.
        if key.personal {
            self.by_user.entry(key.user_id.clone()).or_default().insert(key.id.clone(), Arc::clone(&key));
        }
        self.by_tenant.entry(key.tenant_id.clone()).or_default().insert(key.id.clone(), key);
    }
}

fn behind<'a>(keys: Option<&'a BTreeMap<String, Arc<Key>>>, after: &str) -> impl Iterator<Item = &'a Key> {
    let bounds = (Bound::Excluded(after), Bound::Unbounded);
    let keys = keys.map(|keys| keys.range::<str, _>(bounds));
    keys.into_iter().flatten().map(|(_, key)| key.as_ref())
}
