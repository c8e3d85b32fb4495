//! Records over NATS JetStream: the process that owns a spool forwards it, and whoever consumes records reads a durable
//! consumer, wherever it runs.
//!
//! Promises: a record leaves the spool only when the broker has stored it, and leaves the broker only when *every*
//! consumer has acknowledged it. Records arrive at least once: a batch keeps its content and its message id over
//! restarts, so the broker drops most repetitions, and consumers must bear the rest. The broker away delays records and
//! nothing else; a broker that is full leaves them in the spool.
//!
//! One message is one batch: the protobuf encoding of `headgate.record.v1.RecordBatch`.

mod batch;
mod broker;
mod config;
mod forward;
mod in_flight;
mod metrics;
mod pull;
mod puller;
mod stream;
#[cfg(test)]
mod tests;

pub use broker::{Broker, Error};
pub use config::Config;
pub use forward::{Forwarder, Forwarding};
pub use stream::{CONSUMERS, STREAM, SUBJECTS};

pub(crate) use pull::{Held, Pull};
