//! The server side of a watch: a snapshot, then every change in order, and heartbeats while there is none.
//!
//! A publisher keeps a state and describes each change of it by a message. For a follower to end up with the same
//! state, three things must not interleave: changing the state, publishing the change, and taking a snapshot with
//! the subscription that goes with it. [`Feed::publish`] therefore runs the change of state itself, under a lock that
//! snapshots take too: a follower gets each change either in its snapshot or after it, never in both and never in
//! neither, and sees revisions only rise.
//!
//! The order among changes is the publisher's: who first writes elsewhere (SQL) and then publishes must hold a lock of
//! its own over both, or two changes may be published in the other order than they were written.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long a follower hears nothing at the most.
pub const HEARTBEAT: Duration = Duration::from_millis(250);
/// Changes that wait for the slowest follower. One that lags further gets a snapshot instead of them.
const BACKLOG: usize = 1024;

/// Sends every change to any number of followers. Clones share the followers.
#[derive(Debug)]
pub struct Feed<M> {
    changes: Sender<M>,
    // Held while the state changes and while a snapshot is taken, never across an await.
    order: Arc<Mutex<()>>,
    stop: CancellationToken,
}

impl<M> Clone for Feed<M> {
    fn clone(&self) -> Self {
        Self { changes: self.changes.clone(), order: Arc::clone(&self.order), stop: self.stop.clone() }
    }
}

impl<M: Clone + Send + 'static> Feed<M> {
    /// A feed without followers. All of its streams end when `stop` is cancelled.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { changes: Sender::new(BACKLOG), order: Arc::default(), stop }
    }

    /// Runs `change`, which changes the state and describes what it changed, and sends the description to all
    /// followers. Never waits for them.
    ///
    /// `change` may take the state's lock; the caller must not hold it already, since snapshots take it in here too.
    pub fn publish(&self, change: impl FnOnce() -> M) {
        let _order = self.order.lock();
        // An error means that nobody follows.
        let _nobody = self.changes.send(change());
    }

    /// Follows: first `snapshot()`, then the changes in order, and `heartbeat()` after every [`HEARTBEAT`] of silence,
    /// unless that says that it is better to be silent. A follower that lags gets `snapshot()` again. Both run while no
    /// change does, so a heartbeat may tell the revision: every change up to it was sent before.
    pub fn follow<F, H>(
        &self,
        snapshot: F,
        heartbeat: H,
    ) -> impl Stream<Item = Result<M, Status>> + Send + use<M, F, H>
    where
        F: Fn() -> M + Send + 'static,
        H: Fn() -> Option<M> + Send + 'static,
    {
        let feed = self.clone();
        async_stream::stream! {
            let (mut changes, first) = feed.begin(&snapshot);
            yield Ok(first);
            loop {
                let next = tokio::select! {
                    biased;
                    () = feed.stop.cancelled() => break,
                    next = tokio::time::timeout(HEARTBEAT, changes.recv()) => next,
                };
                match next {
                    Ok(Ok(change)) => yield Ok(change),
                    Ok(Err(RecvError::Lagged(_))) => {
                        let (anew, again) = feed.begin(&snapshot);
                        changes = anew;
                        yield Ok(again);
                    }
                    Ok(Err(RecvError::Closed)) => break,
                    Err(_silence) => {
                        if let Some(beat) = feed.beat(&changes, &heartbeat) {
                            yield Ok(beat);
                        }
                    }
                }
            }
        }
    }

    fn begin(&self, snapshot: &impl Fn() -> M) -> (Receiver<M>, M) {
        let _order = self.order.lock();
        (self.changes.subscribe(), snapshot())
    }

    /// `None` when a change came in the meantime, which must be told first, and when the publisher wants silence.
    fn beat(&self, changes: &Receiver<M>, heartbeat: &impl Fn() -> Option<M>) -> Option<M> {
        let _order = self.order.lock();
        changes.is_empty().then(heartbeat).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::StreamExt as _;
    use tokio::time::Instant;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Message {
        Snapshot(u64),
        Change(u64),
        Beat(u64),
    }

    struct Counter {
        state: Arc<AtomicU64>,
        feed: Feed<Message>,
        stop: CancellationToken,
    }

    impl Counter {
        fn new() -> Self {
            let stop = CancellationToken::new();
            Self { state: Arc::default(), feed: Feed::new(stop.clone()), stop }
        }

        fn count(&self) {
            self.feed.publish(|| Message::Change(self.state.fetch_add(1, Ordering::SeqCst) + 1));
        }

        fn follow(&self) -> impl Stream<Item = Message> + Unpin + use<> {
            let (a, b) = (Arc::clone(&self.state), Arc::clone(&self.state));
            let snapshot = move || Message::Snapshot(a.load(Ordering::SeqCst));
            let beat = move || Some(Message::Beat(b.load(Ordering::SeqCst)));
            Box::pin(self.feed.follow(snapshot, beat).map(Result::unwrap))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_comes_first_then_changes_then_heartbeats() {
        let counter = Counter::new();
        counter.count();
        let mut follower = counter.follow();
        counter.count();
        assert_eq!(follower.next().await, Some(Message::Snapshot(2)), "taken when it is asked for");
        counter.count();
        counter.count();
        assert_eq!(follower.next().await, Some(Message::Change(3)));
        assert_eq!(follower.next().await, Some(Message::Change(4)));
        let quiet_since = Instant::now();
        assert_eq!(follower.next().await, Some(Message::Beat(4)));
        assert_eq!(quiet_since.elapsed(), HEARTBEAT);
        assert_eq!(follower.next().await, Some(Message::Beat(4)));
        assert_eq!(quiet_since.elapsed(), 2 * HEARTBEAT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_may_choose_to_be_silent_but_changes_are_told() {
        let counter = Counter::new();
        let snapshot = || Message::Snapshot(0);
        let mut follower = Box::pin(counter.feed.follow(snapshot, || None).map(Result::unwrap));
        assert_eq!(follower.next().await, Some(Message::Snapshot(0)));
        let silence = tokio::time::timeout(10 * HEARTBEAT, follower.next()).await;
        assert!(silence.is_err(), "{silence:?}");
        counter.count();
        assert_eq!(follower.next().await, Some(Message::Change(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_lags_gets_a_fresh_snapshot_and_goes_on() {
        let counter = Counter::new();
        let mut follower = counter.follow();
        assert_eq!(follower.next().await, Some(Message::Snapshot(0)));
        let far = u64::try_from(BACKLOG).unwrap() * 3;
        (0..far).for_each(|_| counter.count());
        assert_eq!(follower.next().await, Some(Message::Snapshot(far)));
        counter.count();
        assert_eq!(follower.next().await, Some(Message::Change(far + 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_end_when_told_to_stop() {
        let counter = Counter::new();
        let mut follower = counter.follow();
        assert_eq!(follower.next().await, Some(Message::Snapshot(0)));
        counter.stop.cancel();
        assert_eq!(follower.next().await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_missed_or_repeated_while_changes_rush_in() {
        let counter = Arc::new(Counter::new());
        let writer = tokio::task::spawn_blocking({
            let counter = Arc::clone(&counter);
            move || (0..200_000).for_each(|_| counter.count())
        });
        while !writer.is_finished() {
            let mut seen = 0;
            let quiet = |m: &Message| std::future::ready(!matches!(m, Message::Beat(_)));
            let hundred: Vec<_> = counter.follow().take(100).take_while(quiet).collect().await;
            for message in hundred {
                match message {
                    Message::Change(n) => assert_eq!(n, seen + 1),
                    Message::Snapshot(n) => assert!(n >= seen),
                    Message::Beat(_) => panic!("filtered out above"),
                }
                let (Message::Change(n) | Message::Snapshot(n) | Message::Beat(n)) = message;
                seen = n;
            }
        }
    }
}
