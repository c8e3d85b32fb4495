//! What an operator may set.

use std::net::SocketAddr;
use std::time::Duration;

use headgate_kit::network::Network;
use headgate_kit::strangers;
use serde::{Deserialize, Serialize};

use crate::client::ForwardedHeader;
use crate::cors::Cors;
use crate::route::Route;

/// Settings of the REST listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where REST is served. Default `127.0.0.1:8080`; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The largest request body, in bytes. A larger one is answered with 413, also where none is read. Default 1 MiB.
    pub max_body_bytes: usize,
    /// The same where a prompt or texts to embed are sent, which may carry images. Beyond 256 KiB the key is asked for
    /// before more is read. Default 16 MiB.
    pub max_prompt_body_bytes: usize,
    /// How many connections are open at a time; more wait in the kernel's backlog. Default 10,000.
    pub max_connections: usize,
    /// Threads that drive connections, each its own. Default 0: as many as the machine has cores for the process.
    pub workers: usize,
    /// How long a stream may be silent before a comment line keeps it alive, in milliseconds. Default 15 s.
    pub keep_alive_comment_ms: u64,
    /// How long a request's head may take, in milliseconds, counted from when the connection could take it: an idle
    /// connection is closed after the same time, so it should be more than a load balancer keeps one. Default 75 s.
    pub header_read_timeout_ms: u64,
    /// How long a request's body may take, in milliseconds. Default 2 min.
    pub body_read_timeout_ms: u64,
    /// How often one address (of IPv6: a /64) may fail to present a valid key before it is answered with 429. Its
    /// callers with good keys go on. Default 10 a second, 100 at once.
    pub failed_authentications: strangers::Config,
    /// Proxies whose word is taken for the address of the client they speak for. Default none: a client is who connects.
    pub trusted_proxies: Vec<Network>,
    /// Where they say it. Default `x-forwarded-for`.
    pub forwarded_header: ForwardedHeader,
    /// Which pages of other origins may call. Default none.
    pub cors: Cors,
    /// Whether to log one line per request, without query strings, bodies and credentials. Default false.
    pub access_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_body_bytes: 1 << 20,
            max_prompt_body_bytes: 16 << 20,
            max_connections: 10_000,
            workers: 0,
            keep_alive_comment_ms: 15_000,
            header_read_timeout_ms: 75_000,
            body_read_timeout_ms: 120_000,
            failed_authentications: strangers::Config::default(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            cors: Cors::default(),
            access_log: false,
        }
    }
}

impl Config {
    /// Every setting that cannot work, as field and reason.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, field, wrong: &str| {
            if !ok {
                problems.push((field, wrong.to_owned()));
            }
        };
        // A body travels as one protobuf field, and its length as 32 bits.
        let body_max = 1 << 30;
        for (field, bytes) in
            [("max_body_bytes", self.max_body_bytes), ("max_prompt_body_bytes", self.max_prompt_body_bytes)]
        {
            check((1..=body_max).contains(&bytes), field, "must be 1 to 1073741824");
        }
        let connections_max = 1_000_000;
        check(
            (1..=connections_max).contains(&self.max_connections),
            "max_connections",
            "must be 1 to 1000000",
        );
        check(self.workers <= 1024, "workers", "must be at most 1024");
        check(self.keep_alive_comment_ms > 0, "keep_alive_comment_ms", "must be at least 1");
        check(self.header_read_timeout_ms > 0, "header_read_timeout_ms", "must be at least 1");
        check(self.body_read_timeout_ms > 0, "body_read_timeout_ms", "must be at least 1");
        problems.extend(self.failed_authentications.problem().map(|wrong| ("failed_authentications", wrong)));
        problems.extend(self.cors.problem().map(|wrong| ("cors.allowed_origins", wrong)));
        problems
    }

    /// How many threads drive connections.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    /// The largest body that a route takes, in bytes.
    pub(crate) fn body_limit(&self, route: Route) -> usize {
        match route {
            Route::ChatCompletions | Route::Completions | Route::Embeddings => self.max_prompt_body_bytes,
            _ => self.max_body_bytes,
        }
    }

    /// The largest body that any route takes, in bytes.
    pub(crate) fn largest_body(&self) -> usize {
        self.max_body_bytes.max(self.max_prompt_body_bytes)
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_comment_ms)
    }

    pub(crate) fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    pub(crate) fn body_read_timeout(&self) -> Duration {
        Duration::from_millis(self.body_read_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_at_once() {
        let bad = Config {
            max_prompt_body_bytes: 0,
            max_connections: 0,
            keep_alive_comment_ms: 0,
            failed_authentications: strangers::Config { per_second: Some(0), burst: 1 },
            cors: Cors { allowed_origins: vec!["*".to_owned()] },
            ..Config::default()
        };
        let fields: Vec<_> = bad.problems().into_iter().map(|(field, _)| field).collect();
        let wanted = [
            "max_prompt_body_bytes",
            "max_connections",
            "keep_alive_comment_ms",
            "failed_authentications",
            "cors.allowed_origins",
        ];
        assert_eq!(fields, wanted);
        assert_eq!(Config::default().problems(), []);
    }
}
