//! What other replicas set: looked for each second, and before the first request of a key, so that what a key was made
//! with is known wherever it is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_kit::Failure;
use moka::sync::Cache;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::alerts::{Known, Vault};
use crate::live::Live;
use crate::policy::{Policy, Scope};
use crate::store::Store;
use crate::{Budget, unavailable};

const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long a request waits for a look.
const MEET_DEADLINE: Duration = Duration::from_secs(2);
/// How many keys this process remembers to have met. One that it forgot costs another look.
const KEYS_MET: u64 = 100_000;

/// Follows what other replicas set.
#[derive(Debug)]
pub(crate) struct Follower {
    engine: Arc<Live>,
    store: Store,
    /// Held while policies change.
    order: Arc<Mutex<()>>,
    vault: Vault,
    alerts: Arc<Known>,
    seen: Mutex<Seen>,
    met: Cache<String, ()>,
}

/// How far policies are known.
#[derive(Debug)]
struct Seen {
    revision: i64,
    /// When the last look that succeeded began.
    looked: Instant,
}

impl Follower {
    /// From what was loaded at `revision` or later.
    pub(crate) fn new(service: &Budget, revision: i64) -> Self {
        let Budget { engine, store, policies, vault, alerts, .. } = service.clone();
        let seen = Mutex::new(Seen { revision, looked: Instant::now() });
        Self { engine, store, order: policies, vault, alerts, seen, met: Cache::new(KEYS_MET) }
    }

    /// Until the process stops.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            if let Err(cause) = self.look().await {
                tracing::warn!(%cause, "limits and budgets cannot be read, going on with those known");
            }
        }
    }

    /// Makes sure that what a key was made with is known: that was set before there was the key, so it is by now.
    ///
    /// # Errors
    /// UNAVAILABLE for a key that nothing is known of while the database is away.
    pub(crate) async fn meet(&self, key_id: &str) -> Result<(), Failure> {
        if self.met.contains_key(key_id) || self.has_policy(key_id) {
            return Ok(());
        }
        let looked = tokio::time::timeout(MEET_DEADLINE, self.look()).await;
        looked.map_err(|late| Failure::unavailable("the store of budgets", late))?.map_err(unavailable)?;
        self.met.insert(key_id.to_owned(), ());
        Ok(())
    }

    fn has_policy(&self, key_id: &str) -> bool {
        self.engine.policies().get(&Scope::Key(key_id.to_owned())) != Policy::default()
    }

    /// Learns whatever was set before the call. Of those who want this at once, one looks for all.
    async fn look(&self) -> Result<(), sqlx::Error> {
        let asked = Instant::now();
        let mut seen = self.seen.lock().await;
        if seen.looked >= asked {
            return Ok(());
        }
        let looked = Instant::now();
        let revision = self.store.policy_revision().await?;
        if revision != seen.revision {
            // Nothing is set by this replica between reading and taking over.
            let _order = self.order.lock().await;
            let loaded = self.store.load_policies(&self.vault).await?;
            self.engine.policies().replace(loaded.set);
            self.engine.policies().set_default_budget(loaded.default_budget);
            self.alerts.replace(loaded.alerts);
            seen.revision = revision;
        }
        seen.looked = looked;
        Ok(())
    }
}
