//! The adapter over real sockets, called through its generated client.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail loudly")]

mod connections;
mod deadlines;
mod echo;
mod failures;
mod pass_through;
mod probe;
mod streams;
mod support;
mod upstream;
