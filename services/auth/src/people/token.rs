//! The secrets of sessions, resets and logins elsewhere, and what is stored of them.

use secrecy::{ExposeSecret as _, SecretString};

use crate::key::{SecretHmac, random_secret};
use crate::pepper::Pepper;

/// What a token is for. One kind never passes as another.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Refresh,
    Reset,
    /// What a login provider hands through.
    LoginState,
    /// What the browser keeps meanwhile.
    LoginBrowser,
    /// Derived from these two, as the next.
    LoginNonce,
    LoginVerifier,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Reset => "reset",
            Self::LoginState => "login state",
            Self::LoginBrowser => "login browser",
            Self::LoginNonce => "login nonce",
            Self::LoginVerifier => "login verifier",
        }
    }

    /// A new token, and what is stored of it.
    pub(super) fn make(self, pepper: &Pepper) -> (SecretString, SecretHmac) {
        let token = SecretString::from(random_secret());
        let hmac = self.hash(pepper, token.expose_secret());
        (token, hmac)
    }

    /// What would be stored of a token that is presented.
    pub(super) fn hash(self, pepper: &Pepper, token: &str) -> SecretHmac {
        pepper.hash_token(self.name(), token)
    }
}
