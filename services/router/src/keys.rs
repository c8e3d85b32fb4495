//! The snapshot of API keys, kept by auth's watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;
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
    heard: Option<Instant>,
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
    /// The snapshot is not to be trusted at present.
    Stale,
}

impl Keys {
    /// Takes in what the watch says.
    pub(crate) fn apply(&self, message: WatchKeysResponse, now: Instant) {
        let mut state = self.0.write();
        state.heard = Some(now);
        if message.snapshot {
            state.by_prefix.clear();
            state.prefix_by_id.clear();
            state.mac = Hmac::new_from_slice(&message.pepper).ok();
        }
        for key_id in &message.removed_key_ids {
            if let Some(prefix) = state.prefix_by_id.remove(key_id) {
                state.by_prefix.remove(&prefix);
            }
        }
        for key in message.keys {
            state.prefix_by_id.insert(key.key_id.clone(), key.prefix.clone());
            state.by_prefix.insert(key.prefix.clone(), Arc::new(key));
        }
    }

    /// Whether a snapshot has arrived.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.read().mac.is_some()
    }

    /// Looks a key up and checks its secret in constant time.
    pub(crate) fn lookup(&self, prefix: &str, secret: &str, now: Instant) -> Lookup {
        let state = self.0.read();
        let fresh = state.heard.is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE);
        let (true, Some(mac)) = (fresh, &state.mac) else { return Lookup::Stale };
        let Some(key) = state.by_prefix.get(prefix) else { return Lookup::Unknown };
        let mut mac = mac.clone();
        mac.update(secret.as_bytes());
        if mac.verify_slice(&key.secret_hmac).is_ok() { Lookup::Known(key.clone()) } else { Lookup::Wrong }
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

    #[test]
    fn only_the_right_secret_is_known_and_only_while_the_watch_speaks() {
        let (keys, now) = (Keys::default(), Instant::now());
        assert_eq!(keys.lookup("demo", "right", now), Lookup::Stale);
        let message = WatchKeysResponse {
            snapshot: true,
            keys: vec![record("right")],
            pepper: b"pepper"[..].into(),
            ..Default::default()
        };
        keys.apply(message, now);
        assert!(matches!(keys.lookup("demo", "right", now), Lookup::Known(_)));
        assert_eq!(keys.lookup("demo", "wrong", now), Lookup::Wrong);
        assert_eq!(keys.lookup("other", "right", now), Lookup::Unknown);
        assert_eq!(keys.lookup("demo", "right", now + SILENCE), Lookup::Stale);
        keys.apply(WatchKeysResponse { removed_key_ids: vec!["key_1".into()], ..Default::default() }, now);
        assert_eq!(keys.lookup("demo", "right", now), Lookup::Unknown);
    }

    #[test]
    fn keys_expire_to_the_millisecond() {
        let key = KeyRecord { expires_at_unix_ms: 1_000, ..KeyRecord::default() };
        assert!(is_live(&key, 999) && !is_live(&key, 1_000));
        assert!(!is_live(&KeyRecord { revoked: true, ..KeyRecord::default() }, 0));
    }
}
