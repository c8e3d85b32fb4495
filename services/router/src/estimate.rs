//! Tokens where the upstream told none: estimates, always marked as such.

use headgate_proto::inference::v1::TokenUsage;

/// English text and JSON come to about four bytes a token.
const BYTES_PER_TOKEN: u32 = 4;

/// The tokens of so many bytes of text.
#[must_use]
pub(crate) fn tokens(bytes: u32) -> u32 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// An estimate of what a request took.
#[must_use]
pub(crate) fn usage(prompt_tokens: u32, completion_tokens: u32) -> TokenUsage {
    TokenUsage { prompt_tokens, completion_tokens, estimated: true, ..TokenUsage::default() }
}
