//! Harness of the end-to-end tests: the real `headgate` process, a mock upstream that speaks
//! OpenAI's documented protocol and fails as told, and raw clients that see bytes and times.
//!
//! Owns no product code. Promises that nothing outlives the test that started it, that every listener is on a port of
//! the kernel's choice, and that a step that cannot be done fails the test with a reason.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

pub mod authority;
pub mod browser;
pub mod chromium;
pub mod cluster;
pub mod dynamic;
pub mod engines;
pub mod gguf;
pub mod http;
pub mod image;
pub mod llama;
pub mod node;
pub mod operator;
mod ports;
pub mod prompts;
pub mod repo;
pub mod servers;
pub mod setup;
pub mod sse;
pub mod topology;
pub mod upstream;
pub mod wait;
