//! What auth's watch said last: the keys that tokens are signed with, and which tokens are void.

use std::collections::{HashMap, HashSet};

use headgate_proto::auth::v1::{VoidedTokens, WatchAccessResponse, voided_tokens};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};

use crate::claims::Claims;

/// A snapshot, ready for use.
pub(crate) struct Known {
    keys: HashMap<String, DecodingKey>,
    sessions: HashSet<String>,
    /// By user: tokens of a smaller generation are void.
    generations: HashMap<String, u64>,
}

impl Known {
    /// Of a snapshot.
    ///
    /// # Errors
    /// When its keys are no key set.
    pub(crate) fn read(snapshot: WatchAccessResponse) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_slice(&snapshot.jwks)?;
        let mut known = Self {
            keys: set.keys.iter().filter_map(usable).collect(),
            sessions: HashSet::new(),
            generations: HashMap::new(),
        };
        for VoidedTokens { tokens } in snapshot.voided {
            match tokens {
                Some(voided_tokens::Tokens::SessionId(id)) => {
                    known.sessions.insert(id);
                }
                Some(voided_tokens::Tokens::User(user)) => {
                    let least = known.generations.entry(user.user_id).or_default();
                    *least = user.generation.max(*least);
                }
                None => {}
            }
        }
        Ok(known)
    }

    pub(crate) fn key(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.get(id)
    }

    pub(crate) fn is_void(&self, claims: &Claims) -> bool {
        let outdated = |least: &u64| claims.generation < *least;
        self.sessions.contains(&claims.session_id)
            || self.generations.get(&claims.user_id).is_some_and(outdated)
    }
}

/// Keys of other kinds are of no use here, and no fault.
fn usable(jwk: &Jwk) -> Option<(String, DecodingKey)> {
    let AlgorithmParameters::EllipticCurve(parameters) = &jwk.algorithm else { return None };
    let of_ours = parameters.curve == EllipticCurve::P256;
    let id = jwk.common.key_id.clone().filter(|_| of_ours)?;
    Some((id, DecodingKey::from_jwk(jwk).ok()?))
}
