//! Providers' credentials: sealed for one provider each.

use headgate_kit::Failure;
use headgate_kit::seal::MasterKey;
use headgate_proto::adapter::v1::SealedSecret;
use secrecy::ExposeSecret as _;

use crate::change::Provider;

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

/// Refuses to take a stored credential along to a URL of another origin: whoever is there would learn it.
pub(crate) fn check_origin(field: &str, stored: &Provider, base_url: &str) -> Result<(), Failure> {
    let known = origin(&stored.shown.base_url);
    if stored.credential.is_none() || origin(base_url) == known {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("give {field} again: the stored one is for {known}")))
}

/// Scheme, host and port of a base URL, as each of its spellings has them.
fn origin(base_url: &str) -> String {
    let Ok(uri) = base_url.parse::<http::Uri>() else { return String::new() };
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    match uri.port_u16().filter(|port| (scheme, *port) != ("http", 80) && (scheme, *port) != ("https", 443)) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_however_it_is_spelt() {
        for (url, wanted) in [
            ("https://api.example.com/v1", "https://api.example.com"),
            ("HTTPS://API.example.com:443", "https://api.example.com"),
            ("http://h:80/", "http://h"),
            ("http://h:443/", "http://h:443"),
            ("http://[::1]:8080/v1", "http://[::1]:8080"),
            ("", ""),
        ] {
            assert_eq!(origin(url), wanted, "{url}");
        }
    }
}
