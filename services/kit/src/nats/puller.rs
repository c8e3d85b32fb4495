//! Fetches messages, keeps them ours while they are handled, and tells how far the consumer is behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, AckKind};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::batch;
use super::broker::{Backoff, Broker, Error};
use super::forward::Forwarding;
use super::pull::{Held, Pulled, Shared};
use super::stream::{ACK_WAIT, STREAM};

/// Messages asked for at a time.
const FETCH: usize = 32;
/// How long one question for messages stands, and how often the server says that it still does.
const FETCH_EXPIRES: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Kibibytes of messages that wait for the handler.
const QUEUE_KIB: u32 = 4096;
/// How long it may take to give back what was not handled.
const GIVE_BACK: Duration = Duration::from_secs(2);
/// How often a message in our hands is said to be.
const PROGRESS_EVERY: Duration = Duration::from_millis(1500);
/// How often the lag is looked up; before the consumer has caught up, because somebody waits for that, and after.
const LOOK_OFTEN: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks in a row that failed the broker counts as away, though it is connected.
const FAILURES: u32 = 5;

const _: () =
    assert!(PROGRESS_EVERY.as_millis() * 3 < ACK_WAIT.as_millis(), "a message in hand must stay ours");

pub(super) struct Puller {
    broker: Broker,
    consumer: &'static str,
    queue: mpsc::Sender<Pulled>,
    space: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Puller {
    pub(super) fn new(
        broker: Broker,
        consumer: &'static str,
        queue: mpsc::Sender<Pulled>,
        shared: Arc<Shared>,
    ) -> Self {
        let space = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        Self { broker, consumer, queue, space, shared }
    }

    /// Runs until the source is dropped; nothing more is fetched once `stop` is cancelled.
    pub(super) async fn run(self, spools: Vec<Forwarding>, stop: CancellationToken) {
        let beside = async {
            tokio::select! {
                () = self.queue.closed() => {}
                () = self.hold() => {}
                () = self.watch(spools) => {}
            }
        };
        tokio::join!(self.pull(&stop), beside);
        let held = std::mem::take(&mut *self.shared.held.lock());
        let give_back = async {
            for held in held.iter().filter(|held| !held.is_settled()) {
                self.tell(held, AckKind::Nak(None)).await;
            }
            self.broker.flush().await;
        };
        if tokio::time::timeout(GIVE_BACK, give_back).await.is_err() {
            tracing::debug!(consumer = self.consumer, "nats was not told, messages come again later");
        }
    }

    async fn pull(&self, stop: &CancellationToken) {
        let mut connections = self.broker.connections();
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() && !self.queue.is_closed() {
            let mut fetched = 0;
            let Err(cause) = self.fetch(stop, &mut fetched).await else { continue };
            if fetched > 0 {
                backoff = Backoff::new();
            }
            if !matches!(cause, Error::Away) {
                tracing::warn!(%cause, consumer = self.consumer, "records cannot be fetched, trying again");
                self.broker.doubt().await;
            }
            backoff.pause(&mut connections, stop).await;
        }
    }

    /// Fetches until something fails or nobody wants more.
    async fn fetch(&self, stop: &CancellationToken, fetched: &mut u64) -> Result<(), Error> {
        let mut messages = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = self.queue.closed() => return Ok(()),
            messages = self.ask() => messages?,
        };
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.queue.closed() => break,
                message = messages.next() => match message {
                    Some(message) => self.take(message.map_err(Error::other)?, stop).await,
                    None => return Err(Error::Away),
                },
            }
            *fetched += 1;
        }
        self.give_back(&mut messages).await;
        Ok(())
    }

    async fn ask(&self) -> Result<pull::Stream, Error> {
        let jetstream = self.broker.jetstream().await?;
        let consumer: PullConsumer =
            jetstream.get_consumer_from_stream(self.consumer, STREAM).await.map_err(Error::other)?;
        let messages =
            consumer.stream().max_messages_per_batch(FETCH).expires(FETCH_EXPIRES).heartbeat(HEARTBEAT);
        messages.messages().await.map_err(Error::other)
    }

    async fn take(&self, message: jetstream::Message, stop: &CancellationToken) {
        let sequence = message.info().map_or(0, |info| info.stream_sequence);
        let (message, acker) = message.split();
        let (bytes, held) = (message.payload.len(), Arc::new(Held::new(acker)));
        let Some(records) = batch::decode(message.payload) else {
            self.broker.metrics().malformed.with_label_values(&[self.consumer]).inc();
            let (consumer, subject) = (self.consumer, message.subject.as_str());
            tracing::error!(consumer, subject, sequence, bytes, "a message is no batch of records, given up");
            return self.tell(&held, AckKind::Term).await;
        };
        self.shared.held.lock().push(Arc::clone(&held));
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(QUEUE_KIB).min(QUEUE_KIB);
        let space = tokio::select! {
            () = stop.cancelled() => return,
            () = self.queue.closed() => return,
            space = Arc::clone(&self.space).acquire_many_owned(kib) => space,
        };
        // Neither is ever closed but with the source, which is the end of this too.
        let Ok(space) = space else { return };
        let sent = self.queue.send(Pulled { records: records.into(), held, _space: space }).await;
        drop(sent);
    }

    /// Gives others what came and was not looked at.
    async fn give_back(&self, messages: &mut pull::Stream) {
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            self.tell(&Held::new(message.split().1), AckKind::Nak(None)).await;
        }
    }

    /// Tells the broker, now and then, that what is being handled still is. What nobody holds any more goes back.
    async fn hold(&self) {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let mut dropped = Vec::new();
            let kept: Vec<_> = {
                let mut all = self.shared.held.lock();
                all.retain(|held| !held.is_settled());
                dropped.extend(all.extract_if(.., |held| Arc::strong_count(held) == 1));
                all.clone()
            };
            if !self.broker.is_connected() {
                continue;
            }
            for held in dropped {
                self.tell(&held, AckKind::Nak(None)).await;
            }
            for held in kept {
                self.tell(&held, AckKind::Progress).await;
            }
        }
    }

    async fn tell(&self, held: &Held, kind: AckKind) {
        if let Err(cause) = held.tell(kind).await {
            tracing::debug!(%cause, consumer = self.consumer, ?kind, "nats was not told, the message may come again");
        }
    }

    /// Keeps the lag up to date.
    async fn watch(&self, spools: Vec<Forwarding>) {
        let (mut goal, mut fault, mut failures) = (None, String::new(), 0);
        loop {
            let may = spools.iter().all(|spool| spool.caught_up.is_reached());
            let looked = self.look(&mut goal, may).await;
            let soon = matches!(looked, Ok(_) | Err(Error::Away)) && !self.shared.caught_up.is_reached();
            match looked {
                Ok(pending) => {
                    fault.clear();
                    failures = 0;
                    self.shared.pending.store(pending, Ordering::Relaxed);
                    let gauge = self.broker.metrics().pending.with_label_values(&[self.consumer]);
                    gauge.set(i64::try_from(pending).unwrap_or(i64::MAX));
                }
                Err(Error::Away) => {}
                Err(cause) => {
                    failures += 1;
                    // Asked every second, told once.
                    let cause = cause.to_string();
                    if fault != cause {
                        tracing::warn!(cause, consumer = self.consumer, "lag unknown");
                        fault = cause;
                    }
                    self.broker.doubt().await;
                }
            }
            self.shared.caught_up.hold_up(self.broker.is_away() || failures >= FAILURES);
            tokio::time::sleep(if soon { LOOK_OFTEN } else { LOOK }).await;
        }
    }

    /// Messages not acknowledged. Says so when the consumer has caught up with the stream as it was first seen; it is
    /// not looked for before `may`.
    async fn look(&self, goal: &mut Option<u64>, may: bool) -> Result<u64, Error> {
        let jetstream = self.broker.jetstream().await?;
        let is_open = may && !self.shared.caught_up.is_reached();
        if is_open && goal.is_none() {
            let stream = jetstream.get_stream(STREAM).await.map_err(Error::other)?;
            *goal = Some(stream.cached_info().state.last_sequence);
        }
        let stream = jetstream.get_stream_no_info(STREAM).await.map_err(Error::other)?;
        let info = stream.consumer_info(self.consumer).await.map_err(Error::other)?;
        let pending = info.num_pending + info.num_ack_pending as u64;
        if is_open && (pending == 0 || goal.is_some_and(|goal| info.ack_floor.stream_sequence >= goal)) {
            self.shared.caught_up.reach();
        }
        Ok(pending)
    }
}
