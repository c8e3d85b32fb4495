//! The inference path: authenticate, resolve, admit, intent, attempt, record.
//!
//! Owns the inference API, snapshots of keys and catalog, the cooldowns and breakers of targets, and the spool of its
//! own records. Promises that an admitted request ends as exactly one terminal record on every way out (done, error,
//! cancelled, deadline, panic), that nothing goes upstream before its intent is in the spool, that a request is retried
//! elsewhere only before its first byte, and that dropping a response cancels the attempt behind it.

mod asked;
mod attempt;
mod authenticate;
mod breaker;
mod call;
pub mod config;
mod cooldown;
mod directory;
mod error;
mod estimate;
mod grpc;
mod headers;
mod keeper;
mod kept;
mod keys;
mod lease;
mod metrics;
mod models;
mod order;
mod policies;
mod price;
mod record;
mod recovery;
mod release;
mod replay;
mod router;
mod settle;
mod state;
mod subject;
mod targets;
mod uses;
mod wire;

pub use config::Config;
pub use grpc::{Directory, Inference, Routing};
pub use router::{Deps, Router};

#[cfg(test)]
mod tests;
