//! What tests of services present: good tokens, and the snapshot that makes them so.
#![expect(clippy::expect_used, reason = "a failure here is the test's")]

use std::collections::BTreeMap;

use headgate_kit::clock::Clock;
use headgate_proto::auth::v1::{VoidedTokens, WatchAccessResponse};
use headgate_proto::common::v1::Role;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::JwkSet;
use secrecy::ExposeSecret as _;
use tonic::Request;

use crate::claims::Claims;
use crate::jwk::public_jwk;

/// How long its tokens are good for, in seconds.
pub const LIFETIME_S: i64 = 300;

/// A request that presents a credential.
///
/// # Panics
/// When the credential is not ASCII.
#[must_use]
pub fn bearing<M>(message: M, credential: &str) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().expect("ASCII"));
    request
}

/// Signs tokens with a key of its own.
pub struct Issuer {
    key_id: String,
    key: EncodingKey,
    clock: Clock,
}

impl Issuer {
    /// With a fresh key of this id.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn new(key_id: &str, clock: Clock) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        Self { key_id: key_id.to_owned(), key: EncodingKey::from_ec_der(pair.serialized_der()), clock }
    }

    /// What the watch says when this is the only key.
    ///
    /// # Panics
    /// When the key is none.
    #[must_use]
    pub fn snapshot(&self, voided: Vec<VoidedTokens>) -> WatchAccessResponse {
        let keys = vec![public_jwk(&self.key_id, &self.key).expect("a key")];
        let jwks = serde_json::to_vec(&JwkSet { keys }).expect("JSON").into();
        WatchAccessResponse { snapshot: true, jwks, voided }
    }

    /// What a token of this user says that is issued now: session "session-of-" and the user's id, generation 1.
    #[must_use]
    pub fn claims(&self, user_id: &str, tenants: &[(&str, Role)]) -> Claims {
        let issued_s = self.clock.unix_millis() / 1000;
        let tenants: BTreeMap<_, _> = tenants.iter().map(|(id, role)| ((*id).to_owned(), *role)).collect();
        Claims {
            user_id: user_id.to_owned(),
            session_id: format!("session-of-{user_id}"),
            generation: 1,
            issued_s,
            expires_s: issued_s + LIFETIME_S,
            super_admin: false,
            tenants,
        }
    }

    /// A token of this user, issued now.
    #[must_use]
    pub fn token(&self, user_id: &str, tenants: &[(&str, Role)]) -> String {
        self.sign(&self.claims(user_id, tenants))
    }

    /// The token that says so.
    ///
    /// # Panics
    /// When it would be too long.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        claims.sign(&self.key_id, &self.key).expect("a token").expose_secret().to_owned()
    }
}
