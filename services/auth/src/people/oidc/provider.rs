//! One provider: what it says of itself, and what it says of who comes back from it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use jsonwebtoken::jwk::Jwk;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::cached::Cached;
use super::http::{Answer, Http};
use super::person::{self, Person};
use super::proof::Proof;
use super::token::{self, Claims, Expected, Refused};
use crate::config::OidcProvider;

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A provider of the configuration.
pub(super) struct Provider {
    pub name: String,
    pub config: OidcProvider,
    /// Where it sends browsers back to.
    redirect_url: String,
    http: Http,
    clock: Clock,
    metadata: Cached<Metadata>,
    keys: Cached<Vec<Jwk>>,
}

/// What it says of itself (OpenID Connect Discovery 1.0 §3, RFC 9207 §3).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What it gives for a code.
struct Tokens {
    id_token: SecretString,
    access_token: Option<SecretString>,
}

impl Provider {
    pub(super) fn new(
        name: String,
        config: OidcProvider,
        redirect_url: String,
        http: Http,
        clock: Clock,
    ) -> Self {
        let (metadata, keys) = (Cached::new(clock.clone()), Cached::new(clock.clone()));
        Self { name, config, redirect_url, http, clock, metadata, keys }
    }

    /// Where a browser goes to log in.
    pub(super) async fn authorization_url(&self, state: &str, proof: &Proof) -> Result<String, Failure> {
        let metadata = self.metadata().await?;
        let mut url = Url::parse(&metadata.authorization_endpoint).map_err(|fault| self.away(&fault))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.redirect_url)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", proof.nonce())
            .append_pair("code_challenge", &proof.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Whether an answer may be its own, by the issuer that it names. Another provider's must not be sent to this one.
    pub(super) async fn check_issuer(&self, said: &str) -> Result<(), Failure> {
        let must_say = self.metadata().await?.authorization_response_iss_parameter_supported;
        if said == self.config.issuer || said.is_empty() && !must_say {
            return Ok(());
        }
        Err(not_its_word())
    }

    /// Whom it gave a code to.
    pub(super) async fn person(&self, code: &str, proof: &Proof) -> Result<Person, Failure> {
        let metadata = self.metadata().await?;
        let tokens = self.exchange(&metadata, code, proof).await?;
        let mut claims = self.verify(&metadata, tokens.id_token.expose_secret(), proof.nonce()).await?;
        if person::are_short(&claims, &self.config) {
            self.complete(&metadata, &tokens, &mut claims).await?;
        }
        Person::read(&claims, &self.config).ok_or_else(|| self.refused("its subject cannot be kept"))
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, proof: &Proof) -> Result<Tokens, Failure> {
        let Answer { status, json } = self.ask(self.token_request(metadata, code, proof)?).await?;
        let text = |name: &str| json[name].as_str().map(SecretString::from);
        match (status, text("id_token")) {
            (StatusCode::OK, Some(id_token)) => Ok(Tokens { id_token, access_token: text("access_token") }),
            _ if json["error"] == "invalid_grant" => Err(self.refused("the code is not good, or no longer")),
            _ => {
                let error = json["error"].as_str().map_or("?", plain);
                Err(self.away(&format!("no tokens: {status}, {error}")))
            }
        }
    }

    fn token_request(
        &self,
        metadata: &Metadata,
        code: &str,
        proof: &Proof,
    ) -> Result<Request<Bytes>, Failure> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_url)
            .append_pair("code_verifier", proof.verifier());
        let mut request = Request::post(&metadata.token_endpoint)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let client_id = &self.config.client_id;
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        match &self.config.client_secret {
            Some(secret) if !has("client_secret_basic") && has("client_secret_post") => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret.expose_secret());
            }
            Some(secret) => request = request.header(AUTHORIZATION, basic(client_id, secret)?),
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        request.body(Bytes::from(form.finish())).map_err(|fault| self.away(&fault))
    }

    async fn verify(&self, metadata: &Metadata, id_token: &str, nonce: &str) -> Result<Claims, Failure> {
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            now_s: self.clock.unix_millis() / 1000,
        };
        let keys = self.keys(metadata, false).await?;
        let verified = match token::verify(id_token, &keys, &expected) {
            Err(Refused::UnknownKey) => token::verify(id_token, &self.keys(metadata, true).await?, &expected),
            known => known,
        };
        verified.map_err(|refused| match refused {
            Refused::UnknownKey => self.refused("its ID token is signed with a key that it does not publish"),
            Refused::Bad(why) => self.refused(&format!("its ID token: {why}")),
        })
    }

    /// Adds what the ID token leaves out.
    async fn complete(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        claims: &mut Claims,
    ) -> Result<(), Failure> {
        let (Some(endpoint), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token) else {
            return Ok(());
        };
        let request =
            Request::get(endpoint).header(AUTHORIZATION, secret_header("Bearer", token.expose_secret())?);
        let request = request.body(Bytes::new()).map_err(|fault| self.away(&fault))?;
        let Answer { status, json } = self.ask(request).await?;
        let Value::Object(more) = json else { return Err(self.away(&format!("no user info: {status}"))) };
        if status != StatusCode::OK {
            return Err(self.away(&format!("no user info: {status}")));
        }
        // It may be about somebody else (OpenID Connect Core 1.0 §5.3.2).
        if more.get("sub") != claims.get("sub") {
            return Err(self.refused("its user info is of another subject"));
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, Failure> {
        self.metadata.get(false, async || self.discover().await).await
    }

    async fn discover(&self) -> Result<Metadata, Failure> {
        let url = format!("{}{DISCOVERY}", self.config.issuer.trim_end_matches('/'));
        let metadata: Metadata =
            serde_json::from_value(self.read(&url).await?).map_err(|fault| self.away(&fault))?;
        if metadata.issuer != self.config.issuer {
            return Err(self.away("it calls itself by another issuer than auth.oidc does"));
        }
        let told = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        let asked = told.into_iter().chain(&metadata.userinfo_endpoint);
        if asked.into_iter().any(|url| !self.config.may_ask(url)) {
            return Err(self.away("it names an endpoint that is not https"));
        }
        Ok(metadata)
    }

    async fn keys(&self, metadata: &Metadata, does_not_do: bool) -> Result<Arc<Vec<Jwk>>, Failure> {
        self.keys.get(does_not_do, async || Ok(token::keys(&self.read(&metadata.jwks_uri).await?))).await
    }

    async fn read(&self, url: &str) -> Result<Value, Failure> {
        let request = Request::get(url).body(Bytes::new()).map_err(|fault| self.away(&fault))?;
        let Answer { status, json } = self.ask(request).await?;
        if status == StatusCode::OK { Ok(json) } else { Err(self.away(&format!("{url}: {status}"))) }
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Answer, Failure> {
        self.http.send(request).await.map_err(|cause| self.away(&cause))
    }

    /// It cannot be had, or does not work.
    fn away(&self, cause: &(impl std::fmt::Display + ?Sized)) -> Failure {
        Failure::unavailable("the login provider", format_args!("{}: {cause}", self.name))
    }

    /// What somebody brought is not its word.
    fn refused(&self, why: &str) -> Failure {
        tracing::info!(provider = self.name, why, "an answer of a login provider is not believed");
        not_its_word()
    }
}

fn not_its_word() -> Failure {
    let message = "the answer is not that of the login provider, or no longer: begin again";
    Failure::new(ErrorReason::InvalidCredential, message)
}

/// An error code as RFC 6749 has them, and nothing else that may stand in its place.
pub(super) fn plain(code: &str) -> &str {
    let good = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if good { code } else { "?" }
}

/// RFC 6749 §2.3.1.
fn basic(client_id: &str, secret: &SecretString) -> Result<HeaderValue, Failure> {
    let escaped = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", escaped(client_id), escaped(secret.expose_secret()));
    secret_header("Basic", &STANDARD.encode(pair))
}

fn secret_header(scheme: &str, secret: &str) -> Result<HeaderValue, Failure> {
    let mut header = HeaderValue::try_from(format!("{scheme} {secret}")).map_err(Failure::internal)?;
    header.set_sensitive(true);
    Ok(header)
}
