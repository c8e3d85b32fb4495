//! Wire dialects of language model APIs as pure functions: no I/O, no clock, no state beyond what is passed in.
//!
//! Owns what the gateway knows about the JSON and the event streams of public model APIs: reading the few facts it
//! needs, changing the few values it may, telling what an answer or a piece of it is, and translating between a
//! dialect and the typed messages of the contract. Promises that nothing here panics on input, that errors never
//! echo content, and that bytes which are not named as changed stay as they were.

mod invalid;
pub mod openai;

pub use invalid::Invalid;
