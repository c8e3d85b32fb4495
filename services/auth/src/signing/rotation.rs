//! When which key signs. Pure.

use super::Ready;
use crate::voided::GONE_AFTER_MS;

/// How long a key is published before it signs, at most: who keeps a copy of the key set has read it anew by then.
const ANNOUNCED_MS: i64 = 60 * 60 * 1000;

/// The key that signs now: of those whose time has come the latest.
pub(crate) fn signing(keys: &[Ready], now_ms: i64) -> Option<&Ready> {
    keys.iter().filter(|key| key.signs_from_ms <= now_ms).max_by_key(|key| (key.signs_from_ms, &key.id))
}

/// The keys that verifiers need: all but those whose last token has expired.
pub(crate) fn published(keys: &[Ready], now_ms: i64) -> impl Iterator<Item = &Ready> {
    let over =
        keys.iter().map(|key| key.signs_from_ms).filter(move |from| from + GONE_AFTER_MS <= now_ms).max();
    keys.iter().filter(move |key| over.is_none_or(|over| key.signs_from_ms >= over))
}

/// From when on a new key shall sign, if it is time to make one.
pub(crate) fn due(keys: &[Ready], now_ms: i64, period_ms: i64) -> Option<i64> {
    let Some(newest) = keys.iter().map(|key| key.signs_from_ms).max() else { return Some(now_ms) };
    let announced_ms = ANNOUNCED_MS.min(period_ms / 2);
    let wanted_ms = newest.saturating_add(period_ms);
    (now_ms >= wanted_ms - announced_ms).then(|| wanted_ms.max(now_ms + announced_ms))
}

#[cfg(test)]
mod tests {
    use headgate_kit::clock::Clock;
    use headgate_kit::seal::MasterKey;

    use super::*;
    use crate::signing::SigningKey;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn keys(signs_from_ms: &[i64]) -> Vec<Ready> {
        let sealing = MasterKey::parse(&"ab".repeat(32)).unwrap();
        let make = |from: &i64| SigningKey::make(&sealing, *from, &Clock::manual(0)).unwrap();
        signs_from_ms.iter().map(|from| make(from).open(&sealing).unwrap()).collect()
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_is_announced_before_it_does() {
        assert_eq!(due(&[], 7, DAY), Some(7));
        let first = keys(&[0]);
        assert_eq!(due(&first, DAY - ANNOUNCED_MS - 1, DAY), None);
        assert_eq!(due(&first, DAY - ANNOUNCED_MS, DAY), Some(DAY));
        assert_eq!(due(&first, 9 * DAY, DAY), Some(9 * DAY + ANNOUNCED_MS), "after a long rest too");
        let both = keys(&[0, DAY]);
        assert_eq!(due(&both, DAY, DAY), None);
        assert_eq!(signing(&both, DAY - 1).map(|key| key.signs_from_ms), Some(0));
        assert_eq!(signing(&both, DAY).map(|key| key.signs_from_ms), Some(DAY));
        assert!(signing(&both, -1).is_none());
    }

    #[test]
    fn a_key_stays_published_until_its_last_token_has_expired() {
        let keys = keys(&[0, DAY, 2 * DAY]);
        let known = |now_ms| published(&keys, now_ms).map(|key| key.signs_from_ms).collect::<Vec<_>>();
        assert_eq!(known(DAY + GONE_AFTER_MS - 1), [0, DAY, 2 * DAY]);
        assert_eq!(known(DAY + GONE_AFTER_MS), [DAY, 2 * DAY]);
        assert_eq!(known(99 * DAY), [2 * DAY]);
    }
}
