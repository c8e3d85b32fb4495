//! Responses kept for their idempotency keys: in memory, bounded, and written behind to the store.

use std::time::Duration;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::mpsc;

use crate::engine::lease::Idempotency;

/// How long a response is kept, in milliseconds.
pub(crate) const TTL_MS: i64 = 24 * 3_600_000;
/// Responses larger than this are not kept.
pub(crate) const RESPONSE_MAX_BYTES: usize = 1 << 20;
/// What all responses in memory, and all in the store, may weigh.
pub(crate) const TOTAL_MAX_BYTES: u32 = 64 << 20;
/// Responses that wait for the store, at most.
const QUEUE: usize = 64;
/// What an entry weighs besides its key and response, in bytes: about what it takes in memory.
const ENTRY_BYTES: usize = 160;

/// A consumer's idempotency key, unique within its API key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IdempotencyKey {
    pub(crate) key_id: String,
    pub(crate) key: String,
}

/// A response to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) request_sha256: [u8; 32],
    pub(crate) response: Bytes,
    pub(crate) expires_at: i64,
}

/// A response on its way to the store.
pub(crate) type Entry = (IdempotencyKey, Stored);

/// Every response that may be replayed.
#[derive(Debug)]
pub(crate) struct Replays {
    cache: Cache<IdempotencyKey, Stored>,
    queue: mpsc::Sender<Entry>,
    unpersisted: prometheus::IntCounter,
}

impl Replays {
    /// None yet, and the queue of those that the store shall have.
    pub(crate) fn new(unpersisted: prometheus::IntCounter) -> (Self, mpsc::Receiver<Entry>) {
        let (queue, entries) = mpsc::channel(QUEUE);
        // Least recently used, because a frequency sketch would turn new entries away.
        let cache = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|key: &IdempotencyKey, stored: &Stored| {
                let bytes = key.key_id.len() + key.key.len() + stored.response.len() + ENTRY_BYTES;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(u64::from(TOTAL_MAX_BYTES))
            .time_to_live(Duration::from_millis(TTL_MS.unsigned_abs()))
            .build();
        (Self { cache, queue, unpersisted }, entries)
    }

    /// What the store remembers.
    pub(crate) fn restore(&self, (key, stored): Entry) {
        self.cache.insert(key, stored);
    }

    pub(crate) fn get(&self, key: &IdempotencyKey, now_ms: i64) -> Option<Stored> {
        self.cache.get(key).filter(|stored| stored.expires_at > now_ms)
    }

    /// Keeps a response, unless it is too large. Never waits: where the store does not keep up, the response is
    /// replayed by this process only, and counted.
    pub(crate) fn put(&self, idempotency: &Idempotency, response: Bytes, now_ms: i64) {
        if response.len() > RESPONSE_MAX_BYTES {
            return;
        }
        let expires_at = now_ms.saturating_add(TTL_MS);
        let stored = Stored { request_sha256: idempotency.request_sha256, response, expires_at };
        self.cache.insert(idempotency.key.clone(), stored.clone());
        if self.queue.try_send((idempotency.key.clone(), stored)).is_err() {
            self.unpersisted.inc();
        }
    }
}
