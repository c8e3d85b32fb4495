//! Moves what a spool holds to the broker.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use prometheus::IntCounter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch;
use super::broker::{Backoff, Broker, Error};
use super::in_flight::Message;
use super::stream::SUBJECTS;
use crate::records::CaughtUp;
use crate::spool::{Batches, Bounds, LagHandle, Spool, SpoolError};

/// A quarter of what a server takes by default.
const BOUNDS: Bounds = Bounds { records: 500, bytes: 256 * 1024 };
/// Messages sent whose answer is not there yet.
const WINDOW: usize = 8;
/// How long records gather after a batch that was not full: a lone record goes at once, and under load batches grow.
const LINGER: Duration = Duration::from_millis(100);
/// How long what lies in the spool may take when the process stops. The rest goes after the next start.
const DRAIN: Duration = Duration::from_secs(3);

/// How far a forwarder has come. Does not keep the spool open.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// Reached when everything is with the broker that was in the spool when the forwarder was made.
    pub(super) caught_up: CaughtUp,
    /// Records that are not known to be with the broker.
    pub(crate) lag: LagHandle,
}

/// Forwards one spool. Owns its consumer [`Forwarder::CONSUMER`].
pub struct Forwarder {
    broker: Broker,
    batches: Batches,
    spool: String,
    subject: String,
    name: &'static str,
    in_flight: VecDeque<Message>,
    /// Records that were there at the start and are not known to be stored.
    backlog: u64,
    caught_up: CaughtUp,
    forwarded: IntCounter,
    failures: IntCounter,
    set_aside: IntCounter,
}

impl Forwarder {
    /// The name of its consumer in the spool.
    pub const CONSUMER: &'static str = "forward";

    pub(super) fn new(
        broker: Broker,
        name: &'static str,
        spool: &Spool,
        fresh: Uuid,
    ) -> Result<Self, SpoolError> {
        let batches = spool.batches(Self::CONSUMER, BOUNDS)?;
        let metrics = broker.metrics();
        metrics.watch_spool(name, batches.lag_handle());
        let counter = |of: &prometheus::IntCounterVec| of.with_label_values(&[name]);
        let (forwarded, failures) = (counter(&metrics.forwarded), counter(&metrics.publish_failures));
        let set_aside = counter(&metrics.set_aside);
        let caught_up = CaughtUp::default();
        let backlog = batches.lag();
        if backlog == 0 {
            caught_up.reach();
        }
        Ok(Self {
            broker,
            batches,
            spool: spool.identity(fresh)?.to_string(),
            subject: format!("{SUBJECTS}.{name}"),
            name,
            in_flight: VecDeque::new(),
            backlog,
            caught_up,
            forwarded,
            failures,
            set_aside,
        })
    }

    /// How far it has come, for those who wait for it or look on.
    #[must_use]
    pub fn progress(&self) -> Forwarding {
        Forwarding { caught_up: self.caught_up.clone(), lag: self.batches.lag_handle() }
    }

    /// Forwards until stopped, and then what still lies in the spool, if the broker takes it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut connections = self.broker.connections();
        let mut backoff = Backoff::new();
        loop {
            let before = self.forwarded.get();
            // Cancel-safe: what was read is in flight before anything is awaited again.
            let Some(ended) = stop.run_until_cancelled(self.forward(false)).await else { break };
            let Err(cause) = ended else { continue };
            if self.forwarded.get() > before {
                backoff = Backoff::new();
            }
            self.failed(&cause).await;
            backoff.pause(&mut connections, &stop).await;
        }
        let ended = tokio::time::timeout(DRAIN, self.forward(true)).await;
        let left = self.batches.lag();
        if left > 0 {
            let cause = ended.map_or(Some(Error::Late), Result::err).map(tracing::field::display);
            tracing::warn!(cause, spool = self.name, left, "records wait in the spool for the next start");
        }
    }

    async fn failed(&mut self, cause: &Error) {
        self.in_flight.iter_mut().for_each(Message::take_back);
        match cause {
            // Said by the connection itself, and no fault of what was sent.
            Error::Away | Error::Reconnected => {}
            _ => tracing::warn!(%cause, spool = self.name, "records cannot be forwarded, trying again"),
        }
        if !matches!(cause, Error::Reconnected) && self.batches.lag() > 0 {
            self.failures.inc();
        }
        self.broker.doubt().await;
    }

    /// Forwards until something fails or, when it shall `end`, until nothing is left.
    async fn forward(&mut self, end: bool) -> Result<(), Error> {
        let mut connections = self.broker.connections();
        let jetstream = self.broker.jetstream().await?;
        self.send(&jetstream).await?;
        let mut linger_until = None;
        loop {
            if end && self.in_flight.is_empty() && self.batches.lag() == 0 {
                return Ok(());
            }
            let room = self.in_flight.len() < WINDOW;
            let Self { in_flight, batches, .. } = self;
            tokio::select! {
                biased;
                _ = connections.changed() => return Err(Error::Reconnected),
                answer = first_answer(in_flight) => self.answered(answer)?,
                () = until(linger_until), if linger_until.is_some() => linger_until = None,
                batch = batches.next(), if room && linger_until.is_none() => {
                    let batch = batch?;
                    let full = batch.records.len() >= BOUNDS.records;
                    self.in_flight.push_back(Message::new(batch));
                    self.send(&jetstream).await?;
                    linger_until = (!full && !end).then(|| Instant::now() + LINGER);
                }
            }
        }
    }

    /// Sends what is not sent yet, in order.
    async fn send(&mut self, jetstream: &jetstream::Context) -> Result<(), Error> {
        let mut at = 0;
        while let Some(message) = self.in_flight.get_mut(at) {
            if message.is_sent() {
                at += 1;
                continue;
            }
            // The client would keep it until there is a connection, and we each of the times it is tried.
            if !self.broker.is_connected() {
                return Err(Error::Away);
            }
            match message.send(jetstream, &self.spool, &self.subject).await {
                Ok(()) => at += 1,
                Err(cause) if cause.kind() == PublishErrorKind::MaxPayloadExceeded => self.shrink(at)?,
                Err(cause) => return Err(Error::other(cause)),
            }
        }
        Ok(())
    }

    /// Cuts a message that is larger than the server takes, which is set to take little. A single record like that
    /// would hold up all others for good, so it is kept in a file.
    fn shrink(&mut self, at: usize) -> Result<(), Error> {
        let Some(message) = self.in_flight.get_mut(at) else { return Ok(()) };
        if let Some([first, second]) = message.halves() {
            *message = second;
            self.in_flight.insert(at, first);
            return Ok(());
        }
        for record in batch::decode(message.payload.clone()).unwrap_or_default() {
            self.batches.set_aside(&message.place, &record)?;
            self.set_aside.inc();
            tracing::error!(
                spool = self.name,
                place = message.place,
                bytes = record.len(),
                "a record is too large for nats, it was set aside beside the spool"
            );
        }
        message.give_up();
        Ok(())
    }

    fn answered(&mut self, answer: Result<(), PublishError>) -> Result<(), Error> {
        answer.map_err(Error::other)?;
        let Some(message) = self.in_flight.pop_front() else { return Ok(()) };
        self.forwarded.inc_by(message.records as u64);
        self.backlog = self.backlog.saturating_sub(message.records as u64);
        if self.backlog == 0 {
            self.caught_up.reach();
        }
        if let Some(Err(cause)) = message.position.map(|position| self.batches.ack(position)) {
            tracing::warn!(%cause, spool = self.name, "records are forwarded and may be again after a restart");
        }
        Ok(())
    }
}

async fn first_answer(in_flight: &mut VecDeque<Message>) -> Result<(), PublishError> {
    match in_flight.front_mut() {
        Some(message) => message.answer().await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("name", &self.name).finish_non_exhaustive()
    }
}
