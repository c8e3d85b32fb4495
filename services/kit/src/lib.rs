//! The chassis every Headgate process shares: configuration, connections, errors, clock, ids, database, spool,
//! telemetry, tasks and shutdown.
//!
//! Owns no domain word: nothing here knows what a model, a tenant or a token is. Promises that what a service builds
//! on it behaves the same in one process and in many.

pub mod clock;
pub mod config;
pub mod conn;
pub mod db;
pub mod error;
pub mod etag;
pub mod follow;
pub mod gcra;
pub mod identity;
pub mod ids;
pub mod metrics;
pub mod money;
pub mod nats;
pub mod network;
pub mod origin;
pub mod page;
pub mod quiet;
pub mod records;
pub mod request_id;
pub mod scope;
pub mod seal;
pub mod secret_file;
pub mod seeds;
pub mod seldom;
pub mod server;
pub mod snapshot;
pub mod spool;
pub mod strangers;
pub mod tasks;
pub mod telemetry;
pub mod trace;
pub mod trust;
pub mod vitals;
pub mod watch;
pub mod workers;

pub use error::Failure;
