//! Tenants, keys and people that the configuration names.

mod entries;
mod form;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::TenantStatus;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::directory::{Batch, Directory};
use crate::draft::Draft;
use crate::key::{self, SecretHmac};
use crate::model::{Key, Tenant};
use crate::people::People;
use crate::pepper::Pepper;
use crate::registry::Registry;

use self::entries::{API_KEY, TENANT};
pub(crate) use entries::Entries;
pub use people::{BootstrapAdmin, BootstrapMembership};

/// What the audit log calls it.
const ACTION: &str = "bootstrap";

/// What a start makes or changes. What is said of a tenant, a key or a membership is applied when it is new here or says
/// something else than it did; otherwise what was changed or removed by call since stands. Super admins are made so at each
/// start. A database of an earlier version, which does not know what was applied, has everything applied once more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Tenants to make, or to rename.
    pub tenants: Vec<BootstrapTenant>,
    /// Keys to make, or to change.
    pub api_keys: Vec<BootstrapKey>,
    /// Super admins to make, or existing users to make super admins.
    pub admin_users: Vec<BootstrapAdmin>,
    /// Memberships to make, or to give another role, each an entry of its tenant and address. None is ended.
    pub memberships: Vec<BootstrapMembership>,
}

/// A tenant that shall exist. It is made active; an existing one keeps its status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapTenant {
    /// 1 to 64 letters, digits, `_` and `-`.
    pub id: String,
    /// For people; 1 to 128 characters; unique.
    pub name: String,
}

/// A key that shall exist. It never expires; one that was revoked or disabled stays so. `L` and `B` are what the service
/// of limits and budgets says of keys, which is not looked at here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapKey<L = (), B = ()> {
    /// 1 to 64 letters, digits, `_` and `-`. Unset means `key_` and the key's prefix.
    #[serde(default)]
    pub id: Option<String>,
    /// The owner; among the tenants of this bootstrap or made before.
    pub tenant_id: String,
    /// For people; at most 128 characters.
    #[serde(default)]
    pub name: String,
    /// The whole key, `sk-<prefix>.<secret>`: a prefix of 1 to 32 letters, digits, `_` and `-`, a secret of 8 to 256
    /// visible ASCII characters. Shown as `[redacted]`.
    #[serde(serialize_with = "redacted")]
    pub key: SecretString,
    /// Operations it may do: `chat`, `embeddings`. Empty means all.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The models it may use, by name; empty means all that its tenant may use. Unset leaves them as they are.
    #[serde(default)]
    pub models: Option<Vec<String>>,
    /// Addresses and networks that it may be used from; empty means from anywhere. Unset leaves them as they are.
    #[serde(default)]
    pub ip_allowlist: Option<Vec<String>>,
    /// Notes by name. Unset leaves them as they are.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its limits. Unset leaves them as they are.
    #[serde(alias = "rate_limit")]
    pub limits: Option<L>,
    /// Its budget. Unset leaves it as it is.
    pub budget: Option<B>,
}

impl<L, B> BootstrapKey<L, B> {
    /// Its id, as given or by its prefix. `None` where the key has no prefix.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let prefix = || Some(key::parse(self.key.expose_secret())?.prefix);
        self.id.clone().or_else(|| prefix().map(|prefix| format!("key_{prefix}")))
    }

    /// The same without what is not looked at here.
    #[must_use]
    pub fn bare(&self) -> BootstrapKey {
        BootstrapKey {
            id: self.id.clone(),
            tenant_id: self.tenant_id.clone(),
            name: self.name.clone(),
            key: self.key.clone(),
            scopes: self.scopes.clone(),
            models: self.models.clone(),
            ip_allowlist: self.ip_allowlist.clone(),
            metadata: self.metadata.clone(),
            limits: None,
            budget: None,
        }
    }
}

fn redacted<T, S: Serializer>(_secret: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("[redacted]")
}

/// A key of the bootstrap, found good and without its secret.
struct Wanted {
    id: String,
    tenant_id: String,
    name: String,
    prefix: String,
    secret_hmac: SecretHmac,
    scopes: Vec<String>,
    models: Option<Vec<String>>,
    ip_allowlist: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
}

/// Brings everything to what is new in the bootstrap.
pub(crate) async fn apply(people: &People, bootstrap: &Bootstrap) -> Result<(), Failure> {
    let (keys, seeds, faults) = form::check(bootstrap);
    faults.first()?;
    let entries = Entries::of(bootstrap, &people.registry.pepper)?;
    apply_keys(&people.registry, bootstrap, keys, entries.clone()).await?;
    people.seed(Author::own(ACTION), seeds, entries).await
}

async fn apply_keys(
    registry: &Arc<Registry>,
    bootstrap: &Bootstrap,
    keys: Vec<form::Sound<'_>>,
    entries: Entries,
) -> Result<(), Failure> {
    let mut keys: Vec<_> = keys.into_iter().map(|key| Wanted::new(key, &registry.pepper)).collect();
    let mut tenants = bootstrap.tenants.clone();
    let work = async move |draft: &mut Draft| {
        let due = entries.due(draft, &[TENANT, API_KEY]).await?;
        tenants.retain(|tenant| due.has(TENANT, &tenant.id));
        keys.retain(|key| due.has(API_KEY, &key.id));
        let batch = plan(&draft.directory(), &tenants, keys, draft.now_ms)?;
        draft.batch = batch;
        Ok(())
    };
    registry.draft(Author::own(ACTION), move |draft| Box::pin(async move { work(draft).await })).await
}

impl Wanted {
    fn new(key: form::Sound<'_>, pepper: &Pepper) -> Self {
        Self {
            id: key.id,
            tenant_id: key.tenant_id.to_owned(),
            name: key.name.to_owned(),
            prefix: key.prefix.to_owned(),
            secret_hmac: pepper.hash(key.secret),
            scopes: key.scopes,
            models: key.models,
            ip_allowlist: key.ip_allowlist,
            metadata: key.metadata,
        }
    }
}

/// What has to be written for these; nothing where all is as it shall be.
fn plan(
    directory: &Directory,
    tenants: &[BootstrapTenant],
    keys: Vec<Wanted>,
    now_ms: i64,
) -> Result<Batch, Failure> {
    let mut batch = Batch::default();
    for tenant in tenants {
        batch.tenants.extend(plan_tenant(directory, tenant, now_ms)?);
    }
    for key in keys {
        let named_here = tenants.iter().any(|tenant| tenant.id == key.tenant_id);
        if !named_here && directory.tenant(&key.tenant_id).is_none() {
            let message = format!("bootstrap key {}: there is no tenant {}", key.id, key.tenant_id);
            return Err(Failure::invalid("bootstrap.api_keys", message));
        }
        batch.keys.extend(plan_key(directory, key, now_ms)?);
    }
    Ok(batch)
}

fn plan_tenant(
    directory: &Directory,
    wanted: &BootstrapTenant,
    now_ms: i64,
) -> Result<Option<Tenant>, Failure> {
    if directory.tenant_named(&wanted.name).is_some_and(|other| other.id != wanted.id) {
        let message = format!("bootstrap tenant {}: another tenant has this name", wanted.id);
        return Err(Failure::new(ErrorReason::AlreadyExists, message));
    }
    let old = directory.tenant(&wanted.id);
    let tenant = Tenant {
        id: wanted.id.clone(),
        name: wanted.name.clone(),
        status: old.map_or(TenantStatus::Active, |old| old.status),
        created_ms: old.map_or(now_ms, |old| old.created_ms),
        revision: old.map_or(0, |old| old.revision),
    };
    let revision = directory.next_revision();
    Ok((old != Some(&tenant)).then_some(Tenant { revision, ..tenant }))
}

fn plan_key(directory: &Directory, wanted: Wanted, now_ms: i64) -> Result<Option<Key>, Failure> {
    if directory.key_with_prefix(&wanted.prefix).is_some_and(|other| other.id != wanted.id) {
        let message = format!("bootstrap key {}: another key has this prefix", wanted.id);
        return Err(Failure::new(ErrorReason::AlreadyExists, message));
    }
    let old = directory.key(&wanted.id);
    if old.is_some_and(|old| old.tenant_id != wanted.tenant_id) {
        let message = format!("bootstrap key {}: it belongs to another tenant", wanted.id);
        return Err(Failure::new(ErrorReason::Conflict, message));
    }
    let key = Key {
        id: wanted.id,
        tenant_id: wanted.tenant_id,
        name: wanted.name,
        prefix: wanted.prefix,
        secret_hmac: wanted.secret_hmac,
        // It goes with the secret that took its place.
        previous: old.filter(|old| old.secret_hmac == wanted.secret_hmac).and_then(|old| old.previous),
        scopes: wanted.scopes,
        models: wanted.models.or_else(|| Some(old?.models.clone())).unwrap_or_default(),
        ip_allowlist: wanted.ip_allowlist.or_else(|| Some(old?.ip_allowlist.clone())).unwrap_or_default(),
        metadata: wanted.metadata.or_else(|| Some(old?.metadata.clone())).unwrap_or_default(),
        disabled: old.is_some_and(|old| old.disabled),
        user_id: old.map(|old| old.user_id.clone()).unwrap_or_default(),
        personal: old.is_some_and(|old| old.personal),
        owner_barred: old.is_some_and(|old| old.owner_barred),
        expires_ms: old.and_then(|old| old.expires_ms),
        revoked_ms: old.and_then(|old| old.revoked_ms),
        created_ms: old.map_or(now_ms, |old| old.created_ms),
        revision: old.map_or(0, |old| old.revision),
    };
    let revision = directory.next_revision();
    Ok((old != Some(&key)).then_some(Key { revision, ..key }))
}
