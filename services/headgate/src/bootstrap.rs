//! What a start makes or changes: what the configuration names, or the demo on a new folder.

use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use serde_json::json;

use crate::compose::Services;
use crate::settings::Bootstrap;

/// How long to wait for a database that went away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Seeds every service of this process, waiting for databases that are away. What was applied before is not applied again.
///
/// # Errors
/// What is wrong with the seed.
pub(crate) async fn apply(services: &Services, seed: &Bootstrap) -> Result<(), Failure> {
    loop {
        match apply_once(services, seed).await {
            Err(failure) if failure.reason == ErrorReason::Unavailable => {
                tracing::warn!(%failure, "what the configuration names cannot be seeded yet");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            done => return done,
        }
    }
}

async fn apply_once(services: &Services, seed: &Bootstrap) -> Result<(), Failure> {
    // First, so that no key is good before its limits hold.
    if let Some(budget) = &services.budget {
        budget.bootstrap(&seed.budget()).await?;
    }
    if let Some(auth) = &services.auth {
        auth.bootstrap(&seed.auth()).await?;
    }
    if let Some(catalog) = &services.catalog {
        catalog.bootstrap(&seed.catalog()).await?;
    }
    Ok(())
}

/// A tenant, the key `sk-demo.my-secret`, and the built-in model `echo`.
///
/// # Errors
/// Never: a test reads it.
pub(crate) fn demo() -> Result<Bootstrap, serde_json::Error> {
    serde_json::from_value(json!({
        "tenants": [{"id": "demo", "name": "Demo"}],
        "api_keys": [{"tenant_id": "demo", "name": "demo", "key": "sk-demo.my-secret"}],
        "providers": [{"id": "echo", "name": "echo", "kind": "echo"}],
        "models": [{
            "name": "echo",
            "operations": ["chat", "embeddings"],
            "price": {"input_usd_per_1m_tokens": "0.10", "output_usd_per_1m_tokens": "0.20"},
            "targets": [{"provider": "echo", "upstream_model": "echo"}],
            "max_output_tokens": 1024,
            "context_tokens": 8192,
        }],
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_demo_is_well_formed() {
        assert!(!super::demo().unwrap().is_empty());
    }
}
