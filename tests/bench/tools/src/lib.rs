//! What both ends of the benchmark agree on: the stamp in every streamed chunk.

pub mod stamp;
