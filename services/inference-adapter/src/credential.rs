//! Providers' credentials: opened once, kept as header values that are never printed.

use std::collections::HashMap;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::seal::MasterKey;
use headgate_proto::adapter::v1::Target;
use http::HeaderValue;
use parking_lot::RwLock;
use secrecy::{ExposeSecret as _, SecretString};

/// Providers whose credential is kept opened. Beyond it all are forgotten and opened anew.
const MAX_KEPT: usize = 1024;
const SCHEME: &str = "Bearer ";

/// Opens sealed credentials.
#[derive(Debug)]
pub(crate) struct Credentials {
    key: MasterKey,
    kept: RwLock<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    sealed: Bytes,
    header: HeaderValue,
}

impl Credentials {
    /// Opens what was sealed with `key`.
    pub(crate) fn new(key: MasterKey) -> Self {
        Self { key, kept: RwLock::default() }
    }

    /// The `authorization` header of a target's provider; `None` when it has no credential.
    ///
    /// # Errors
    /// UPSTREAM_CREDENTIAL when the credential does not open or does not fit into a header.
    pub(crate) fn header(&self, target: &Target) -> Result<Option<HeaderValue>, Failure> {
        let Some(secret) = target.credential.as_ref().filter(|secret| !secret.ciphertext.is_empty()) else {
            return Ok(None);
        };
        if let Some(kept) = self.kept.read().get(&target.provider_id)
            && kept.sealed == secret.ciphertext
        {
            return Ok(Some(kept.header.clone()));
        }
        let opened = self.key.open(&target.provider_id, secret).map_err(|cause| unusable(target, &cause))?;
        let Some(opened) = opened else { return Ok(None) };
        let header = header(&opened).map_err(|cause| unusable(target, &cause))?;
        let kept = Kept { sealed: secret.ciphertext.clone(), header: header.clone() };
        let mut all = self.kept.write();
        if all.len() >= MAX_KEPT {
            all.clear();
        }
        all.insert(target.provider_id.clone(), kept);
        Ok(Some(header))
    }
}

/// The credential within a header made here.
pub(crate) fn secret(header: &HeaderValue) -> &str {
    header.to_str().ok().and_then(|text| text.strip_prefix(SCHEME)).unwrap_or_default()
}

fn header(secret: &SecretString) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut header = HeaderValue::try_from(format!("{SCHEME}{}", secret.expose_secret()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn unusable(target: &Target, cause: &dyn std::error::Error) -> Failure {
    headgate_kit::warn_seldom!(provider = target.provider_id, %cause, "a provider's credential cannot be used");
    Failure::new(ErrorReason::UpstreamCredential, "Headgate's credential for the upstream cannot be used")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(key: &MasterKey, provider: &str, secret: &str) -> Target {
        let credential = Some(key.seal("provider_a", secret).unwrap());
        Target { provider_id: provider.into(), credential, ..Target::default() }
    }

    #[test]
    fn opened_once_renewed_when_changed_and_never_printed() {
        let key = MasterKey::parse(&"5a".repeat(32)).unwrap();
        let credentials = Credentials::new(key.clone());
        for planted in ["sk-planted-1", "sk-planted-2"] {
            let target = target(&key, "provider_a", planted);
            for _ in 0..2 {
                let header = credentials.header(&target).unwrap().unwrap();
                assert_eq!(secret(&header), planted);
            }
        }
        assert_eq!(credentials.kept.read().len(), 1);
        assert!(!format!("{credentials:?}").contains("planted"));
        assert_eq!(credentials.header(&Target::default()).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_is_the_operators_to_mend() {
        let key = MasterKey::parse(&"5a".repeat(32)).unwrap();
        let credentials = Credentials::new(key.clone());
        for bad in [target(&key, "provider_b", "sk-planted"), target(&key, "provider_a", "sk-planted\n")] {
            let failure = credentials.header(&bad).unwrap_err();
            assert_eq!(failure.reason, ErrorReason::UpstreamCredential);
            assert!(!format!("{failure:?}").contains("planted"));
        }
    }
}
