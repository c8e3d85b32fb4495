//! What binds an answer of a provider to the login that began here. Pure.
//!
//! Nonce and code verifier (RFC 7636) follow from the state, which the provider hands through, and the browser's cookie,
//! under the pepper: they are stored nowhere, and nobody has them who lacks one of the three.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::people::token::Kind;
use crate::pepper::Pepper;

/// Of one login.
pub(super) struct Proof {
    nonce: String,
    verifier: String,
}

impl Proof {
    pub(super) fn of(pepper: &Pepper, state: &str, browser: &str) -> Self {
        let both = format!("{state}\0{browser}");
        let derived = |kind: Kind| kind.hash(pepper, &both).to_hex();
        Self { nonce: derived(Kind::LoginNonce), verifier: derived(Kind::LoginVerifier) }
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// What is told of the verifier before.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_login_has_its_own_and_the_challenge_is_the_verifiers() {
        let pepper = Pepper::new([7; 32]).unwrap();
        let proof = Proof::of(&pepper, "state", "browser");
        let others = [("state", "other"), ("other", "browser")].map(|(s, b)| Proof::of(&pepper, s, b));
        assert_eq!(proof.verifier().len(), 64, "RFC 7636 takes 43 to 128 characters");
        assert_ne!(proof.nonce(), proof.verifier());
        assert!(others.iter().all(|o| o.nonce() != proof.nonce() && o.verifier() != proof.verifier()));
        // RFC 7636, appendix B.
        let example =
            Proof { nonce: String::new(), verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into() };
        assert_eq!(example.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
