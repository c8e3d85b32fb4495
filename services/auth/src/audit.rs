//! The audit log on disk.

mod query;
mod row;

pub(crate) use query::{Filter, page};
pub(crate) use row::{unix_ms, write};
