//! Hash maps by ids that this deployment makes itself, and by scopes that operators name.
//!
//! Nobody outside chooses those, so their hash may be fast instead of safe against chosen collisions. What a consumer
//! chooses, like an idempotency key, belongs into a map of the standard library.

use std::collections::HashMap;

use dashmap::DashMap;
use foldhash::fast::RandomState;

/// A map that one thread at a time uses.
pub(crate) type IdMap<K, V> = HashMap<K, V, RandomState>;
/// A map that all threads use at once.
pub(crate) type SharedIdMap<K, V> = DashMap<K, V, RandomState>;
