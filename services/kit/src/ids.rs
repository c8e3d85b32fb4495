//! Identifiers that sort by time (UUID version 7, RFC 9562).

use uuid::{Builder, Uuid};

use crate::clock::Clock;

/// A new UUID of the clock's present millisecond.
#[must_use]
pub fn uuid(clock: &Clock) -> Uuid {
    uuid_at(clock.unix_millis())
}

/// A new UUID of a moment that was read from the clock already, in milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn uuid_at(unix_ms: i64) -> Uuid {
    let millis = u64::try_from(unix_ms).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// A new identifier of one kind of resource, e.g. `key_019a...`.
#[must_use]
pub fn prefixed(kind: &str, clock: &Clock) -> String {
    format!("{kind}_{}", uuid(clock).simple())
}

/// What ids that do not sort are made of.
#[must_use]
pub fn random() -> u64 {
    rand::random()
}
