//! The stream and its consumers: made by whoever comes first, the same by all.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};

use super::broker::Error;

/// The stream of all records.
pub const STREAM: &str = "HEADGATE_RECORDS";
/// What its subjects begin with; the spool's name follows.
pub const SUBJECTS: &str = "headgate.records.v1";
/// Who consumes every record.
pub const CONSUMERS: [&str; 2] = ["budget", "usage"];

/// Within which the broker knows a message that it was sent before.
const DUPLICATES: Duration = Duration::from_secs(120);
/// What a new stream may take on the broker's disk. Full, it refuses, and records wait in the spools. An operator may
/// set another limit on the stream itself; it is left as it is.
const MAX_BYTES: i64 = 2 << 30;
/// Messages a consumer may have been given and not acknowledged.
const MAX_ACK_PENDING: i64 = 2048;
/// After which silence a message goes to somebody else. Short, because what a process that died held back keeps budget
/// from being sure of its sums; whoever holds messages for longer says so much more often.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(6);

/// Makes what is missing. What is published after this returned is kept until all consumers acknowledged it: they are
/// here already, so none can come too late for it.
pub(super) async fn prepare(jetstream: &jetstream::Context, replicas: usize) -> Result<(), Error> {
    match jetstream.get_stream(STREAM).await {
        Ok(stream) => update(jetstream, stream.cached_info().config.clone(), replicas).await?,
        Err(cause) if is_missing(&cause.kind()) => create(jetstream, replicas).await?,
        Err(cause) => return Err(Error::other(cause)),
    }
    for name in CONSUMERS {
        jetstream.create_consumer_on_stream(consumer(name), STREAM).await.map_err(Error::other)?;
    }
    Ok(())
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

async fn create(jetstream: &jetstream::Context, replicas: usize) -> Result<(), Error> {
    let config = Config {
        name: STREAM.to_owned(),
        description: Some("Records of ended requests, in batches".to_owned()),
        subjects: vec![format!("{SUBJECTS}.>")],
        // Gone when every consumer has acknowledged it, and never before.
        retention: RetentionPolicy::Interest,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: MAX_BYTES,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        num_replicas: replicas,
        duplicate_window: DUPLICATES,
        ..Config::default()
    };
    match jetstream.create_stream(config).await {
        Ok(_) => {
            tracing::info!(stream = STREAM, replicas, "stream of records made");
            Ok(())
        }
        // Somebody else was faster, with another number of replicas perhaps: looked at the next time.
        Err(cause) if is_taken(&cause.kind()) => Ok(()),
        Err(cause) => Err(Error::other(cause)),
    }
}

fn is_taken(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

/// Changes what this program must be sure of, and no more.
async fn update(jetstream: &jetstream::Context, found: Config, replicas: usize) -> Result<(), Error> {
    if found.retention != RetentionPolicy::Interest {
        return Err(Error::Foreign("its retention is not by interest"));
    }
    let wanted = Config {
        subjects: vec![format!("{SUBJECTS}.>")],
        discard: DiscardPolicy::New,
        max_age: Duration::ZERO,
        num_replicas: replicas,
        ..found.clone()
    };
    if wanted != found {
        jetstream.update_stream(wanted).await.map_err(Error::other)?;
        tracing::info!(stream = STREAM, replicas, "stream of records changed");
    }
    Ok(())
}

fn consumer(name: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        ..pull::Config::default()
    }
}
