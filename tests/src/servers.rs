//! The servers that Headgate stands on when it is more than one process: real ones, each with a folder of its own.

pub mod nats;
