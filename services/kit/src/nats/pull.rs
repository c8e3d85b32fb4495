//! The consumer's side: records of messages that were fetched, and what holds those messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::broker::{Broker, DEADLINE, Error};
use super::forward::Forwarding;
use super::puller::Puller;
use crate::records::CaughtUp;
use crate::spool::LagHandle;
use crate::tasks::Tasks;

/// Messages that wait for the handler, at most; their bytes have a bound of their own.
const QUEUE: usize = 1024;

/// Records of a durable consumer.
pub(crate) struct Pull {
    queue: mpsc::Receiver<Pulled>,
    /// A message of which some records were taken.
    current: Option<Pulled>,
    shared: Arc<Shared>,
    spools: Vec<Forwarding>,
}

/// A message whose records are handed out.
pub(super) struct Pulled {
    pub(super) records: VecDeque<Bytes>,
    pub(super) held: Arc<Held>,
    /// Of the memory that waiting messages may take.
    pub(super) _space: OwnedSemaphorePermit,
}

/// A message that the broker waits to hear of.
pub(crate) struct Held {
    acker: Acker,
    settled: AtomicBool,
}

/// What the source and its tasks share.
#[derive(Default)]
pub(super) struct Shared {
    /// Messages that the broker holds for the consumer.
    pub(super) pending: Arc<AtomicU64>,
    pub(super) caught_up: CaughtUp,
    /// Every message that was fetched and not settled.
    pub(super) held: Mutex<Vec<Arc<Held>>>,
}

impl Pull {
    /// Begins to fetch, until the tasks shall end. When this is dropped too, what was not acknowledged goes back to the
    /// broker, and the task ends.
    pub(super) fn start(
        broker: Broker,
        consumer: &'static str,
        spools: Vec<Forwarding>,
        tasks: &Tasks,
    ) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let puller = Puller::new(broker, consumer, sender, Arc::clone(&shared));
        tasks.spawn(puller.run(spools.clone(), tasks.stopping()));
        Self { queue, current: None, shared, spools }
    }

    /// Up to `max` records, at least one, and the messages of which they are the last. Cancel-safe.
    pub(crate) async fn next(&mut self, max: usize) -> Result<(Vec<Bytes>, Vec<Arc<Held>>), Error> {
        if self.current.is_none() {
            self.current = Some(self.queue.recv().await.ok_or(Error::Away)?);
        }
        let (mut records, mut ended) = (Vec::new(), Vec::new());
        while let Some(mut message) = self.current.take().or_else(|| self.queue.try_recv().ok()) {
            let room = max.max(1) - records.len();
            if message.records.len() > room {
                records.extend(message.records.drain(..room));
                self.current = Some(message);
                break;
            }
            records.extend(message.records);
            ended.push(message.held);
            if records.len() >= max {
                break;
            }
        }
        Ok((records, ended))
    }

    pub(crate) fn caught_up(&self) -> CaughtUp {
        self.shared.caught_up.clone()
    }

    /// Messages with the broker, and records that are not there yet.
    pub(crate) fn pending(&self) -> (Arc<AtomicU64>, Vec<LagHandle>) {
        let spools = self.spools.iter().map(|spool| spool.lag.clone()).collect();
        (Arc::clone(&self.shared.pending), spools)
    }
}

impl Held {
    pub(super) fn new(acker: Acker) -> Self {
        Self { acker, settled: AtomicBool::new(false) }
    }

    /// Tells the broker that it was handled. The broker may not hear it, and then it comes again.
    pub(crate) async fn ack(&self) -> Result<(), Error> {
        self.settled.store(true, Ordering::Release);
        self.tell(AckKind::Ack).await
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(super) async fn tell(&self, kind: AckKind) -> Result<(), Error> {
        let told = tokio::time::timeout(DEADLINE, self.acker.ack_with(kind)).await;
        told.map_err(|_| Error::Late)?.map_err(Error::Other)
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("settled", &self.is_settled()).finish_non_exhaustive()
    }
}
