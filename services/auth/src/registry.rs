//! The one place where changes go through: database, then memory, then the watch.

use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::db::{Behind, Follower};
use headgate_kit::error::ErrorReason;
use headgate_kit::scope::carried;
use headgate_kit::tasks::Tasks;
use headgate_kit::watch::Feed;
use headgate_proto::auth::v1::{KeyRecord, WatchKeysResponse};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, oneshot};
use tonic::Status;

use crate::BuildError;
use crate::directory::{Batch, Directory};
use crate::pepper::Pepper;
use crate::store::Store;
use crate::verify::verify;

/// Tenants and keys, and all that depends on their order of change.
pub(crate) struct Registry {
    pub clock: Clock,
    pub pepper: Pepper,
    store: Store,
    directory: Arc<RwLock<Directory>>,
    feed: Feed<WatchKeysResponse>,
    // Held from the decision to the publication, so that changes are written and published in one order.
    writing: Mutex<()>,
    follower: Arc<Follower>,
    tasks: Tasks,
}

impl Registry {
    pub(crate) fn new(
        store: Store,
        directory: Directory,
        pepper: Pepper,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let feed = Feed::new(tasks.stopping());
        let follower = Arc::new(Follower::new(&store.0));
        let directory = Arc::new(RwLock::new(directory));
        Self { clock, pepper, store, directory, feed, writing: Mutex::new(()), follower, tasks }
    }

    /// Takes in what other replicas change, until the process stops.
    pub(crate) fn follow_others(self: &Arc<Self>) {
        let (this, stop) = (Arc::clone(self), self.tasks.stopping());
        let follower = Arc::clone(&self.follower);
        let look = move || {
            let this = Arc::clone(&this);
            async move { this.look().await }
        };
        self.tasks.spawn(async move { follower.run(look, stop).await });
    }

    async fn look(&self) -> Result<(), BuildError> {
        let known = self.read().revision();
        if self.store.news(known).await?.is_none() {
            return Ok(());
        }
        // Asked again, as a change of this replica may be what was seen.
        let _writing = self.writing.lock().await;
        let known = self.read().revision();
        if let Some((batch, revision)) = self.store.news(known).await? {
            self.publish(&batch, revision);
        }
        Ok(())
    }

    /// To look things up. Not to be held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read()
    }

    /// Makes a change. `plan` sees the directory as it is and nobody else changes it until the plan is carried out;
    /// it answers what to write and what to tell the caller. A caller who goes away does not stop a change half-way.
    pub(crate) async fn change<T, P>(self: &Arc<Self>, plan: P) -> Result<T, Failure>
    where
        T: Send + 'static,
        P: FnOnce(&Directory) -> Result<(Batch, T), Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        self.tasks.spawn(carried(async move {
            // An error means that the caller went away; the change stands.
            let _gone = answer.send(this.change_now(plan).await);
        }));
        answered.await.unwrap_or_else(|_| Err(Failure::internal("a change of keys broke off")))
    }

    async fn change_now<T, P>(&self, plan: P) -> Result<T, Failure>
    where
        P: FnOnce(&Directory) -> Result<(Batch, T), Failure>,
    {
        let _writing = self.writing.lock().await;
        let mut change = self.store.begin().await?;
        let known = self.read().revision();
        if let Some((batch, revision)) = change.missed(known).await? {
            self.publish(&batch, revision);
        }
        let (batch, answer) = plan(&self.read())?;
        if !batch.is_empty() {
            let revision = change.put(&batch).await?;
            self.publish(&batch, revision);
        }
        Ok(answer)
    }

    fn publish(&self, batch: &Batch, revision: u64) {
        self.feed.publish(|| {
            let keys = self.directory.write().apply(batch, revision);
            WatchKeysResponse { revision, keys, ..Default::default() }
        });
    }

    /// Verifies one key as presented. Before one is refused as unknown, it is made sure that no other replica has just
    /// made it. While the database is away, none is called good that may have been revoked since: peers then go by what
    /// they heard.
    pub(crate) async fn verify(&self, api_key: &str) -> Result<KeyRecord, Failure> {
        let verify = || verify(&self.read(), &self.pepper, api_key, self.clock.unix_millis());
        match verify() {
            Ok(_) if !self.follower.is_current() => Err(away(Behind)),
            Err(refusal) if refusal.reason == ErrorReason::InvalidCredential => {
                self.follower.catch_up().await.map_err(away)?;
                verify()
            }
            known => known,
        }
    }

    /// Waits until nothing is missing of what other replicas changed, or tells that this cannot be known: who begins to
    /// watch takes what it is sent for the present state.
    pub(crate) async fn catch_up(&self) -> Result<(), Failure> {
        self.follower.catch_up().await.map_err(away)
    }

    /// A snapshot of all keys, then their changes.
    pub(crate) fn follow(&self) -> impl Stream<Item = Result<WatchKeysResponse, Status>> + Send + use<> {
        let (directory, pepper) = (Arc::clone(&self.directory), self.pepper.to_bytes());
        let snapshot = move || {
            let directory = directory.read();
            WatchKeysResponse {
                revision: directory.revision(),
                snapshot: true,
                keys: directory.records(),
                pepper: pepper.clone(),
                ..Default::default()
            }
        };
        let (directory, follower) = (Arc::clone(&self.directory), Arc::clone(&self.follower));
        let heartbeat = move || {
            let revision = directory.read().revision();
            // A replica that may have missed a revocation is silent, and peers then ask.
            follower.is_current().then(|| WatchKeysResponse { revision, ..Default::default() })
        };
        self.feed.follow(snapshot, heartbeat)
    }
}

fn away(cause: Behind) -> Failure {
    Failure::unavailable("the key store", cause)
}
