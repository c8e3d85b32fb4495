//! Service tokens: JSON Web Tokens (RFC 7519) that processes of one deployment sign for each other with a shared key.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

/// The metadata that carries a service token.
pub const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-headgate-service-token");

const NAME: &str = "headgate";
/// How long a token is good for, and until when before its end it is used, in seconds. Clocks may differ by half of
/// the first.
const LIFETIME: i64 = 120;
const RENEW_BEFORE: i64 = 90;
const LEEWAY: i64 = 60;
/// Tokens known to be good. Each process of the deployment has two at a time.
const REMEMBERED: usize = 1024;

/// What tokens are signed with: 32 bytes, the same in every process of the deployment.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(key))
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    services: Vec<String>,
}

/// Signs what a process presents to its peers.
pub struct Issuer {
    key: EncodingKey,
    services: Vec<String>,
    clock: Clock,
    /// The token in use, and until when in seconds.
    current: ArcSwapOption<(HeaderValue, i64)>,
}

impl Issuer {
    /// For a process that runs `services`.
    #[must_use]
    pub fn new(key: &TokenKey, services: &[&str], clock: Clock) -> Self {
        let services = services.iter().map(|s| (*s).to_owned()).collect();
        Self { key: EncodingKey::from_secret(&key.0), services, clock, current: ArcSwapOption::empty() }
    }

    /// A token that is good for half a minute at least; `None` when it cannot be signed.
    #[must_use]
    pub fn token(&self) -> Option<HeaderValue> {
        let now = self.clock.unix_millis() / 1000;
        if let Some(current) = &*self.current.load()
            && now < current.1
        {
            return Some(current.0.clone());
        }
        let claims = Claims {
            iss: NAME.to_owned(),
            aud: NAME.to_owned(),
            iat: now,
            exp: now + LIFETIME,
            services: self.services.clone(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).ok()?;
        let mut header = HeaderValue::from_str(&token).ok()?;
        header.set_sensitive(true);
        self.current.store(Some(Arc::new((header.clone(), now + LIFETIME - RENEW_BEFORE))));
        Some(header)
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("services", &self.services).finish_non_exhaustive()
    }
}

/// The services of a good token's bearer, and until when it is good.
type Known = (Arc<[String]>, i64);

/// Tells good tokens from others.
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    clock: Clock,
    /// Good ones, with their services and their end in seconds: a signature is checked once.
    known: RwLock<HashMap<HeaderValue, Known>>,
}

impl Verifier {
    pub(super) fn new(key: &TokenKey, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&[NAME]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // By our own clock, below.
        validation.validate_exp = false;
        let known = RwLock::default();
        Self { key: DecodingKey::from_secret(&key.0), validation, clock, known }
    }

    /// The services that the bearer of a good token runs.
    pub(super) fn services(&self, token: &HeaderValue) -> Option<Arc<[String]>> {
        let now = self.clock.unix_millis() / 1000;
        if let Some((services, until)) = self.known.read().get(token) {
            return (now < *until).then(|| services.clone());
        }
        let claims =
            jsonwebtoken::decode::<Claims>(token.as_bytes(), &self.key, &self.validation).ok()?.claims;
        let until = claims.exp.checked_add(LEEWAY)?;
        if now >= until || claims.iat > now + LEEWAY {
            return None;
        }
        let services: Arc<[String]> = claims.services.into();
        let mut known = self.known.write();
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < REMEMBERED {
            known.insert(token.clone(), (services.clone(), until));
        }
        Some(services)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    fn pair(services: &[&str]) -> (Issuer, Verifier, Clock) {
        let (key, clock) = (TokenKey([7; 32]), Clock::manual(START));
        (Issuer::new(&key, services, clock.clone()), Verifier::new(&key, clock.clone()), clock)
    }

    #[test]
    fn a_token_names_its_bearers_services() {
        let (issuer, verifier, _) = pair(&["router", "edge"]);
        let token = issuer.token().unwrap();
        for _ in 0..2 {
            assert_eq!(verifier.services(&token).unwrap().to_vec(), ["router", "edge"]);
        }
        assert!(token.is_sensitive());
    }

    #[test]
    fn a_token_is_renewed_in_time_and_ends() {
        let (issuer, verifier, clock) = pair(&["router"]);
        let first = issuer.token().unwrap();
        assert_eq!(issuer.token().unwrap(), first);
        clock.advance(std::time::Duration::from_secs(31));
        let second = issuer.token().unwrap();
        assert_ne!(second, first);
        assert!(verifier.services(&first).is_some(), "good for a while yet");
        clock.advance(std::time::Duration::from_secs(150));
        assert!(verifier.services(&first).is_none(), "known, and over");
        clock.advance(std::time::Duration::from_secs(100));
        assert!(verifier.services(&second).is_none(), "not known, and over");
    }

    #[test]
    fn another_key_or_another_algorithm_is_nobodys() {
        let (issuer, _, clock) = pair(&["router"]);
        let other = Verifier::new(&TokenKey([8; 32]), clock);
        assert!(other.services(&issuer.token().unwrap()).is_none());
        // {"alg":"none"} with claims that would be good.
        let (_, verifier, _) = pair(&["router"]);
        let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJoZWFkZ2F0ZSIsImF1ZCI6ImhlYWRnYXRlIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAxMjAsInNlcnZpY2VzIjpbInJvdXRlciJdfQ.";
        assert!(verifier.services(&HeaderValue::from_static(unsigned)).is_none());
        assert!(verifier.services(&HeaderValue::from_static("router")).is_none());
    }
}
