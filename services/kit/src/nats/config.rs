//! What can be configured, and what a URL says.

use std::path::PathBuf;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::trust;

/// Where the broker is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `nats://host:port` or `tls://host:port`, with `user:password@` or `token@` before the host where the server wants
    /// it; of a cluster several, with commas between them. Unset: records stay in this process. A secret, since it may
    /// hold one.
    #[serde(skip_serializing)]
    pub url: Option<SecretString>,
    /// A file of NATS credentials (JWT and seed). Unset: none.
    pub credentials_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that the server's must come from, instead of the system's. Unset: none.
    pub ca_file: Option<PathBuf>,
    /// How many servers of a cluster keep each record: 1 to 5.
    pub replicas: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { url: None, credentials_file: None, ca_file: None, replicas: 1 }
    }
}

impl Config {
    /// What is wrong with the values, by field. Shows no part of the URL.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let servers = self.url.as_ref().map(|url| Servers::parse(url.expose_secret()));
        if let Some(Err(problem)) = &servers {
            problems.push(("url", (*problem).to_owned()));
        }
        if let Some(file) = &self.credentials_file {
            if self.url.is_none() {
                problems.push(("credentials_file", "needs nats.url".to_owned()));
            }
            if !file.is_file() {
                problems.push(("credentials_file", "is no file".to_owned()));
            }
            if matches!(servers, Some(Ok(Servers { login: Some(_), .. }))) {
                problems
                    .push(("credentials_file", "stands beside credentials in url: one is enough".to_owned()));
            }
        }
        problems.extend(trust::problem(self.ca_file.as_deref()));
        if self.ca_file.is_some() && self.url.is_none() {
            problems.push(("ca_file", "needs nats.url".to_owned()));
        }
        if !(1..=5).contains(&self.replicas) {
            problems.push(("replicas", "must be 1 to 5".to_owned()));
        }
        problems
    }
}

/// The addresses of a URL, and apart from them what is presented there: the client logs addresses.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) addresses: Vec<ServerAddr>,
    pub(super) login: Option<Login>,
}

#[derive(Debug)]
pub(super) enum Login {
    Password(String, SecretString),
    Token(SecretString),
}

impl Servers {
    pub(super) fn parse(urls: &str) -> Result<Self, &'static str> {
        let (mut addresses, mut login) = (Vec::new(), None);
        for url in urls.split(',') {
            let (address, its_login) = parse(url.trim())?;
            addresses.push(address);
            if login.is_some() && its_login.is_some() && !same(&login, &its_login) {
                return Err(
                    "has other credentials for one server than for another: one client has one of them",
                );
            }
            login = login.or(its_login);
        }
        Ok(Self { addresses, login })
    }
}

fn same(one: &Option<Login>, other: &Option<Login>) -> bool {
    match (one, other) {
        (Some(Login::Password(one, first)), Some(Login::Password(other, second))) => {
            one == other && first.expose_secret() == second.expose_secret()
        }
        (Some(Login::Token(first)), Some(Login::Token(second))) => {
            first.expose_secret() == second.expose_secret()
        }
        _ => false,
    }
}

fn parse(url: &str) -> Result<(ServerAddr, Option<Login>), &'static str> {
    if !url.starts_with("nats://") && !url.starts_with("tls://") {
        return Err("must begin with nats:// or tls://");
    }
    let address: ServerAddr = url.parse().map_err(|_| "is no URL")?;
    if address.host().is_empty() {
        return Err("names no host");
    }
    let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let login = match (address.username(), address.password()) {
        (Some(user), Some(password)) => Some(Login::Password(text(user), text(password).into())),
        (Some(token), None) => Some(Login::Token(text(token).into())),
        (None, _) => None,
    };
    let mut bare = address.into_inner();
    if bare.set_username("").and_then(|()| bare.set_password(None)).is_err() {
        return Err("is no URL");
    }
    Ok((ServerAddr::from_url(bare).map_err(|_| "is no URL")?, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        Config { url: Some(url.to_owned().into()), ..Config::default() }
    }

    #[test]
    fn a_url_is_taken_apart_so_that_addresses_hold_no_secret() {
        let servers = Servers::parse("nats://me:p%40ss@one:4333, tls://two").unwrap();
        assert_eq!(servers.addresses.len(), 2);
        assert_eq!((servers.addresses[0].host(), servers.addresses[0].port()), ("one", 4333));
        assert_eq!((servers.addresses[1].host(), servers.addresses[1].port()), ("two", 4222));
        assert!(servers.addresses[1].tls_required() && !servers.addresses[0].tls_required());
        for secret in ["p@ss", "p%40ss"] {
            assert!(!format!("{servers:?}").contains(secret), "{servers:?}");
        }
        let Some(Login::Password(user, password)) = servers.login else { panic!("{servers:?}") };
        assert_eq!((user.as_str(), password.expose_secret()), ("me", "p@ss"));

        let token = Servers::parse("nats://s3cr3t@[::1]:1").unwrap();
        assert!(matches!(token.login, Some(Login::Token(token)) if token.expose_secret() == "s3cr3t"));
        assert!(Servers::parse("nats://localhost").unwrap().login.is_none());
    }

    #[test]
    fn bad_values_are_named_and_not_shown() {
        assert!(Config::default().problems().is_empty());
        for bad in [
            "",
            "planted",
            "http://planted@host",
            "nats://",
            "nats://a,planted",
            "nats://planted:x:y@@",
            "nats://u:planted@a,nats://u:b@b",
        ] {
            let problems = config(bad).problems();
            assert_eq!(problems.len(), 1, "{bad}");
            assert_eq!(problems[0].0, "url");
            assert!(!problems[0].1.contains("planted"), "{problems:?}");
        }
        assert!(config("nats://u:planted@a,nats://u:planted@b,nats://c").problems().is_empty());
        let alone = Config { credentials_file: Some("/proc/self/cmdline".into()), ..Config::default() };
        assert_eq!(alone.problems(), [("credentials_file", "needs nats.url".to_owned())]);
        let bad = Config { replicas: 6, credentials_file: Some("/no/such".into()), ..config("nats://u:p@h") };
        let fields: Vec<_> = bad.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["credentials_file", "credentials_file", "replicas"]);
    }
}
