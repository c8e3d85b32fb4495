//! Speaks to model providers: one call, one attempt at one upstream, in its dialect.
//!
//! Owns no state but what saves work (connections, opened credentials). Promises that a body of the upstream's own
//! dialect passes unchanged but for the allowed splices; that every phase of an attempt has its deadline; that a
//! dropped call closes the upstream at once; that a stream which breaks never ends well; that every failure has one
//! reason; and that a provider's credential is in nothing it says.
//!
//! A provider is a translation without I/O (`provider`); the `driver` does transport, pools, deadlines and
//! cancellation for all of them.

mod adapter;
mod config;
mod credential;
mod deadlines;
mod driver;
mod failure;
mod metrics;
mod probe;
mod provider;
mod providers;

pub use adapter::{Adapter, BuildError, Deps};
pub use config::Config;
pub use driver::Pieces;
