use headgate_proto::auth::v1::{UserGeneration, VoidedTokens, voided_tokens::Tokens};
use headgate_proto::common::v1::Role;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::SignError;
use crate::testing::{Issuer, LIFETIME_S};

const START_MICROS: i64 = 1_700_000_000_000_000;

fn beat() -> WatchAccessResponse {
    WatchAccessResponse::default()
}

struct Setting {
    clock: Clock,
    issuer: Issuer,
    verifier: Verifier,
}

impl Setting {
    /// Where auth was heard.
    fn new() -> Self {
        let setting = Self::unheard();
        setting.verifier.apply(setting.issuer.snapshot(Vec::new()));
        setting
    }

    fn unheard() -> Self {
        let clock = Clock::manual(START_MICROS);
        Self { issuer: Issuer::new("one", clock.clone()), verifier: Verifier::new(clock.clone()), clock }
    }

    fn claims(&self) -> Claims {
        self.issuer.claims("ada", &[("acme", Role::Admin), ("globex", Role::Viewer)])
    }

    fn token(&self) -> String {
        self.issuer.sign(&self.claims())
    }

    fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.verifier.verify(token)
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
        self.verifier.apply(beat());
    }
}

fn session(id: &str) -> VoidedTokens {
    VoidedTokens { tokens: Some(Tokens::SessionId(id.to_owned())) }
}

fn generation(user_id: &str, generation: u64) -> VoidedTokens {
    let user = UserGeneration { user_id: user_id.to_owned(), generation };
    VoidedTokens { tokens: Some(Tokens::User(user)) }
}

#[test]
fn a_good_token_says_what_was_signed() {
    let setting = Setting::new();
    assert_eq!(setting.verify(&setting.token()), Ok(setting.claims()));
}

#[test]
fn a_token_is_good_until_it_ends() {
    let setting = Setting::new();
    let token = setting.token();
    setting.pass(LIFETIME_S + LEEWAY_S - 1);
    assert!(setting.verify(&token).is_ok());
    setting.pass(1);
    assert_eq!(setting.verify(&token), Err(Refused::Invalid));
}

#[test]
fn a_token_of_the_future_is_not_good_yet() {
    let setting = Setting::new();
    let mut claims = setting.claims();
    claims.issued_s += LEEWAY_S + 1;
    let token = setting.issuer.sign(&claims);
    assert_eq!(setting.verify(&token), Err(Refused::Invalid));
    setting.pass(1);
    assert!(setting.verify(&token).is_ok());
}

#[test]
fn nothing_is_called_bad_before_auth_was_heard() {
    let setting = Setting::unheard();
    let token = setting.token();
    assert_eq!(setting.verify(&token), Err(Refused::Unknowable));
    setting.verifier.apply(beat());
    assert_eq!(setting.verify(&token), Err(Refused::Unknowable), "a heartbeat tells no key");
    assert_eq!(setting.verify("none.at.all"), Err(Refused::Invalid), "nobody needs to be asked");
    setting.verifier.apply(setting.issuer.snapshot(Vec::new()));
    assert!(setting.verify(&token).is_ok());
}

#[test]
fn known_keys_go_on_for_a_while_when_the_watch_is_silent() {
    let setting = Setting::new();
    let stranger = Issuer::new("two", setting.clock.clone());
    let unknown = || stranger.sign(&stranger.claims("eve", &[]));
    assert_eq!(setting.verify(&unknown()), Err(Refused::Invalid), "auth says that there is no such key");
    setting.clock.advance(MAX_AGE);
    assert!(setting.verify(&setting.token()).is_ok());
    assert_eq!(setting.verify(&unknown()), Err(Refused::Unknowable), "it may be new");
    setting.clock.advance(Duration::from_millis(1));
    assert_eq!(setting.verify(&setting.token()), Err(Refused::Unknowable));
    setting.verifier.apply(beat());
    assert!(setting.verify(&setting.token()).is_ok());
}

#[test]
fn void_tokens_are_bad_at_once_and_while_the_watch_is_silent() {
    let setting = Setting::new();
    let token = setting.token();
    for void in [session("session-of-ada"), generation("ada", 2)] {
        setting.verifier.apply(setting.issuer.snapshot(vec![void]));
        setting.clock.advance(Duration::from_secs(10));
        assert_eq!(setting.verify(&token), Err(Refused::Invalid));
    }
    setting.verifier.apply(setting.issuer.snapshot(vec![session("another"), generation("bob", 9)]));
    assert!(setting.verify(&token).is_ok(), "only those that are named");
    setting.verifier.apply(setting.issuer.snapshot(vec![generation("ada", 1)]));
    assert!(setting.verify(&token).is_ok(), "only from before the change");
}

#[test]
fn a_key_that_is_no_longer_published_signs_nothing() {
    let setting = Setting::new();
    let token = setting.token();
    let next = Issuer::new("two", setting.clock.clone());
    setting.verifier.apply(next.snapshot(Vec::new()));
    assert_eq!(setting.verify(&token), Err(Refused::Invalid));
    assert!(setting.verify(&next.sign(&next.claims("ada", &[]))).is_ok());
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let setting = Setting::new();
    let garbage = WatchAccessResponse { snapshot: true, jwks: "no keys".into(), voided: Vec::new() };
    setting.verifier.apply(garbage);
    assert!(setting.verify(&setting.token()).is_ok());
}

#[test]
fn another_key_or_algorithm_or_text_is_nobodys() {
    let setting = Setting::new();
    let claims = setting.claims();
    // Of the same id, but not the key that is published.
    let thief = Issuer::new("one", setting.clock.clone());
    assert_eq!(setting.verify(&thief.sign(&claims)), Err(Refused::Invalid));
    // Signed with the public key as if it were a shared secret.
    let published = setting.issuer.snapshot(Vec::new()).jwks;
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let confused = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&published)).unwrap();
    assert_eq!(setting.verify(&confused), Err(Refused::Invalid));
    // {"alg":"none","kid":"one"} and {}.
    assert_eq!(setting.verify("eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.e30."), Err(Refused::Invalid));
    let good = setting.token();
    let (body, signature) = good.rsplit_once('.').unwrap();
    for bad in ["", ".", "..", "a.b.c", body, &format!("{body}."), &format!("{signature}.{body}")] {
        assert_eq!(setting.verify(bad), Err(Refused::Invalid), "{bad}");
    }
    let mut other = claims.clone();
    other.super_admin = true;
    let forged = setting.issuer.sign(&other);
    let payload = forged.split('.').nth(1).unwrap();
    let head = good.split('.').next().unwrap();
    assert_eq!(setting.verify(&format!("{head}.{payload}.{signature}")), Err(Refused::Invalid));
}

#[test]
fn a_token_too_long_is_neither_signed_nor_read() {
    let setting = Setting::new();
    let mut claims = setting.claims();
    claims.tenants = (0..200).map(|n| (format!("tenant_{n:032}"), Role::Owner)).collect();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = EncodingKey::from_ec_der(key.serialized_der());
    assert!(matches!(claims.sign("one", &key), Err(SignError::TooLong(_))));
    let padded = format!("{}{}", setting.token(), "A".repeat(MAX_TOKEN_BYTES));
    assert_eq!(setting.verify(&padded), Err(Refused::Invalid));
}

/// Roles of a later version give no right here, and take none of the others.
#[test]
fn a_role_of_a_later_version_is_left_out() {
    let said = r#"{"sub":"ada","sid":"s","gen":1,"iat":0,"exp":9,"super_admin":false,
        "tenants":{"acme":"emperor","globex":"viewer"},"new":1}"#;
    let claims: Claims = serde_json::from_str(said).unwrap();
    assert_eq!(claims.tenants.into_iter().collect::<Vec<_>>(), [("globex".to_owned(), Role::Viewer)]);
}

#[test]
fn a_token_of_another_issuer_or_for_others_is_nobodys() {
    let setting = Setting::unheard();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = EncodingKey::from_ec_der(pair.serialized_der());
    let keys = vec![crate::public_jwk("own", &key).unwrap()];
    let jwks = serde_json::to_vec(&JwkSet { keys }).unwrap().into();
    setting.verifier.apply(WatchAccessResponse { snapshot: true, jwks, voided: Vec::new() });
    let signed = |more: serde_json::Value| {
        let mut claims = serde_json::to_value(setting.claims()).unwrap();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let header = Header { kid: Some("own".into()), ..Header::new(ALGORITHM) };
        setting.verify(&jsonwebtoken::encode(&header, &claims, &key).unwrap()).map(drop)
    };
    assert_eq!(signed(json!({"iss": "headgate", "aud": "headgate"})), Ok(()));
    for bad in [
        json!({"iss": "elsewhere", "aud": "headgate"}),
        json!({"iss": "headgate", "aud": "elsewhere"}),
        json!({"iss": "headgate"}),
        json!({"aud": "headgate"}),
        json!({"iss": "headgate", "aud": "headgate", "sub": null}),
    ] {
        assert_eq!(signed(bad.clone()), Err(Refused::Invalid), "{bad}");
    }
}
