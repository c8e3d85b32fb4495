//! Why Redis could not be used.

/// Why the counters cannot answer. Its text is for the log: addresses and passwords are not in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It failed a moment ago, so it was not even asked.
    #[error("redis failed a moment ago")]
    Resting,
    /// It did not answer in time.
    #[error("redis did not answer in time")]
    TimedOut,
    /// It cannot be reached, or answered with an error.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Counters were lost; what may still run is not known before that time, in milliseconds.
    #[error("counters were lost; admission opens at {opens_at_ms} ms")]
    Closed {
        /// When admission opens.
        opens_at_ms: i64,
    },
    /// What is spent is not known before the records are booked that waited at the start.
    #[error("counters are rebuilt when the records that waited at the start are booked")]
    Behind,
    /// What is spent cannot be read.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// An answer that no script gives.
    #[error("redis answered what it cannot: {0}")]
    Garbled(&'static str),
}

impl Fault {
    /// Whether the call may have been carried out all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Redis(_))
    }
}
