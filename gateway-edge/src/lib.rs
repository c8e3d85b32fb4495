//! The REST door: OpenAI's API, JSON and server-sent events, translated to the gRPC `InferenceService`.
//!
//! Owns nothing: no table, no counter, no credential. It reads as much of a body as it must to choose the call, and
//! passes the rest as bytes; who the caller is and what it may do is the router's to say.
//!
//! Promises:
//! - every response, refusals included, carries `x-request-id` and the security headers; every error body is in
//!   OpenAI's shape and names the request;
//! - errors are mapped by reason, never by text;
//! - a stream that breaks ends in an error event, never in a clean finish; events pass unmerged and unmodified;
//! - a client that goes away drops its call at once;
//! - an address that keeps failing to present a valid key is told to wait, without its good callers being hurt;
//! - bodies, connections and metric labels are bounded whatever clients send.
//!
//! Requests go from [`Edge::serve`] (connections) through `service` (what all responses have in common) to one file
//! per operation of the public API, or to `transcode`, which serves every other call as its proto says. There is no web
//! framework between: nine paths do not earn its share of the time per request.

mod body;
mod chat;
mod client;
mod completions;
mod config;
mod cookies;
mod cors;
mod docs;
mod doorman;
mod edge;
mod embeddings;
mod error;
mod events;
mod health;
mod metadata;
mod metrics;
mod models;
mod openapi;
mod read;
mod route;
mod serve;
mod service;
#[cfg(test)]
mod tests;
mod transcode;

pub use client::ForwardedHeader;
pub use config::Config;
pub use cors::Cors;
pub use edge::{ContractError, Deps, Edge};
pub use transcode::Services;
