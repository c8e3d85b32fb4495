//! A batch on its way to the broker.

use async_nats::jetstream;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::batch;
use super::stream::STREAM;
use crate::spool::Batch;

/// A message, and the broker's answer once it was sent.
pub(super) struct Message {
    /// Which records it holds, by their positions, and which part of them.
    pub(super) place: String,
    pub(super) payload: Bytes,
    /// How many records it holds.
    pub(super) records: usize,
    /// What the spool may forget when the broker has it; none for all but the last part of a batch.
    pub(super) position: Option<u64>,
    /// None while it is not sent.
    answer: Option<BoxFuture<'static, Result<(), PublishError>>>,
}

impl Message {
    pub(super) fn new(batch: Batch) -> Self {
        let place = format!("{}-{}", batch.first, batch.last);
        Self::of(place, batch.records, Some(batch.last))
    }

    fn of(place: String, records: Vec<Bytes>, position: Option<u64>) -> Self {
        let count = records.len();
        Self { place, payload: batch::encode(records), records: count, position, answer: None }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.answer.is_some()
    }

    /// Sends it, and does not wait for the answer.
    ///
    /// Its id tells the spool, the place and the content: the same for the same batch, however often it is sent, and
    /// another when a power loss took records along whose positions were given to others.
    pub(super) async fn send(
        &mut self,
        jetstream: &jetstream::Context,
        spool: &str,
        subject: &str,
    ) -> Result<(), PublishError> {
        let id = format!("{spool}/{}/{:08x}", self.place, crc32fast::hash(&self.payload));
        let message =
            PublishMessage::build().message_id(id).expected_stream(STREAM).payload(self.payload.clone());
        let answer = jetstream.send_publish(subject.to_owned(), message).await?;
        self.answer = Some(answer.into_future().map(|answer| answer.map(|_| ())).boxed());
        Ok(())
    }

    /// The broker's answer. Cancel-safe; to be asked until it is there.
    pub(super) async fn answer(&mut self) -> Result<(), PublishError> {
        match &mut self.answer {
            Some(answer) => answer.await,
            None => std::future::pending().await,
        }
    }

    /// Forgets that it was sent.
    pub(super) fn take_back(&mut self) {
        self.answer = None;
    }

    /// Takes it for stored, without the broker.
    pub(super) fn give_up(&mut self) {
        self.answer = Some(std::future::ready(Ok(())).boxed());
    }

    /// The same records in two messages; none when there is only one record.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let mut records = batch::decode(self.payload.clone()).filter(|records| records.len() > 1)?;
        let rest = records.split_off(records.len() / 2);
        let place = |half| format!("{}.{half}", self.place);
        Some([Self::of(place(0), records, None), Self::of(place(1), rest, self.position)])
    }
}
