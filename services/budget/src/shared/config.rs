//! Where Redis is.

use std::path::PathBuf;

use headgate_kit::trust;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// The configuration's part on Redis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// The server, e.g. `rediss://user:password@host:6379/0`; of a cluster some of its nodes, with commas between.
    /// Unset: counters are kept in the memory of this process.
    #[serde(skip_serializing)]
    pub url: Option<SecretString>,
    /// Certificates (PEM) of the authorities that the server's must come from, instead of the public ones. Unset: none.
    pub ca_file: Option<PathBuf>,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// How long a connection may take, and an answer, in milliseconds. One that takes longer is none: Redis is taken to
    /// be away for a moment. At least 10.
    pub response_timeout_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self { url: None, ca_file: None, cluster: false, response_timeout_ms: 1000 }
    }
}

impl RedisConfig {
    /// Everything that is wrong: the field, and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(10..=60_000).contains(&self.response_timeout_ms) {
            problems.push(("response_timeout_ms", "must be from 10 to 60000".to_owned()));
        }
        problems.extend(trust::problem(self.ca_file.as_deref()));
        let speaks_tls = |url: &SecretString| url.expose_secret().trim().starts_with("rediss://");
        if self.ca_file.is_some() && !self.url.as_ref().is_some_and(speaks_tls) {
            problems.push(("ca_file", "needs a redis.url of rediss://".to_owned()));
        }
        match &self.url {
            None if self.cluster => problems.push(("cluster", "needs redis.url".to_owned())),
            None => {}
            Some(url) => {
                let bad = self.url_problem(url.expose_secret());
                problems.extend(bad.map(|text| ("url", text.to_owned())));
            }
        }
        problems
    }

    /// The reason of a client is left out: it might quote a password.
    fn url_problem(&self, url: &str) -> Option<&'static str> {
        if !self.cluster && url.split(',').nth(1).is_some_and(|second| second.contains("://")) {
            return Some("names several servers: redis.cluster must be true");
        }
        let Some(nodes) = self.nodes(url) else {
            return Some("must be redis://[user:password@]host[:port][/database], or rediss:// for TLS");
        };
        if !self.cluster {
            return None;
        }
        if nodes.iter().any(|node| node.redis_settings().db() != 0) {
            return Some("a cluster has the database 0 only");
        }
        let fits = redis::cluster::ClusterClientBuilder::new(nodes).build().is_ok();
        (!fits).then_some("the nodes of a cluster must have the same scheme, user and password")
    }

    /// What a connection believes; `None` for public authorities.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn authorities(&self) -> std::io::Result<Option<redis::TlsCertificates>> {
        let pem = self.ca_file.as_ref().map(std::fs::read).transpose()?;
        Ok(pem.map(|pem| redis::TlsCertificates { client_tls: None, root_cert: Some(pem) }))
    }

    /// The nodes to connect to; `None` where there are none or one cannot be read.
    pub(crate) fn nodes(&self, url: &str) -> Option<Vec<redis::ConnectionInfo>> {
        use redis::IntoConnectionInfo as _;

        let urls: Vec<&str> = if self.cluster { url.split(',').collect() } else { vec![url] };
        urls.into_iter().map(|url| url.trim().into_connection_info().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(url: Option<&str>, cluster: bool) -> Vec<&'static str> {
        let config =
            RedisConfig { url: url.map(|url| url.to_owned().into()), cluster, ..RedisConfig::default() };
        let problems = config.problems();
        assert!(problems.iter().all(|(_, text)| !text.contains("hunter2")));
        problems.into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn a_bad_address_is_told_without_its_password() {
        assert!(problems(None, false).is_empty());
        assert_eq!(problems(None, true), ["cluster"]);
        assert!(problems(Some("rediss://u:hunter2@redis.internal:6380/1"), false).is_empty());
        assert!(problems(Some("redis://a:1,redis://b:2"), true).is_empty());
        assert_eq!(problems(Some("http://u:hunter2@host"), false), ["url"]);
        assert_eq!(problems(Some("redis://u:hunter2@host:99999"), false), ["url"]);
        assert_eq!(problems(Some("redis://a:1,nonsense"), true), ["url"]);
        let hasty = RedisConfig { response_timeout_ms: 9, ..RedisConfig::default() };
        assert_eq!(hasty.problems()[0].0, "response_timeout_ms");
    }

    #[test]
    fn what_one_server_or_a_cluster_cannot_be_is_told() {
        let told = |url: &str, cluster| {
            let url = Some(url.to_owned().into());
            let config = RedisConfig { url, cluster, ..RedisConfig::default() };
            config.problems().into_iter().map(|(field, text)| format!("{field}: {text}")).collect::<String>()
        };
        assert!(told("redis://a:1,redis://b:2", false).contains("redis.cluster"));
        assert!(told("redis://a:1/2,redis://b:2", true).contains("database 0"));
        assert!(told("redis://a:1,rediss://b:2", true).contains("scheme"));
        assert!(told("redis://u:hunter2@a:1,redis://u:hunter3@b:2", true).contains("password"));
        assert_eq!(told("rediss://u:hunter2@a:1,rediss://u:hunter2@b:2", true), "");
    }
}
