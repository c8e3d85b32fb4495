//! The one place where changes go through: database, then memory, then the watch.

use std::sync::Arc;

use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::scope::carried;
use headgate_kit::tasks::Tasks;
use headgate_kit::watch::Feed;
use headgate_proto::auth::v1::{KeyRecord, WatchKeysResponse};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, oneshot};
use tonic::Status;

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
        let directory = Arc::new(RwLock::new(directory));
        Self { clock, pepper, store, directory, feed, writing: Mutex::new(()), tasks }
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
        let (batch, answer) = plan(&self.read())?;
        if !batch.is_empty() {
            self.store.put(&batch).await?;
            self.publish(&batch);
        }
        Ok(answer)
    }

    fn publish(&self, batch: &Batch) {
        self.feed.publish(|| {
            let mut directory = self.directory.write();
            let keys = directory.apply(batch);
            WatchKeysResponse { revision: directory.revision(), keys, ..Default::default() }
        });
    }

    /// Verifies one key as presented.
    pub(crate) fn verify(&self, api_key: &str) -> Result<KeyRecord, Failure> {
        verify(&self.read(), &self.pepper, api_key, self.clock.unix_millis())
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
        let directory = Arc::clone(&self.directory);
        let heartbeat =
            move || WatchKeysResponse { revision: directory.read().revision(), ..Default::default() };
        self.feed.follow(snapshot, heartbeat)
    }
}
