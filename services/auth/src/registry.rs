//! The one place where changes go through: database, then memory, then the watch.

use std::sync::Arc;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use headgate_access::{Author, Gate};
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::db::{Behind, Db, Follower};
use headgate_kit::error::ErrorReason;
use headgate_kit::scope::carried;
use headgate_kit::tasks::Tasks;
use headgate_kit::watch::Feed;
use headgate_proto::auth::v1::{KeyRecord, WatchAccessResponse, WatchKeysResponse};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, oneshot};
use tonic::Status;

use crate::BuildError;
use crate::access::Access;
use crate::audit;
use crate::directory::{Batch, Directory};
use crate::draft::Draft;
use crate::pepper::Pepper;
use crate::signing::KeyError;
use crate::store::{Change, Store};
use crate::verify::verify;

/// Tenants and keys, and all that depends on their order of change.
pub(crate) struct Registry {
    pub clock: Clock,
    pub pepper: Pepper,
    pub access: Access,
    pub tasks: Tasks,
    store: Store,
    directory: Arc<RwLock<Directory>>,
    feed: Feed<WatchKeysResponse>,
    // Held from the decision to the publication, so that changes are written and published in one order.
    writing: Mutex<()>,
    follower: Arc<Follower>,
}

impl Registry {
    pub(crate) fn new(
        store: Store,
        directory: Directory,
        pepper: Pepper,
        clock: Clock,
        tasks: Tasks,
        gate: Gate,
    ) -> Self {
        let feed = Feed::new(tasks.stopping());
        let access = Access::new(pepper.sealing_key(), clock.clone(), tasks.stopping(), gate);
        let follower = Arc::new(Follower::new(&store.0));
        let directory = Arc::new(RwLock::new(directory));
        let writing = Mutex::new(());
        Self { clock, pepper, access, tasks, store, directory, feed, writing, follower }
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
    /// it answers what to write and what to tell the caller. A caller who goes away does not stop a change half-way. The
    /// audit log tells that it was `by` them.
    pub(crate) async fn change<T, P>(self: &Arc<Self>, by: impl Into<Author>, plan: P) -> Result<T, Failure>
    where
        T: Send + 'static,
        P: FnOnce(&Directory) -> Result<(Batch, T), Failure> + Send + 'static,
    {
        let (this, by) = (Arc::clone(self), by.into());
        self.carry_out(async move { this.change_now(&by, plan).await }).await
    }

    /// Makes a change of what is not kept in memory, too. The same holds for `work`, which writes by itself.
    pub(crate) async fn draft<T, W>(self: &Arc<Self>, by: impl Into<Author>, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Draft) -> BoxFuture<'a, Result<T, Failure>> + Send + 'static,
    {
        let (this, by) = (Arc::clone(self), by.into());
        self.carry_out(async move { this.draft_now(by, work).await }).await
    }

    /// Does work to its end, even if the caller goes away.
    pub(crate) async fn carry_out<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(carried(async move {
            // An error means that the caller went away; the change stands.
            let _gone = answer.send(change.await);
        }));
        answered.await.unwrap_or_else(|_| Err(Failure::internal("a change of keys broke off")))
    }

    async fn change_now<T, P>(&self, by: &Author, plan: P) -> Result<T, Failure>
    where
        P: FnOnce(&Directory) -> Result<(Batch, T), Failure>,
    {
        let _writing = self.writing.lock().await;
        let change = self.begin().await?;
        let (batch, answer) = plan(&self.read())?;
        if !batch.is_empty() {
            let entries = audit::of_batch(by, self.clock.unix_millis(), &batch, &self.read())?;
            let revision = change.put(&batch, &entries).await?;
            self.publish(&batch, revision);
        }
        Ok(answer)
    }

    async fn draft_now<T, W>(&self, by: Author, work: W) -> Result<T, Failure>
    where
        W: for<'a> FnOnce(&'a mut Draft) -> BoxFuture<'a, Result<T, Failure>>,
    {
        let _writing = self.writing.lock().await;
        let change = self.begin().await?;
        let mut draft = Draft::new(by, change, Arc::clone(&self.directory), self.clock.unix_millis());
        let answer = work(&mut draft).await?;
        if let Some((change, batch, entries)) = draft.finish()? {
            let revision = change.put(&batch, &entries).await?;
            self.publish(&batch, revision);
        }
        Ok(answer)
    }

    /// Begins a change of what is as it is known here.
    async fn begin(&self) -> Result<Change, Failure> {
        let mut change = self.store.begin().await?;
        let known = self.read().revision();
        if let Some((batch, revision)) = change.missed(known).await? {
            self.publish(&batch, revision);
        }
        Ok(change)
    }

    /// The database, for what is not kept in memory.
    pub(crate) fn db(&self) -> &Db {
        &self.store.0
    }

    fn publish(&self, batch: &Batch, revision: u64) {
        self.feed.publish(|| {
            let keys = self.directory.write().apply(batch, revision);
            WatchKeysResponse { revision, keys, ..Default::default() }
        });
        if let Err(cause) = self.access.apply(batch) {
            tracing::error!(%cause, "access tokens cannot be signed with a key of another replica");
        }
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

    /// The tenant of a key. Before one is called unknown, it is made sure that no other replica has just made it.
    pub(crate) async fn owner_of_key(&self, id: &str) -> Result<String, Failure> {
        let owner = || self.read().key(id).map(|key| key.tenant_id.clone());
        if let Some(known) = owner() {
            return Ok(known);
        }
        self.catch_up().await?;
        owner().ok_or_else(|| Failure::no_such("API key"))
    }

    /// Passes where there is a tenant of this id. Before one is called unknown, it is made sure that no other replica has
    /// just made it.
    pub(crate) async fn expect_tenant(&self, id: &str) -> Result<(), Failure> {
        let is_known = || self.read().tenant(id).is_some();
        if !is_known() {
            self.catch_up().await?;
        }
        if is_known() { Ok(()) } else { Err(Failure::no_such("tenant")) }
    }

    /// Waits until nothing is missing of what other replicas changed, or tells that this cannot be known: who begins to
    /// watch takes what it is sent for the present state.
    pub(crate) async fn catch_up(&self) -> Result<(), Failure> {
        self.follower.catch_up().await.map_err(away)
    }

    /// Tells the gate of this process that what is known here is what there is, if that is so.
    pub(crate) fn beat(&self) {
        if self.follower.is_current() {
            self.access.beat();
        }
    }

    /// Tells followers what time alone changed of what they need to know.
    pub(crate) async fn tell_time(&self) -> Result<(), KeyError> {
        let _writing = self.writing.lock().await;
        self.access.apply(&Batch::default())
    }

    /// What peers need to know of access tokens, and its changes.
    pub(crate) fn follow_access(
        &self,
    ) -> impl Stream<Item = Result<WatchAccessResponse, Status>> + Send + use<> {
        self.access.follow(Arc::clone(&self.follower))
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
