//! Why an exchange with an upstream broke off.

use std::io;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// What came is not HTTP/1.1.
    #[error("not valid HTTP/1.1: {0}")]
    Invalid(&'static str),
    /// The connection was closed before the answer was complete.
    #[error("the connection was closed")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The HTTP/2 connection failed.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Broken {
    /// Whether the upstream speaks no HTTP that can be understood.
    pub(crate) fn is_invalid(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Http2(cause) => cause.is_parse(),
            Self::Closed | Self::Io(_) => false,
        }
    }
}
