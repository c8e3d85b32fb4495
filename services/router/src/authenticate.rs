//! Step one: who is asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_kit::identity::bearer;
use headgate_kit::origin;
use headgate_kit::strangers::X_KNOWN_ONLY;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::auth::v1::{KeyRecord, VerifyApiKeyRequest};
use moka::sync::Cache;
use prometheus::IntCounter;
use sha2::{Digest as _, Sha256};
use tonic::metadata::MetadataMap;

use crate::error;
use crate::keys::{Keys, Lookup, Now, is_live, may_come_from, split, tenant_is_active};
use crate::uses::Uses;

#[cfg(test)]
mod tests;

const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// A made-up key is asked for once in a while, not once a request. Short, so that a new key works at once.
const REFUSED_FOR: Duration = Duration::from_millis(500);
const REFUSED_AT_MOST: u64 = 10_000;

/// How long auth need not be asked again after it could not tell: while its database is away, it cannot tell of any key,
/// and no request should pay for that. Much shorter than a second, within which revocations count.
const CANNOT_TELL_FOR: Duration = Duration::from_millis(250);

/// Verifies keys by the snapshot, and by call where the snapshot cannot say.
pub(crate) struct Authenticator {
    keys: Arc<Keys>,
    auth: Conn,
    max_age: Duration,
    /// Requests of keys that only a stale snapshot knows.
    stale: IntCounter,
    refused: Cache<[u8; 32], ()>,
    /// When auth last answered that it cannot tell, in milliseconds of the clock; not when it was asked, as it may be slow
    /// to say so.
    could_not_tell: AtomicI64,
    /// Which keys were let in.
    pub(crate) uses: Arc<Uses>,
    clock: Clock,
}

impl Authenticator {
    /// Keys that a snapshot of `max_age` at most knows go on while auth is away; `stale` counts their requests.
    pub(crate) fn new(
        keys: Arc<Keys>,
        auth: Conn,
        max_age: Duration,
        stale: IntCounter,
        clock: Clock,
    ) -> Self {
        let refused = Cache::builder().max_capacity(REFUSED_AT_MOST).time_to_live(REFUSED_FOR).build();
        let (could_not_tell, uses) = (AtomicI64::new(i64::MIN), Arc::default());
        Self { keys, auth, max_age, stale, refused, could_not_tell, uses, clock }
    }

    /// The key a request came with. Nobody is asked for one that comes from where too many came that were none.
    pub(crate) async fn authenticate(
        &self,
        metadata: &MetadataMap,
        now: Instant,
    ) -> Result<Arc<KeyRecord>, Failure> {
        let presented = bearer(metadata).filter(|t| !t.is_empty()).ok_or_else(error::missing_key)?;
        let (prefix, secret) = split(presented).ok_or_else(error::invalid_key)?;
        let now = Now { instant: now, unix_ms: self.clock.unix_millis() };
        let key = match self.keys.lookup(prefix, secret, now, self.max_age) {
            Lookup::Known(key) => key,
            Lookup::Unknown | Lookup::Wrong | Lookup::Stale(None)
                if metadata.as_ref().contains_key(X_KNOWN_ONLY) =>
            {
                return Err(error::invalid_key());
            }
            // A wrong secret may be a new one of which the watch has not told yet. Boxed: seldom needed, and larger than
            // all the rest of a request on its way in.
            Lookup::Unknown | Lookup::Wrong => Box::pin(self.verify(presented)).await?,
            Lookup::Stale(Some(key)) if self.is_away(now.unix_ms) => {
                self.stale.inc();
                key
            }
            Lookup::Stale(known) => Box::pin(self.verify_or(presented, known)).await?,
        };
        if !is_live(&key, now.unix_ms) {
            return Err(error::invalid_key());
        }
        if !tenant_is_active(&key) {
            return Err(error::tenant_disabled());
        }
        if !may_come_from(&key, origin::of(metadata.as_ref())) {
            return Err(error::elsewhere());
        }
        self.uses.note(&key.key_id, now.unix_ms);
        Ok(key)
    }

    /// Asks auth. While it is away, what was known of the key holds (P10).
    async fn verify_or(
        &self,
        api_key: &str,
        known: Option<Arc<KeyRecord>>,
    ) -> Result<Arc<KeyRecord>, Failure> {
        match (self.verify(api_key).await, known) {
            (Err(failure), Some(known)) if failure.reason == ErrorReason::Unavailable => {
                self.could_not_tell.store(self.clock.unix_millis(), Ordering::Relaxed);
                self.stale.inc();
                Ok(known)
            }
            (verified, _) => verified,
        }
    }

    /// Whether auth need not be asked, as it cannot answer.
    fn is_away(&self, now_unix_ms: i64) -> bool {
        let since = now_unix_ms.abs_diff(self.could_not_tell.load(Ordering::Relaxed));
        Duration::from_millis(since) < CANNOT_TELL_FOR || self.auth.is_away()
    }

    async fn verify(&self, api_key: &str) -> Result<Arc<KeyRecord>, Failure> {
        let digest: [u8; 32] = Sha256::digest(api_key).into();
        if self.refused.contains_key(&digest) {
            return Err(error::invalid_key());
        }
        let mut request = tonic::Request::new(VerifyApiKeyRequest { api_key: api_key.to_owned() });
        request.set_timeout(CALL_DEADLINE);
        let mut auth = AuthenticationServiceClient::new(self.auth.clone());
        match auth.verify_api_key(request).await {
            Ok(response) => response
                .into_inner()
                .key
                .map(Arc::new)
                .ok_or_else(|| Failure::internal("auth answered without a key")),
            Err(status) => {
                let failure = Failure::from_status(&status);
                match failure.reason {
                    ErrorReason::InvalidCredential => {
                        self.refused.insert(digest, ());
                        Err(failure)
                    }
                    ErrorReason::TenantDisabled => Err(failure),
                    // Not knowing is no verdict: 503, never 401 (P10).
                    _ => Err(Failure::unavailable("authentication", status.message())),
                }
            }
        }
    }
}
