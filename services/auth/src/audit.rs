//! The audit log: what auth itself tells it, and how it lies on disk.

mod notes;
mod of_batch;
mod query;
mod row;

pub(crate) use notes::Notes;
pub(crate) use of_batch::of_batch;
pub(crate) use query::{Filter, page};
pub(crate) use row::{unix_ms, write};
