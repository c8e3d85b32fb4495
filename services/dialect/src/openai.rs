//! OpenAI's dialect: chat completions, completions and embeddings, as OpenAI, vLLM, llama.cpp and many others speak it.

pub mod error;
mod json;
pub mod request;
pub mod response;
pub mod stream;
pub mod typed;
mod usage;
