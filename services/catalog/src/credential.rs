//! Providers' credentials: sealed for one provider each.

use headgate_kit::Failure;
use headgate_kit::seal::MasterKey;
use headgate_proto::adapter::v1::SealedSecret;
use secrecy::ExposeSecret as _;

const MAX_BYTES: usize = 8192;
/// What stands for a secret where one is shown. Storing it would be a mistake.
const PLACEHOLDER: &str = "[redacted]";

/// What an API key may be: visible ASCII, as it goes into a header.
pub(crate) fn check(field: &str, secret: &str) -> Result<(), Failure> {
    if secret.len() > MAX_BYTES {
        return Err(Failure::invalid(field, format!("{field} must have at most {MAX_BYTES} bytes")));
    }
    if !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::invalid(field, format!("{field} must be visible ASCII without spaces")));
    }
    if secret == PLACEHOLDER {
        return Err(Failure::invalid(field, format!("{field} is the placeholder of a hidden secret")));
    }
    Ok(())
}

/// Seals a secret for a provider, unless `old` already holds it. Empty means none.
pub(crate) fn seal(
    master_key: &MasterKey,
    provider_id: &str,
    secret: &str,
    old: Option<&SealedSecret>,
) -> Result<Option<SealedSecret>, Failure> {
    if secret.is_empty() {
        return Ok(None);
    }
    if let Some(old) = old.filter(|old| master_key.sealed(old)) {
        // One that does not open was sealed under another master key; sealing anew mends that.
        let same = |known: secrecy::SecretString| known.expose_secret() == secret;
        if master_key.open(provider_id, old).ok().flatten().is_some_and(same) {
            return Ok(Some(old.clone()));
        }
    }
    master_key.seal(provider_id, secret).map(Some).map_err(Failure::internal)
}
