//! Between the contract's typed messages and this dialect: the only place where a translation lives.

mod answer;
mod check;
mod embed;
mod prompt;

#[cfg(test)]
mod tests;

pub use answer::{decode_chat, decode_chat_event};
pub use check::{check_chat, check_embed};
pub use embed::{decode_embed, encode_embed};
pub use prompt::encode_chat;
