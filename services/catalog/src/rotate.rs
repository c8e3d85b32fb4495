//! Master keys that follow each other: what an earlier one sealed is sealed anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::seal::MasterKey;
use headgate_proto::catalog::v1::MasterKeyUse;
use secrecy::ExposeSecret as _;

use crate::change::{Change, Provider, Stamp};
use crate::registry::Registry;
use crate::state::State;

/// What became of the credentials that an earlier master key sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Sealed with the present one now.
    pub resealed: u32,
    /// Left as they were, as they do not open.
    pub left: u32,
}

/// Seals every credential with the present master key that an earlier one sealed which is still known.
pub(crate) async fn rotate(by: impl Into<Author>, registry: &Arc<Registry>) -> Result<Rotated, Failure> {
    let master_key = registry.master_key.clone();
    let rotated = registry.change(by, move |state, stamp| plan(state, &master_key, stamp)).await?;
    if rotated.resealed > 0 {
        let resealed = rotated.resealed;
        tracing::info!(resealed, "credentials of providers are sealed with the new master key");
    }
    Ok(rotated)
}

/// How many credentials each master key sealed: the present one, those before it, and those that are not known.
pub(crate) fn uses(state: &State, master_key: &MasterKey) -> Vec<MasterKeyUse> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for sealed in state.providers_after("").filter_map(|provider| provider.credential.as_ref()) {
        *counts.entry(&sealed.key_id).or_default() += 1;
    }
    let known = master_key.ids().map(|id| (id, counts.remove(id).unwrap_or_default(), true));
    let mut uses: Vec<_> = known.collect();
    uses.extend(counts.into_iter().map(|(id, credentials)| (id, credentials, false)));
    let shown = |(key_id, credentials, is_known): (&str, u32, bool)| MasterKeyUse {
        key_id: key_id.to_owned(),
        is_present: key_id == master_key.id(),
        is_known,
        credentials,
    };
    uses.into_iter().map(shown).collect()
}

fn plan(state: &State, master_key: &MasterKey, stamp: &Stamp) -> Result<(Change, Rotated), Failure> {
    let (mut change, mut rotated) = (Change::default(), Rotated::default());
    for provider in state.providers_after("") {
        let Some(sealed) = provider.credential.as_ref().filter(|sealed| !master_key.sealed(sealed)) else {
            continue;
        };
        let id = &provider.shown.id;
        match master_key.open(id, sealed) {
            Ok(None) => {}
            Ok(Some(secret)) => {
                let sealed = master_key.seal(id, secret.expose_secret()).map_err(Failure::internal)?;
                let mut provider = Provider::new(provider.shown.clone(), Some(sealed));
                provider.shown.etag = stamp.etag();
                provider.shown.updated_at = Some(stamp.time());
                change.providers.push(provider);
                rotated.resealed += 1;
            }
            Err(cause) => {
                rotated.left += 1;
                tracing::warn!(provider = id, %cause, "a credential was sealed with a master key that is not known");
            }
        }
    }
    Ok((change, rotated))
}
