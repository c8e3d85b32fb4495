//! The one place where changes go through: database, then memory, then the watch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use headgate_access::Author;
use headgate_audit::outbox;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::db::Follower;
use headgate_kit::scope::carried;
use headgate_kit::seal::MasterKey;
use headgate_kit::seeds::Applied;
use headgate_kit::tasks::Tasks;
use headgate_kit::watch::Feed;
use headgate_proto::catalog::v1::{Model, ModelPrice, WatchCatalogResponse};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, oneshot, watch};
use tonic::Status;

use crate::BuildError;
use crate::audit;
use crate::change::{Change, Stamp};
use crate::metrics::Metrics;
use crate::state::{Revisions, State};
use crate::store::{Missed, Store, Writing};

/// The catalog, and all that depends on the order of its changes.
pub(crate) struct Registry {
    pub clock: Clock,
    pub master_key: MasterKey,
    store: Store,
    state: Arc<RwLock<State>>,
    feed: Feed<WatchCatalogResponse>,
    // Held from the decision to the publication, so that changes are written and published in one order.
    writing: Mutex<()>,
    follower: Arc<Follower>,
    /// Told of every change, whoever made it.
    changed: watch::Sender<()>,
    tasks: Tasks,
    pub metrics: Metrics,
}

impl Registry {
    pub(crate) fn new(
        store: Store,
        state: State,
        master_key: MasterKey,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
    ) -> Self {
        metrics.at(&state);
        let feed = Feed::new(tasks.stopping());
        let follower = Arc::new(Follower::new(&store.0));
        let state = Arc::new(RwLock::new(state));
        let (writing, changed) = (Mutex::new(()), watch::Sender::new(()));
        Self { clock, master_key, store, state, feed, writing, follower, changed, tasks, metrics }
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

    /// Tells the audit log what was written for it, until the process stops.
    pub(crate) fn tell_audit_log(&self, auth: Conn) {
        outbox::deliver(self.store.0.clone(), auth, &self.tasks);
    }

    async fn look(&self) -> Result<(), BuildError> {
        if self.store.revisions().await? == self.read().revisions() {
            return Ok(());
        }
        // Asked again, as a change of this replica may be what was seen.
        let _writing = self.writing.lock().await;
        let known = self.read().revisions();
        let missed = self.store.missed(known).await?;
        self.take_in(missed);
        Ok(())
    }

    /// Whether this replica is to probe all providers now, as none did for most of `interval`.
    pub(crate) async fn is_turn_to_probe(&self, interval: Duration) -> Result<bool, Failure> {
        self.store.is_turn_to_probe(self.clock.unix_millis(), interval).await
    }

    /// What a model cost before a revision, newest first.
    pub(crate) async fn prices(
        &self,
        model_id: &str,
        before: Option<u64>,
        rows: i64,
    ) -> Result<Vec<ModelPrice>, Failure> {
        let prices = self.store.prices(model_id, before, rows).await;
        prices.map_err(|cause| Failure::unavailable("the catalog's store", cause))
    }

    /// Notes what models cost that is not in their history.
    pub(crate) async fn note_prices(&self) -> Result<usize, BuildError> {
        self.store.note_prices().await
    }

    /// To look things up. Not to be held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Tells when something was changed, by this replica or another.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Makes a change. `plan` sees the catalog as it is, which nobody else changes until the plan is carried out, and
    /// what its change is to be stamped with; it answers what to write and what to tell the caller. An empty change is no change. A caller who goes away does
    /// not stop a change half-way. The audit log tells that it was `by` them.
    pub(crate) async fn change<T, P>(self: &Arc<Self>, by: impl Into<Author>, plan: P) -> Result<T, Failure>
    where
        T: Send + 'static,
        P: FnOnce(&State, &Stamp) -> Result<(Change, T), Failure> + Send + 'static,
    {
        self.change_beyond(by, 0, plan).await
    }

    /// The same, whose revision is higher than another, too.
    pub(crate) async fn change_beyond<T, P>(
        self: &Arc<Self>,
        by: impl Into<Author>,
        beyond: u64,
        plan: P,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        P: FnOnce(&State, &Stamp) -> Result<(Change, T), Failure> + Send + 'static,
    {
        let (this, by) = (Arc::clone(self), by.into());
        self.carry_out(Box::pin(async move { this.change_now(&by, beyond, plan).await })).await
    }

    /// Makes the bootstrap's change. `plan` also sees what the bootstrap applied before.
    pub(crate) async fn seed<P>(self: &Arc<Self>, by: Author, plan: P) -> Result<(), Failure>
    where
        P: FnOnce(&State, &[Applied], &Stamp) -> Result<Change, Failure> + Send + 'static,
    {
        let this = Arc::clone(self);
        self.carry_out(Box::pin(async move { this.seed_now(&by, plan).await })).await
    }

    /// Does work to its end, even if the caller goes away.
    async fn carry_out<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(carried(async move {
            // An error means that the caller went away; the change stands.
            let _gone = answer.send(change.await);
        }));
        answered.await.unwrap_or_else(|_| Err(Failure::internal("a change of the catalog broke off")))
    }

    async fn change_now<T, P>(&self, by: &Author, beyond: u64, plan: P) -> Result<T, Failure>
    where
        P: FnOnce(&State, &Stamp) -> Result<(Change, T), Failure>,
    {
        let _writing = self.writing.lock().await;
        let mut writing = self.begin().await?;
        writing.leap(beyond)?;
        let stamp = self.stamp(&writing);
        let (change, answer) = plan(&self.read(), &stamp)?;
        self.put(by, writing, &stamp, &change).await?;
        Ok(answer)
    }

    async fn seed_now<P>(&self, by: &Author, plan: P) -> Result<(), Failure>
    where
        P: FnOnce(&State, &[Applied], &Stamp) -> Result<Change, Failure>,
    {
        let _writing = self.writing.lock().await;
        let mut writing = self.begin().await?;
        let applied = writing.applied().await?;
        let stamp = self.stamp(&writing);
        let change = plan(&self.read(), &applied, &stamp)?;
        self.put(by, writing, &stamp, &change).await
    }

    /// Begins a change of what is as it is known here.
    async fn begin(&self) -> Result<Writing, Failure> {
        let mut writing = self.store.begin().await?;
        let known = self.read().revisions();
        let missed = writing.missed(known).await?;
        self.take_in(missed);
        Ok(writing)
    }

    fn stamp(&self, writing: &Writing) -> Stamp {
        Stamp { revision: writing.revision(), unix_ms: self.clock.unix_millis() }
    }

    /// Writes a change, unless it is none, then takes it in.
    async fn put(
        &self,
        by: &Author,
        writing: Writing,
        stamp: &Stamp,
        change: &Change,
    ) -> Result<(), Failure> {
        if !change.is_empty() {
            let entries = audit::entries(by, stamp.unix_ms, &self.read(), change)?;
            let revisions = writing.put(change, &self.before(change), &entries).await?;
            self.publish(change, revisions);
        }
        Ok(())
    }

    /// The models that a change is about, as they are.
    fn before(&self, change: &Change) -> Vec<Model> {
        let state = self.read();
        let changed = change.models.iter().map(|model| &model.id);
        changed.chain(&change.removed_model_ids).filter_map(|id| state.model(id).cloned()).collect()
    }

    fn publish(&self, change: &Change, revisions: Revisions) {
        self.feed.publish(|| self.state.write().take(change, revisions));
        self.metrics.at(&self.read());
        self.changed.send_replace(());
    }

    /// Takes in what others left.
    fn take_in(&self, missed: Missed) {
        match missed {
            Missed::Nothing => {}
            Missed::Health(health, revisions) => {
                self.publish(&Change { health, ..Change::default() }, revisions);
            }
            Missed::Much(state) => self.replace(*state),
        }
    }

    /// How it came to be so is not known, so that whoever watches gets all of it.
    fn replace(&self, state: State) {
        self.feed.publish(|| {
            let mut present = self.state.write();
            *present = state;
            present.snapshot()
        });
        self.metrics.at(&self.read());
        self.changed.send_replace(());
    }

    /// A snapshot of everything, then the changes.
    pub(crate) fn follow(&self) -> impl Stream<Item = Result<WatchCatalogResponse, Status>> + Send + use<> {
        let (all, latest) = (Arc::clone(&self.state), Arc::clone(&self.state));
        let follower = Arc::clone(&self.follower);
        let heartbeat = move || {
            let revision = latest.read().revision();
            follower.is_current().then(|| WatchCatalogResponse { revision, ..Default::default() })
        };
        self.feed.follow(move || all.read().snapshot(), heartbeat)
    }
}
