//! Logins with an account elsewhere (OpenID Connect Core 1.0 §3.1, RFC 7636).
//!
//! A login that is away at a provider is a row of the database, which all replicas share. It is bound to the browser by a
//! cookie, so that nobody can have another's browser finish a login of their own, and is good for one answer.

mod admission;
mod cached;
mod http;
mod person;
mod proof;
mod provider;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_access::Author;
use headgate_kit::clock::Clock;
use headgate_kit::error::{ErrorReason, reason_name};
use headgate_kit::trust::TlsError;
use headgate_kit::{Failure, ids};
use secrecy::{ExposeSecret as _, SecretString};

use self::admission::refused;
use self::http::Http;
use self::person::Person;
use self::proof::Proof;
use self::provider::{Provider, plain};
use super::session::Opened;
use super::store::{Handle, Pending};
use super::token::Kind;
use super::{People, store};
use crate::config::OidcConfig;
use crate::draft::Draft;

/// How long somebody has to log in at a provider.
pub(crate) const PATIENCE_MS: i64 = 10 * 60 * 1000;
/// Logins that are away at most. Of more, those that have been for longest are forgotten.
const MAX_AWAY: i64 = 10_000;
const MAX_RETURN_TO: usize = 2048;
/// The longest that a provider's code or issuer may be.
const MAX_WORD: usize = 4096;

/// The providers of the configuration. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Providers(Arc<BTreeMap<String, Arc<Provider>>>);

/// A login that began.
pub(crate) struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps.
    pub cookie: SecretString,
}

/// What a provider sends a browser back with, and what that has kept.
pub(crate) struct Answer {
    pub state: String,
    pub code: String,
    /// Empty where it does not say.
    pub issuer: String,
    /// Empty where it does not refuse.
    pub error: String,
    pub cookie: Option<String>,
}

/// A login that is through.
pub(crate) struct Finished {
    pub opened: Opened,
    /// Empty for nowhere.
    pub return_to: String,
}

impl Providers {
    /// Asks none of them anything yet.
    pub(crate) fn new(config: &OidcConfig, clock: &Clock) -> Result<Self, TlsError> {
        if config.providers.is_empty() {
            return Ok(Self(Arc::default()));
        }
        let http = Http::new(config.ca_file.as_deref())?;
        let provider = |(name, provider): (&String, &_)| {
            let url = config.redirect_url(provider);
            let made = Provider::new(name.clone(), provider.clone(), url, http.clone(), clock.clone());
            (name.clone(), Arc::new(made))
        };
        Ok(Self(Arc::new(config.providers.iter().map(provider).collect())))
    }

    /// The names, each with what people know it by.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().map(|provider| {
            let shown = &provider.config.display_name;
            (provider.name.as_str(), if shown.is_empty() { provider.name.as_str() } else { shown })
        })
    }

    /// The one of a name, or the only one.
    fn named(&self, name: &str) -> Result<&Arc<Provider>, Failure> {
        match (name, self.0.len()) {
            ("", 1) => self.0.values().next(),
            ("", 2..) => return Err(Failure::invalid("provider", "provider is required: there are several")),
            _ => self.0.get(name),
        }
        .ok_or_else(|| Failure::no_such("login provider"))
    }
}

impl People {
    /// Begins a login at a provider.
    pub(crate) async fn begin_oidc(
        &self,
        provider: &str,
        return_to: String,
        by: &Author,
    ) -> Result<Begun, Failure> {
        check_return_to(&return_to)?;
        let provider = self.providers.named(provider)?;
        // Never given back: each is a row.
        self.throttle.begin(by.origin.address, None)?;
        let pepper = &self.registry.pepper;
        let ((state, state_hmac), (cookie, browser_hmac)) =
            (Kind::LoginState.make(pepper), Kind::LoginBrowser.make(pepper));
        let proof = Proof::of(pepper, state.expose_secret(), cookie.expose_secret());
        let url = provider.authorization_url(state.expose_secret(), &proof).await?;
        let pending = Pending { provider: provider.name.clone(), return_to };
        let handle = Handle { state: state_hmac, browser: browser_hmac };
        let expires_ms = self.registry.clock.unix_millis() + PATIENCE_MS;
        let mut tx = self.registry.db().begin().await.map_err(store::away)?;
        store::insert_login(&mut tx, handle, &pending, expires_ms, MAX_AWAY).await?;
        tx.commit().await.map_err(store::away)?;
        Ok(Begun { url, cookie })
    }

    /// Takes a provider's answer: the one place where a login with an account elsewhere succeeds or fails.
    pub(crate) async fn finish_oidc(&self, answer: Answer, by: Author) -> Result<Finished, Failure> {
        let charged = self.throttle.begin(by.origin.address, None)?;
        match self.finish(answer, by.clone()).await {
            Ok(finished) => {
                charged.forgive();
                Ok(finished)
            }
            Err(failure) => {
                let (reason, why) = (reason_name(failure.reason), &failure.message);
                tracing::info!(reason, why, "an OIDC login failed");
                if matches!(failure.reason, ErrorReason::InvalidCredential | ErrorReason::PermissionDenied) {
                    self.tried(&by, None, failure.reason).await?;
                }
                Err(failure)
            }
        }
    }

    async fn finish(&self, answer: Answer, by: Author) -> Result<Finished, Failure> {
        check_word("state", &answer.state)?;
        check_word("code", &answer.code)?;
        check_word("iss", &answer.issuer)?;
        if answer.state.is_empty() {
            return Err(Failure::invalid("state", "state must not be empty"));
        }
        if answer.code.is_empty() && answer.error.is_empty() {
            return Err(Failure::invalid("code", "either code or error is required"));
        }
        let cookie = answer.cookie.as_deref().ok_or_else(over)?;
        let Pending { provider, return_to } =
            self.take_login(&answer.state, cookie).await?.ok_or_else(over)?;
        // One that the configuration has no more.
        let provider = self.providers.named(&provider).map_err(|_| over())?;
        provider.check_issuer(&answer.issuer).await?;
        if !answer.error.is_empty() {
            return Err(declined(&provider.name, &answer.error));
        }
        let proof = Proof::of(&self.registry.pepper, &answer.state, cookie);
        let person = provider.person(&answer.code, &proof).await?;
        let opened = self.let_in(Arc::clone(provider), person, by).await?;
        Ok(Finished { opened, return_to })
    }

    async fn take_login(&self, state: &str, cookie: &str) -> Result<Option<Pending>, Failure> {
        let pepper = &self.registry.pepper;
        let handle = Handle {
            state: Kind::LoginState.hash(pepper, state),
            browser: Kind::LoginBrowser.hash(pepper, cookie),
        };
        let now_ms = self.registry.clock.unix_millis();
        let mut tx = self.registry.db().begin().await.map_err(store::away)?;
        let pending = store::take_login(&mut tx, handle, now_ms).await?;
        tx.commit().await.map_err(store::away)?;
        Ok(pending)
    }

    /// Begins a session for whom a provider knows.
    async fn let_in(&self, provider: Arc<Provider>, person: Person, by: Author) -> Result<Opened, Failure> {
        let this = self.clone();
        let new_id = ids::prefixed("user", &self.registry.clock);
        let work = async move |draft: &mut Draft| {
            let mut user = admission::admit(draft, &person, &provider.config, new_id).await?;
            let now_ms = draft.now_ms;
            draft.turned_out(&user.id);
            let (tx, by) = draft.writing_by();
            let issued = this.begin_session(tx, &user, by, now_ms).await?;
            let issued =
                issued.ok_or_else(|| Failure::internal("a user changed in the change that lets them in"))?;
            user.last_login_ms = Some(now_ms);
            Ok(Opened { user, issued })
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }
}

/// Only to a path of this host: anything else would make this deployment vouch for pages elsewhere.
fn check_return_to(path: &str) -> Result<(), Failure> {
    let elsewhere = path.starts_with("//") || path.contains('\\');
    let plain = path.bytes().all(|b| b.is_ascii_graphic());
    let good = path.starts_with('/') && !elsewhere && plain && path.len() <= MAX_RETURN_TO;
    if path.is_empty() || good {
        return Ok(());
    }
    let message =
        format!("return_to must be a path of this host: begin with one '/', at most {MAX_RETURN_TO} bytes");
    Err(Failure::invalid("return_to", message))
}

fn check_word(field: &str, word: &str) -> Result<(), Failure> {
    if word.len() <= MAX_WORD {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} must have at most {MAX_WORD} bytes")))
}

/// What a provider says instead of letting somebody in. Its own words for it are anybody's.
fn declined(provider: &str, error: &str) -> Failure {
    let error = plain(error);
    if matches!(error, "temporarily_unavailable" | "server_error") {
        return Failure::unavailable("the login provider", format_args!("{provider}: {error}"));
    }
    if error != "access_denied" {
        tracing::warn!(provider, error, "a login provider refuses a login");
    }
    refused("the login provider refuses the login").with("provider_error", error)
}

/// Whatever is wrong with a login that is answered.
fn over() -> Failure {
    let message = "the login is over, or was begun in another browser: begin again";
    Failure::new(ErrorReason::InvalidCredential, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_returns_to_a_path_of_this_host_only() {
        for good in ["", "/", "/console?tab=keys#x", "/a//b"] {
            assert!(check_return_to(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN_TO));
        for bad in [
            "x",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil",
            "/a b",
            "/ü",
            &long,
        ] {
            assert_eq!(check_return_to(bad).unwrap_err().metadata["field"], "return_to", "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_told_without_its_text() {
        let denied = declined("corp", "access_denied");
        assert_eq!(
            (denied.reason, denied.metadata["provider_error"].as_str()),
            (ErrorReason::PermissionDenied, "access_denied")
        );
        assert_eq!(declined("corp", "server_error").reason, ErrorReason::Unavailable);
        assert_eq!(declined("corp", "<script>").metadata["provider_error"], "?");
    }
}
