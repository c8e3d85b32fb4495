//! The router among scripted peers.

mod ask;
mod defaults;
mod directory;
mod facts;
mod known;
mod limits;
pub(crate) mod peers;
mod records;
mod releases;
mod rights;
mod world;
