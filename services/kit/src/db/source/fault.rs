//! What is wrong with a database, in words that name neither it nor its users.

/// A few words for operators. What the server says itself is left out: it may quote names and values.
pub(super) fn of(cause: &sqlx::Error) -> String {
    match cause {
        sqlx::Error::Database(cause) => match cause.code() {
            Some(code) => format!("refused with code {code}"),
            None => "refused".to_owned(),
        },
        sqlx::Error::Io(cause) => cause.kind().to_string(),
        sqlx::Error::Tls(_) => "no TLS".to_owned(),
        sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "closed".to_owned(),
        _ => "failed".to_owned(),
    }
}
