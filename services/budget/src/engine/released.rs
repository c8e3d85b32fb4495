//! Leases that were given back, perhaps before they were asked for: nothing may hold them any more.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::maps::IdMap;

/// How many a tenant may have; the oldest are forgotten first.
const MOST: usize = 10_000;
/// For how long one is remembered at least, in milliseconds: longer than any Admit is on its way.
const AT_LEAST_MS: i64 = 60_000;

/// The leases of one tenant that were given back of late, until a time in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Released {
    until: IdMap<Uuid, i64>,
    /// The oldest first.
    order: VecDeque<Uuid>,
}

/// For how long a lease is remembered, in milliseconds.
pub(crate) fn remembered_ms(ttl_ms: i64) -> i64 {
    ttl_ms.max(AT_LEAST_MS)
}

impl Released {
    /// Remembers a lease, and forgets those whose time is over.
    pub(crate) fn insert(&mut self, id: Uuid, now_ms: i64, ttl_ms: i64) {
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= MOST || !self.contains(*oldest, now_ms))
        {
            self.until.remove(oldest);
            self.order.pop_front();
        }
        if !self.contains(id, now_ms) {
            self.until.insert(id, now_ms.saturating_add(remembered_ms(ttl_ms)));
            self.order.push_back(id);
        }
    }

    pub(crate) fn contains(&self, id: Uuid, now_ms: i64) -> bool {
        !self.until.is_empty() && self.until.get(&id).is_some_and(|until| *until > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_MS: i64 = 120_000;

    #[test]
    fn what_is_remembered_is_bounded_in_time_and_number() {
        let (mut released, id) = (Released::default(), Uuid::from_u128);
        for (n, now_ms) in [(1, 0), (1, 1), (2, 1)] {
            released.insert(id(n), now_ms, TTL_MS);
        }
        assert!(released.contains(id(1), TTL_MS - 1) && !released.contains(id(1), TTL_MS));
        released.insert(id(3), TTL_MS, TTL_MS);
        assert!(released.contains(id(2), TTL_MS));
        assert_eq!((released.until.len(), released.order.len()), (2, 2));
        for n in 10..10 + MOST as u128 {
            released.insert(id(n), TTL_MS, TTL_MS);
        }
        assert!(!released.contains(id(3), TTL_MS) && released.contains(id(10), TTL_MS));
        assert_eq!((released.until.len(), released.order.len()), (MOST, MOST));
    }
}
