//! Which engine, and how it is reached.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;

/// Where services keep their tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A PostgreSQL database, `postgres://user:password@host/database`, in which each service has a schema of its own
    /// name. Unset: a SQLite file for each service in the data folder.
    #[serde(skip_serializing)]
    pub url: Option<SecretString>,
    /// Services that have a URL of their own instead, e.g. with a role of their own, by name.
    #[serde(skip_serializing)]
    pub urls: BTreeMap<String, SecretString>,
    /// Connections to PostgreSQL at a time, of the whole process: at least 2.
    pub max_connections: u32,
    /// Whether a start brings schemas up to date. Otherwise it waits until somebody else does.
    pub migrate_on_start: bool,
}

/// That a URL names no PostgreSQL database. Tells nothing of the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be postgres://user:password@host/database")]
pub struct UrlError;

impl Default for Config {
    fn default() -> Self {
        Self { url: None, urls: BTreeMap::new(), max_connections: 10, migrate_on_start: true }
    }
}

impl Config {
    /// What is wrong with the values, where these services have a database.
    #[must_use]
    pub fn problems(&self, services: &[&str]) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let named = self.urls.iter().map(|(service, url)| (format!("urls.{service}"), url));
        for (field, url) in self.url.iter().map(|url| ("url".to_owned(), url)).chain(named) {
            if let Err(fault) = connect_options(url) {
                problems.push((field, fault.to_string()));
            }
        }
        for service in self.urls.keys().filter(|name| !services.contains(&name.as_str())) {
            let message = format!("no service of this name, only {}", services.join(", "));
            problems.push((format!("urls.{service}"), message));
        }
        if !(2..=1000).contains(&self.max_connections) {
            problems.push(("max_connections".to_owned(), "must be 2 to 1000".to_owned()));
        }
        problems
    }

    /// Whether any service's tables are elsewhere than in the data folder.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.url.is_some() || !self.urls.is_empty()
    }

    /// The URL of a service's database; none when it is a file.
    #[must_use]
    pub fn url_of(&self, service: &str) -> Option<&SecretString> {
        self.urls.get(service).or(self.url.as_ref())
    }

    /// Connections for each of so many services of a process: an even share, and at least 2.
    #[must_use]
    pub fn share(&self, services: u32) -> u32 {
        (self.max_connections / services.max(1)).max(2)
    }
}

/// How a URL is reached.
pub(super) fn connect_options(url: &SecretString) -> Result<PgConnectOptions, UrlError> {
    let url = url.expose_secret();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(UrlError);
    }
    PgConnectOptions::from_str(url).map_err(|_| UrlError)
}
