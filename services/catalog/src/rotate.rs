//! Master keys that follow each other: what an earlier one sealed is sealed anew.

use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::seal::MasterKey;
use secrecy::ExposeSecret as _;

use crate::change::{Change, Provider, Stamp};
use crate::registry::Registry;
use crate::state::State;

/// Seals every credential with the present master key that an earlier one sealed which is still known.
pub(crate) async fn rotate(registry: &Arc<Registry>) -> Result<(), Failure> {
    let master_key = registry.master_key.clone();
    let resealed = registry.change(move |state, stamp| {
        let change = plan(state, &master_key, stamp)?;
        let resealed = change.providers.len();
        Ok((change, resealed))
    });
    match resealed.await? {
        0 => {}
        resealed => tracing::info!(resealed, "credentials of providers are sealed with the new master key"),
    }
    Ok(())
}

fn plan(state: &State, master_key: &MasterKey, stamp: &Stamp) -> Result<Change, Failure> {
    let mut change = Change::default();
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
            }
            Err(cause) => {
                tracing::warn!(provider = id, %cause, "a credential was sealed with a master key that is not known");
            }
        }
    }
    Ok(change)
}
