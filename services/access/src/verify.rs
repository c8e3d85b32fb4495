//! Tells good access tokens from others.

use std::sync::Arc;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::seldom::Seldom;
use headgate_kit::watch::HEARTBEAT;
use headgate_proto::auth::v1::WatchAccessResponse;
use jsonwebtoken::Validation;
use parking_lot::RwLock;

use crate::claims::{ALGORITHM, Claims, MAX_TOKEN_BYTES, NAME};
use crate::known::Known;

/// How far the clocks of issuer and verifier may lie apart, in seconds. A token is good until this long after its end
/// by the issuer's clock, so voided ones must be told for as long.
pub const LEEWAY_S: i64 = 60;
/// How long keys are believed of which the watch no longer tells.
pub const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// A watch that was heard within this is alive: a key that it did not tell of does not exist.
const ALIVE: Duration = Duration::from_millis(3 * HEARTBEAT.as_millis() as u64);

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or not ours, or over, or void.
    #[error("the access token is not valid, or no longer")]
    Invalid,
    /// Nobody can tell now: auth was not heard yet, or not for long.
    #[error("access tokens cannot be verified now")]
    Unknowable,
}

/// Judges tokens by what auth's watch says. Cheap to clone; clones share what was heard.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    validation: Validation,
    clock: Clock,
    heard: RwLock<Heard>,
    unreadable: Seldom,
}

#[derive(Default)]
struct Heard {
    /// `None` while nothing is known.
    known: Option<Arc<Known>>,
    at_unix_ms: i64,
}

impl Verifier {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&[NAME]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our own clock, below.
        validation.validate_exp = false;
        Self(Arc::new(Shared { validation, clock, heard: RwLock::default(), unreadable: Seldom::new() }))
    }

    /// Takes in what the watch says.
    pub fn apply(&self, message: WatchAccessResponse) {
        let at_unix_ms = self.0.clock.unix_millis();
        if !message.snapshot {
            self.0.heard.write().at_unix_ms = at_unix_ms;
            return;
        }
        match Known::read(message) {
            Ok(known) => *self.0.heard.write() = Heard { known: Some(Arc::new(known)), at_unix_ms },
            Err(cause) => {
                if let Some(left_out) = self.0.unreadable.due() {
                    tracing::error!(%cause, left_out, "the keys of access tokens cannot be read");
                }
            }
        }
    }

    /// What a good token says.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, token: &str) -> Result<Claims, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Invalid)?;
        let key_id = header.kid.filter(|_| header.alg == ALGORITHM).ok_or(Refused::Invalid)?;
        let now_ms = self.0.clock.unix_millis();
        let (known, silence) = self.known(now_ms).ok_or(Refused::Unknowable)?;
        let missing = if silence <= ALIVE { Refused::Invalid } else { Refused::Unknowable };
        let key = known.key(&key_id).ok_or(missing)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.0.validation);
        let claims = claims.map_err(|_| Refused::Invalid)?.claims;
        if is_due(&claims, now_ms / 1000) && !known.is_void(&claims) {
            Ok(claims)
        } else {
            Err(Refused::Invalid)
        }
    }

    /// What is known, and for how long nothing was heard. `None` where that is nothing, or too old.
    fn known(&self, now_ms: i64) -> Option<(Arc<Known>, Duration)> {
        let heard = self.0.heard.read();
        // A clock that was set back makes what was heard new, not old.
        let silence = u64::try_from(now_ms.saturating_sub(heard.at_unix_ms)).unwrap_or(0);
        let silence = Duration::from_millis(silence);
        let known = heard.known.clone().filter(|_| silence <= MAX_AGE)?;
        Some((known, silence))
    }
}

fn is_due(claims: &Claims, now_s: i64) -> bool {
    claims.issued_s <= now_s.saturating_add(LEEWAY_S) && now_s < claims.expires_s.saturating_add(LEEWAY_S)
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

#[cfg(test)]
mod tests;
