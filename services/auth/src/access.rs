//! Access tokens: signed, judged, and what peers are told of them.

use std::sync::Arc;

use futures_util::Stream;
use headgate_access::{Claims, Gate, Refused, Verifier};
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::db::Follower;
use headgate_kit::seal::MasterKey;
use headgate_kit::watch::Feed;
use headgate_proto::auth::v1::WatchAccessResponse;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::RwLock;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::directory::Batch;
use crate::signing::{self, KeyError, Ready, SigningKey};
use crate::voided::VoidedSet;

/// Keys and voided tokens in memory, as the database has them.
pub(crate) struct Access {
    clock: Clock,
    sealing: MasterKey,
    state: Arc<RwLock<State>>,
    feed: Feed<WatchAccessResponse>,
    verifier: Verifier,
    gate: Gate,
}

#[derive(Default)]
struct State {
    keys: Vec<Ready>,
    voided: VoidedSet,
    /// What followers were told last.
    told: WatchAccessResponse,
}

impl Access {
    /// Nothing is known yet. `sealing` opens the private keys; `gate` is told first.
    pub(crate) fn new(sealing: MasterKey, clock: Clock, stop: CancellationToken, gate: Gate) -> Self {
        let verifier = Verifier::new(clock.clone());
        Self { clock, sealing, state: Arc::default(), feed: Feed::new(stop), verifier, gate }
    }

    /// A new key that signs from then on.
    pub(crate) fn make_key(&self, signs_from_ms: i64) -> Result<SigningKey, KeyError> {
        SigningKey::make(&self.sealing, signs_from_ms, &self.clock)
    }

    /// From when on a new key shall sign, if it is time to make one.
    pub(crate) fn key_due(&self, period_ms: i64) -> Option<i64> {
        signing::due(&self.state.read().keys, self.clock.unix_millis(), period_ms)
    }

    /// Takes in what was written, and tells followers where that, or the time, changes what they need to know.
    ///
    /// # Errors
    /// When a key does not open; the others are taken in.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), KeyError> {
        let mut opened = Vec::with_capacity(batch.signing_keys.len());
        let mut fault = Ok(());
        for key in &batch.signing_keys {
            match key.open(&self.sealing) {
                Ok(ready) => opened.push(ready),
                Err(cause) => fault = Err(cause),
            }
        }
        let now_ms = self.clock.unix_millis();
        let mut state = self.state.write();
        state.keys.retain(|known| opened.iter().all(|key| key.id != known.id));
        state.keys.append(&mut opened);
        state.voided.extend(&batch.voided, now_ms);
        let snapshot = snapshot(&state, now_ms);
        let is_news = snapshot != state.told;
        drop(state);
        if is_news {
            self.feed.publish(|| {
                self.state.write().told = snapshot.clone();
                self.tell(&snapshot);
                snapshot
            });
        }
        fault
    }

    /// The token that says so.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<SecretString, Failure> {
        let state = self.state.read();
        let key = signing::signing(&state.keys, self.clock.unix_millis());
        let key = key.ok_or_else(|| Failure::internal("there is no key to sign access tokens with"))?;
        claims.sign(&key.id, &key.key).map_err(Failure::internal)
    }

    /// What a good token says.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.verifier.verify(token)
    }

    /// That what is known is what there is.
    pub(crate) fn beat(&self) {
        self.tell(&WatchAccessResponse::default());
    }

    fn tell(&self, message: &WatchAccessResponse) {
        self.verifier.apply(message.clone());
        self.gate.apply(message.clone());
    }

    /// The public keys that verifiers need.
    pub(crate) fn public_keys(&self) -> Vec<Jwk> {
        let state = self.state.read();
        signing::published(&state.keys, self.clock.unix_millis()).map(|key| key.jwk.clone()).collect()
    }

    /// A snapshot, then one after every change.
    pub(crate) fn follow(
        &self,
        follower: Arc<Follower>,
    ) -> impl Stream<Item = Result<WatchAccessResponse, Status>> + Send + use<> {
        let state = Arc::clone(&self.state);
        // A replica that may have missed something is silent.
        let heartbeat = move || follower.is_current().then(WatchAccessResponse::default);
        self.feed.follow(move || state.read().told.clone(), heartbeat)
    }
}

fn snapshot(state: &State, now_ms: i64) -> WatchAccessResponse {
    let keys = signing::published(&state.keys, now_ms).map(|key| key.jwk.clone()).collect();
    // A key set is plain JSON, which always can be written.
    let jwks = serde_json::to_vec(&JwkSet { keys }).unwrap_or_default().into();
    WatchAccessResponse { snapshot: true, jwks, voided: state.voided.to_proto() }
}
