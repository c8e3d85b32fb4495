//! The providers, a directory each.

mod echo;
mod openai;

pub(crate) use echo::Echo;
pub(crate) use openai::OpenAi;
