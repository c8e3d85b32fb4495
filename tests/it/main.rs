//! End-to-end tests: the whole process, as built, against a mock upstream or a real one.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod bounds;
mod budget;
mod budget_headers;
mod chat;
mod clients;
mod completions;
mod config;
mod databases;
mod degraded;
mod deploy;
mod errors;
mod fire;
mod fleet;
mod hang_ups;
mod health;
mod idempotency;
mod image;
mod keys;
mod layering;
mod lifecycle;
mod limits;
mod llama;
mod models;
mod mutual_tls;
mod passthrough;
mod proto_lint;
mod records_nats;
mod request_ids;
mod secrets;
mod servers;
mod strangers;
mod streaming;
mod trace_context;
mod upstream_errors;
mod usage;
