//! A reader of GGUF headers (versions 2 and 3, little endian) that trusts nothing it reads.
//!
//! The format is described at <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Of the crates that read it,
//! `gguf` is abandoned, `gguf-rs` keeps whole arrays without a bound and panics on a `general.file_type` that is no
//! number, and `gguf-rs-lib` is careful but reads version 3 alone, refuses strings that are not UTF-8 (vocabularies
//! have them) and keeps a vocabulary of several hundred thousand strings to answer six questions. So this one keeps
//! those six answers and skips the rest.

mod header;
mod input;
#[cfg(test)]
mod tests;

pub(crate) use self::header::{Header, read, read_preamble};

/// Why a header cannot be used, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GgufError {
    #[error("not a GGUF file")]
    Magic,
    #[error("GGUF version {0} is not supported")]
    Version(u32),
    #[error("big-endian GGUF files are not supported")]
    BigEndian,
    #[error("the file ends within its header")]
    Truncated,
    #[error("the header has a value of the unknown type {0}")]
    ValueType(u32),
    #[error("the header is larger than any model needs")]
    TooLarge,
    #[error("the header is not well formed: {0}")]
    Malformed(&'static str),
    #[error("the file cannot be read: {0}")]
    Io(std::io::ErrorKind),
}

impl From<std::io::Error> for GgufError {
    fn from(cause: std::io::Error) -> Self {
        match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            kind => Self::Io(kind),
        }
    }
}
