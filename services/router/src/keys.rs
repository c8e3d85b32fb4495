//! The snapshot of API keys, kept by auth's watch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::HashMap;
use headgate_kit::network::Network;
use headgate_proto::auth::v1::{KeyRecord, TenantStatus, WatchKeysResponse};
use hmac::{Hmac, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;

/// How long a watch may be silent before keys are verified by call (P4).
const SILENCE: Duration = Duration::from_millis(750);

/// Every key this process knows.
#[derive(Default)]
pub(crate) struct Keys(RwLock<State>);

#[derive(Default)]
struct State {
    by_prefix: HashMap<String, Arc<KeyRecord>>,
    prefix_by_id: HashMap<String, String>,
    mac: Option<Hmac<Sha256>>,
    pepper: Bytes,
    heard: Option<Instant>,
    /// The same by the wall clock, which goes on while no process runs.
    heard_unix_ms: i64,
    /// Rises with every change.
    changes: u64,
}

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix_ms: i64,
}

/// What the snapshot says of a presented key.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup {
    /// It is this one.
    Known(Arc<KeyRecord>),
    /// Its prefix is known, its secret is wrong.
    Wrong,
    /// Its prefix is not known here.
    Unknown,
    /// The snapshot is not to be trusted at present. It says that it is this one, if anything.
    Stale(Option<Arc<KeyRecord>>),
}

impl Keys {
    /// Takes in what the watch says.
    pub(crate) fn apply(&self, message: WatchKeysResponse, now: Now) {
        let mut state = self.0.write();
        state.heard = Some(now.instant);
        state.heard_unix_ms = now.unix_ms;
        state.take(message);
    }

    /// Takes in what an earlier process had heard then. It is as stale as it was.
    pub(crate) fn restore(&self, message: WatchKeysResponse, heard_unix_ms: i64) {
        let mut state = self.0.write();
        state.heard_unix_ms = heard_unix_ms;
        state.take(message);
    }

    /// The number of changes, and when the watch was last heard.
    pub(crate) fn heard(&self) -> (u64, i64) {
        let state = self.0.read();
        (state.changes, state.heard_unix_ms)
    }

    /// Everything there is.
    pub(crate) fn snapshot(&self) -> WatchKeysResponse {
        let state = self.0.read();
        WatchKeysResponse {
            snapshot: true,
            keys: state.by_prefix.values().map(|key| KeyRecord::clone(key)).collect(),
            pepper: state.pepper.clone(),
            ..WatchKeysResponse::default()
        }
    }

    /// Whether a snapshot has arrived.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.read().mac.is_some()
    }

    /// Looks a key up and checks its secret in constant time. What is older than `max_age` is not told.
    pub(crate) fn lookup(&self, prefix: &str, secret: &str, now: Now, max_age: Duration) -> Lookup {
        let state = self.0.read();
        let fresh = state.heard.is_some_and(|heard| now.instant.saturating_duration_since(heard) < SILENCE);
        match (state.check(prefix, secret, now.unix_ms), fresh) {
            (Some(lookup), true) => lookup,
            (Some(Lookup::Known(key)), false) if state.is_within(max_age, now) => Lookup::Stale(Some(key)),
            (_, _) => Lookup::Stale(None),
        }
    }
}

impl State {
    /// What is known of a key, fresh or not; `None` while nothing is.
    fn check(&self, prefix: &str, secret: &str, now_unix_ms: i64) -> Option<Lookup> {
        let mut mac = self.mac.clone()?;
        let Some(key) = self.by_prefix.get(prefix) else { return Some(Lookup::Unknown) };
        mac.update(secret.as_bytes());
        // Most keys were not rotated of late.
        let previous = (now_unix_ms < key.previous_secret_expires_at_unix_ms).then(|| mac.clone());
        let was_right = previous.is_some_and(|mac| mac.verify_slice(&key.previous_secret_hmac).is_ok());
        let right = mac.verify_slice(&key.secret_hmac).is_ok() || was_right;
        Some(if right { Lookup::Known(key.clone()) } else { Lookup::Wrong })
    }

    fn is_within(&self, max_age: Duration, now: Now) -> bool {
        let age = now.unix_ms.saturating_sub(self.heard_unix_ms);
        u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) <= max_age)
    }

    fn take(&mut self, message: WatchKeysResponse) {
        if message.snapshot || !message.keys.is_empty() || !message.removed_key_ids.is_empty() {
            self.changes += 1;
        }
        if message.snapshot {
            self.by_prefix.clear();
            self.prefix_by_id.clear();
            self.mac = Hmac::new_from_slice(&message.pepper).ok();
            self.pepper = message.pepper;
        }
        for key_id in &message.removed_key_ids {
            if let Some(prefix) = self.prefix_by_id.remove(key_id) {
                self.by_prefix.remove(&prefix);
            }
        }
        for key in message.keys {
            let before = self.prefix_by_id.insert(key.key_id.clone(), key.prefix.clone());
            if let Some(before) = before.filter(|before| *before != key.prefix) {
                self.by_prefix.remove(&before);
            }
            self.by_prefix.insert(key.prefix.clone(), Arc::new(key));
        }
    }
}

/// Whether a known key may be used now.
pub(crate) fn is_live(key: &KeyRecord, now_unix_ms: i64) -> bool {
    !key.revoked && (key.expires_at_unix_ms == 0 || now_unix_ms < key.expires_at_unix_ms)
}

/// Whether the key's tenant may send requests.
pub(crate) fn tenant_is_active(key: &KeyRecord) -> bool {
    key.tenant_status() == TenantStatus::Active
}

/// Whether a known key may be used by a client at this address. Nobody knows where an unknown one is.
pub(crate) fn may_come_from(key: &KeyRecord, client: Option<IpAddr>) -> bool {
    // What cannot be read, as a later version may write it, is nobody's address.
    let networks = || key.ip_allowlist.iter().filter_map(|network| network.parse::<Network>().ok());
    key.ip_allowlist.is_empty() || client.is_some_and(|client| networks().any(|own| own.contains(client)))
}

/// The prefix and the secret of `sk-<prefix>.<secret>`.
pub(crate) fn split(api_key: &str) -> Option<(&str, &str)> {
    let (prefix, secret) = api_key.strip_prefix("sk-")?.split_once('.')?;
    (!prefix.is_empty() && !secret.is_empty()).then_some((prefix, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(secret: &str) -> KeyRecord {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"pepper").unwrap();
        mac.update(secret.as_bytes());
        let secret_hmac = mac.finalize().into_bytes().to_vec().into();
        KeyRecord { key_id: "key_1".into(), prefix: "demo".into(), secret_hmac, ..KeyRecord::default() }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn snapshot() -> WatchKeysResponse {
        WatchKeysResponse {
            snapshot: true,
            keys: vec![record("right")],
            pepper: b"pepper"[..].into(),
            ..Default::default()
        }
    }

    fn after(now: Now, by: Duration) -> Now {
        Now { instant: now.instant + by, unix_ms: now.unix_ms + i64::try_from(by.as_millis()).unwrap() }
    }

    #[test]
    fn only_the_right_secret_is_known_and_only_while_the_watch_speaks() {
        let (keys, now) = (Keys::default(), Now { instant: Instant::now(), unix_ms: 1_000 });
        assert_eq!(keys.lookup("demo", "right", now, HOUR), Lookup::Stale(None));
        keys.apply(snapshot(), now);
        assert!(matches!(keys.lookup("demo", "right", now, HOUR), Lookup::Known(_)));
        assert_eq!(keys.lookup("demo", "wrong", now, HOUR), Lookup::Wrong);
        assert_eq!(keys.lookup("other", "right", now, HOUR), Lookup::Unknown);
        let later = after(now, SILENCE);
        assert!(matches!(keys.lookup("demo", "right", later, HOUR), Lookup::Stale(Some(_))));
        assert_eq!(keys.lookup("demo", "wrong", later, HOUR), Lookup::Stale(None));
        assert_eq!(keys.lookup("demo", "right", after(now, HOUR * 2), HOUR), Lookup::Stale(None));
        keys.apply(WatchKeysResponse { removed_key_ids: vec!["key_1".into()], ..Default::default() }, now);
        assert_eq!(keys.lookup("demo", "right", now, HOUR), Lookup::Unknown);
    }

    #[test]
    fn what_an_earlier_process_heard_is_known_and_stale() {
        let (first, second) = (Keys::default(), Keys::default());
        let now = Now { instant: Instant::now(), unix_ms: 1_000 };
        first.apply(snapshot(), now);
        assert_eq!(first.heard(), (1, 1_000));
        second.restore(first.snapshot(), 1_000);
        assert!(second.is_ready());
        assert!(matches!(second.lookup("demo", "right", now, HOUR), Lookup::Stale(Some(_))));
    }

    #[test]
    fn a_key_that_changed_is_not_known_as_it_was() {
        let (keys, now) = (Keys::default(), Now { instant: Instant::now(), unix_ms: 1_000 });
        keys.apply(snapshot(), now);
        let moved = KeyRecord { prefix: "moved".into(), ..record("right") };
        keys.apply(WatchKeysResponse { keys: vec![moved], ..Default::default() }, now);
        assert_eq!(keys.lookup("demo", "right", now, HOUR), Lookup::Unknown);
        assert!(matches!(keys.lookup("moved", "right", now, HOUR), Lookup::Known(_)));
    }

    #[test]
    fn the_secret_before_is_known_until_its_time_is_over() {
        let (keys, now) = (Keys::default(), Now { instant: Instant::now(), unix_ms: 1_000 });
        let previous_secret_hmac = record("old").secret_hmac;
        let previous_secret_expires_at_unix_ms = 1_001;
        let rotated =
            KeyRecord { previous_secret_hmac, previous_secret_expires_at_unix_ms, ..record("right") };
        keys.apply(WatchKeysResponse { keys: vec![rotated], ..snapshot() }, now);
        let known = |secret, unix_ms| {
            matches!(keys.lookup("demo", secret, Now { unix_ms, ..now }, HOUR), Lookup::Known(_))
        };
        assert_eq!((known("right", 1_000), known("old", 1_000), known("wrong", 1_000)), (true, true, false));
        assert_eq!((known("right", 1_001), known("old", 1_001)), (true, false));
    }

    #[test]
    fn a_key_is_used_from_where_its_list_says() {
        let from = |list: &[&str], client: Option<&str>| {
            let ip_allowlist = list.iter().map(|&network| network.to_owned()).collect();
            let key = KeyRecord { ip_allowlist, ..KeyRecord::default() };
            may_come_from(&key, client.map(|address| address.parse().unwrap()))
        };
        assert!(from(&[], None) && from(&[], Some("192.0.2.1")));
        let list = ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"];
        assert!(from(&list, Some("192.0.2.1")) && from(&list, Some("2001:db8::9")));
        assert!(from(&list, Some("::ffff:10.1.2.3")));
        assert!(!from(&list, Some("192.0.2.2")) && !from(&list, Some("::1")) && !from(&list, None));
        assert!(!from(&["of a later version"], Some("192.0.2.1")));
    }

    #[test]
    fn keys_expire_to_the_millisecond() {
        let key = KeyRecord { expires_at_unix_ms: 1_000, ..KeyRecord::default() };
        assert!(is_live(&key, 999) && !is_live(&key, 1_000));
        assert!(!is_live(&KeyRecord { revoked: true, ..KeyRecord::default() }, 0));
    }
}
