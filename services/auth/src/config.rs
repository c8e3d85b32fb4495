//! Settings of the service.

mod oidc;

use headgate_kit::config::Problem;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::pepper::Pepper;
use crate::voided::LONGEST_LIFE_MS;

pub use oidc::{FirstLogin, OidcConfig, OidcProvider, RoleMapping};

/// All that one has are looked at with every change of what they may do.
const MOST_PERSONAL_KEYS: u32 = 1000;
const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The section `auth` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the secrets of API keys and sessions are hashed under, and what signing keys are sealed under, 64 hexadecimal
    /// digits; the same for every replica. Unset: made on the first start and kept in `<data_dir>/auth.pepper`.
    #[serde(skip_serializing)]
    pub pepper: Option<SecretString>,
    /// How long an access token is good for.
    pub access_token_ms: i64,
    /// How long a login lasts.
    pub session_ms: i64,
    /// How long a token to reset a password with is good for.
    pub password_reset_ms: i64,
    /// How often access tokens get another key to be signed with.
    pub signing_key_rotation_ms: i64,
    /// Whether browsers are told to send the cookies of a login over TLS only.
    pub secure_cookies: bool,
    /// Whether people log in with a password. Where not, they log in at a provider of accounts, if anywhere; the operator
    /// token and API keys are good all the same, and so is a session that began before.
    pub password_login: bool,
    /// Whether anyone can make an account, which has a password.
    pub registration: bool,
    /// Logins with an account elsewhere.
    pub oidc: OidcConfig,
    /// How many API keys of their own a member may have in a tenant. 0: nobody makes any; those there are go on.
    pub personal_keys: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pepper: None,
            access_token_ms: 10 * MINUTE_MS,
            session_ms: 14 * DAY_MS,
            password_reset_ms: DAY_MS,
            signing_key_rotation_ms: 30 * DAY_MS,
            secure_cookies: true,
            password_login: true,
            registration: false,
            oidc: OidcConfig::default(),
            personal_keys: 10,
        }
    }
}

impl Config {
    /// What is wrong, by path. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let at = |(field, message)| Problem::new(format!("auth.{field}"), message);
        self.own_problems().into_iter().map(at).chain(self.oidc.problems()).collect()
    }

    fn own_problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.pepper.as_ref().is_some_and(|pepper| Pepper::parse(pepper.expose_secret()).is_err()) {
            problems.push(("pepper", "must be 64 hexadecimal digits".to_owned()));
        }
        if self.personal_keys > MOST_PERSONAL_KEYS {
            problems.push(("personal_keys", format!("must be at most {MOST_PERSONAL_KEYS}")));
        }
        if self.registration && !self.password_login {
            let message =
                "makes accounts with a password, which nobody logs in with while password_login is false";
            problems.push(("registration", message.to_owned()));
        }
        let year_ms = 365 * DAY_MS;
        for (field, value, least, most) in [
            ("access_token_ms", self.access_token_ms, MINUTE_MS, LONGEST_LIFE_MS),
            ("session_ms", self.session_ms, LONGEST_LIFE_MS, year_ms),
            ("password_reset_ms", self.password_reset_ms, MINUTE_MS, 30 * DAY_MS),
            ("signing_key_rotation_ms", self.signing_key_rotation_ms, 2 * LONGEST_LIFE_MS, year_ms),
        ] {
            if !(least..=most).contains(&value) {
                problems.push((field, format!("must be {least} to {most}")));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good_and_values_have_bounds() {
        assert!(Config::default().problems().is_empty());
        let bad = Config {
            pepper: Some("ab".into()),
            access_token_ms: 0,
            session_ms: i64::MAX,
            password_reset_ms: -1,
            signing_key_rotation_ms: 1,
            personal_keys: 1001,
            password_login: false,
            registration: true,
            ..Config::default()
        };
        let fields: Vec<_> = bad.problems().into_iter().map(|problem| problem.path).collect();
        let wanted = [
            "pepper",
            "personal_keys",
            "registration",
            "access_token_ms",
            "session_ms",
            "password_reset_ms",
            "signing_key_rotation_ms",
        ];
        assert_eq!(fields, wanted.map(|field| format!("auth.{field}")));
    }
}
