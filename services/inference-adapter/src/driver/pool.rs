//! Connections that wait for the next request.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http_body_util::Full;
use hyper::client::conn::http2;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::http1::Link;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

/// HTTP/2 carries many requests at once, so one connection to an origin is enough.
pub(super) type Shared = http2::SendRequest<Full<Bytes>>;

/// Bounded by `most` to an origin, and by time.
pub(super) struct Pool {
    keep: Duration,
    most: usize,
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
    shared: Mutex<HashMap<Origin, Shared>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    pub(super) fn new(keep: Duration, most: usize) -> Self {
        Self { keep, most, idle: Mutex::default(), shared: Mutex::default() }
    }

    /// The connection that was used last: it is the least likely to have been closed. One whose socket belongs to
    /// another runtime would wake another thread for every byte, so it is left for that one.
    pub(super) fn take(&self, origin: &Origin) -> Option<Link> {
        let here = Handle::current().id();
        loop {
            let Idle { mut link, since } = self.pop(origin, here)?;
            if since.elapsed() < self.keep && link.is_free() {
                return Some(link);
            }
        }
    }

    fn pop(&self, origin: &Origin, runtime: Id) -> Option<Idle> {
        let mut idle = self.idle.lock();
        let idle = idle.get_mut(origin)?;
        let last = idle.iter().rposition(|idle| idle.link.runtime() == runtime)?;
        Some(idle.remove(last))
    }

    /// Keeps a connection whose answer was read to the end, if it can be used again.
    pub(super) fn put(&self, origin: &Origin, mut link: Link) {
        if !link.is_free() {
            return;
        }
        let mut idle = self.idle.lock();
        let idle = match idle.get_mut(origin) {
            Some(idle) => idle,
            None => idle.entry(origin.clone()).or_default(),
        };
        if idle.len() < self.most {
            idle.push(Idle { link, since: Instant::now() });
        }
    }

    /// The connection that requests to an origin share, while it is open.
    pub(super) fn shared(&self, origin: &Origin) -> Option<Shared> {
        let shared = self.shared.lock();
        if shared.is_empty() {
            return None;
        }
        shared.get(origin).filter(|sender| !sender.is_closed()).cloned()
    }

    /// Shares a connection with the requests to come.
    pub(super) fn share(&self, origin: &Origin, sender: &Shared) {
        self.shared.lock().insert(origin.clone(), sender.clone());
    }

    /// Drops what has waited too long or was closed by the upstream.
    pub(super) fn sweep(&self) {
        self.idle.lock().retain(|_, idle| {
            idle.retain_mut(|idle| idle.since.elapsed() < self.keep && idle.link.is_free());
            !idle.is_empty()
        });
        self.shared.lock().retain(|_, sender| !sender.is_closed());
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("keep", &self.keep).field("most", &self.most).finish_non_exhaustive()
    }
}
