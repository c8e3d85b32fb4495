//! The router among scripted peers.

mod ask;
mod facts;
mod limits;
mod peers;
mod records;
mod world;
