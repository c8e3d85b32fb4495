//! Whether an ID token is the provider's word on who has just logged in (OpenID Connect Core 1.0 §3.1.3.7). Pure.

use headgate_access::LEEWAY_S;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

/// What anybody can check who knows the provider's public keys. Never an algorithm with a shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
const MAX_KEYS: usize = 100;

/// What a token says.
pub(super) type Claims = Map<String, Value>;

/// What it must say.
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now_s: i64,
}

/// Why it is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is signed with a key that is not known, or not yet.
    UnknownKey,
    /// Anything else.
    Bad(String),
}

/// The keys of a set that can be used. Others are passed over: sets hold keys for many ends.
pub(super) fn keys(set: &Value) -> Vec<Jwk> {
    let keys = set["keys"].as_array().into_iter().flatten().take(MAX_KEYS);
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    keys.filter(is_for_signatures).collect()
}

fn is_for_signatures(key: &Jwk) -> bool {
    use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
    let is_public = matches!(key.algorithm, EllipticCurve(_) | RSA(_) | OctetKeyPair(_));
    is_public && matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature))
}

/// What a good token says.
pub(super) fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Claims, Refused> {
    let header = decode_header(token).map_err(|fault| bad(&fault))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(bad(&format!("it is signed with {:?}", header.alg)));
    }
    let named = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let candidates: Vec<_> = keys.iter().filter(named).collect();
    // Without a name it must be clear which one is meant.
    let [key] = candidates[..] else { return Err(Refused::UnknownKey) };
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // By our own clock, below.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(key).map_err(|fault| bad(&fault))?;
    let claims: Claims = decode(token, &key, &validation).map_err(|fault| bad(&fault))?.claims;
    check_times(&claims, expected.now_s)?;
    check_party(&claims, expected.client_id)?;
    let nonce = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(bad("its nonce is another login's"));
    }
    Ok(claims)
}

fn check_times(claims: &Claims, now_s: i64) -> Result<(), Refused> {
    let now_s = now_s as f64;
    let leeway_s = LEEWAY_S as f64;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    if time("exp").is_none_or(|end| end + leeway_s <= now_s) {
        return Err(bad("it has expired"));
    }
    if time("iat").is_none_or(|issued| issued - leeway_s > now_s) {
        return Err(bad("it is issued in the future, or does not say when"));
    }
    if time("nbf").is_some_and(|start| start - leeway_s > now_s) {
        return Err(bad("it is not good yet"));
    }
    Ok(())
}

/// Who asked for it.
fn check_party(claims: &Claims, client_id: &str) -> Result<(), Refused> {
    let audiences = claims.get("aud").and_then(Value::as_array).map_or(1, Vec::len);
    match claims.get("azp") {
        None if audiences == 1 => Ok(()),
        Some(party) if party == client_id => Ok(()),
        _ => Err(bad("it was issued to another client")),
    }
}

fn bad(why: &(impl std::fmt::Display + ?Sized)) -> Refused {
    Refused::Bad(why.to_string())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use p256::ecdsa::SigningKey;
    use p256::pkcs8::EncodePrivateKey as _;
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_700_000_000;
    const EXPECTED: Expected<'static> =
        Expected { issuer: "https://idp", client_id: "headgate", nonce: "n-1", now_s: NOW_S };

    struct Provider {
        key: EncodingKey,
        set: Value,
    }

    fn provider(kid: &str) -> Provider {
        let scalar = [kid.as_bytes()[0]; 32];
        let key = SigningKey::from_slice(&scalar).unwrap();
        let point = key.verifying_key().to_encoded_point(false);
        let part = |part: Option<_>| -> String {
            let part: &p256::FieldBytes = part.unwrap();
            URL_SAFE_NO_PAD.encode(part)
        };
        let (x, y) = (part(point.x()), part(point.y()));
        let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": x, "y": y});
        let der = key.to_pkcs8_der().unwrap();
        Provider { key: EncodingKey::from_ec_der(der.as_bytes()), set: json!({"keys": [jwk]}) }
    }

    fn claims() -> Value {
        json!({"iss": "https://idp", "aud": "headgate", "sub": "ada", "nonce": "n-1", "iat": NOW_S, "exp": NOW_S + 60})
    }

    impl Provider {
        fn sign(&self, claims: &Value) -> String {
            let kid = self.set["keys"][0]["kid"].as_str().map(str::to_owned);
            encode(&Header { kid, ..Header::new(Algorithm::ES256) }, claims, &self.key).unwrap()
        }
    }

    #[test]
    fn a_good_token_is_believed() {
        let provider = provider("a");
        let keys = keys(&provider.set);
        assert_eq!(verify(&provider.sign(&claims()), &keys, &EXPECTED).unwrap()["sub"], "ada");
        let mut several = claims();
        several["aud"] = json!(["headgate", "other"]);
        several["azp"] = json!("headgate");
        assert!(verify(&provider.sign(&several), &keys, &EXPECTED).is_ok());
    }

    #[test]
    fn whatever_is_wrong_with_a_token_it_is_not() {
        let provider = provider("a");
        let keys = keys(&provider.set);
        for (claim, value) in [
            ("iss", json!("https://evil")),
            ("aud", json!("other")),
            ("aud", json!(["headgate", "other"])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("sub", Value::Null),
            ("nonce", json!("n-2")),
            ("nonce", Value::Null),
            ("exp", json!(NOW_S - 60)),
            ("exp", Value::Null),
            ("iat", json!(NOW_S + 61)),
            ("iat", Value::Null),
            ("nbf", json!(NOW_S + 61)),
        ] {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(claim);
            } else {
                claims[claim] = value.clone();
            }
            let refused = verify(&provider.sign(&claims), &keys, &EXPECTED);
            assert!(matches!(refused, Err(Refused::Bad(_))), "{claim}: {value} {refused:?}");
        }
    }

    #[test]
    fn only_the_providers_own_signature_counts() {
        let (provider, other) = (provider("a"), provider("b"));
        let keys = keys(&provider.set);
        assert_eq!(verify(&other.sign(&claims()), &keys, &EXPECTED), Err(Refused::UnknownKey));
        let mut forger = other;
        forger.set["keys"][0]["kid"] = json!("a");
        assert!(matches!(verify(&forger.sign(&claims()), &keys, &EXPECTED), Err(Refused::Bad(_))));
        // With the public key as a shared secret, and with nothing at all.
        let secret = EncodingKey::from_secret(provider.set["keys"][0]["x"].as_str().unwrap().as_bytes());
        let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
        let shared = encode(&header, &claims(), &secret).unwrap();
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        for token in [shared.as_str(), &none, "", "a.b.c"] {
            assert!(matches!(verify(token, &keys, &EXPECTED), Err(Refused::Bad(_))), "{token}");
        }
    }

    #[test]
    fn keys_for_other_ends_are_passed_over() {
        let mut set = provider("a").set;
        let more = [json!({"kty": "oct", "k": "AAAA"}), json!({"kty": "???"}), json!(7)];
        set["keys"].as_array_mut().unwrap().extend(more);
        assert_eq!(keys(&set).len(), 1);
        assert!(keys(&json!("no set")).is_empty());
    }
}
