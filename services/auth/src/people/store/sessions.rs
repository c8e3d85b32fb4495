//! Sessions and their refresh tokens.

use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute, fetch};

use super::away;
use crate::key::SecretHmac;
use crate::people::model::Session;

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    user_id: String,
    created_at_unix_ms: i64,
    expires_at_unix_ms: i64,
    user_agent: String,
    address: String,
}

/// What became of a refresh token that was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rotated {
    /// It is used now, for the first time, by this session.
    Used(String),
    /// It was used before, by this session.
    Reused(String),
    /// There is none such.
    Unknown,
}

/// The session of an id.
pub(crate) async fn session(tx: &mut Tx, id: &str) -> Result<Option<Session>, Failure> {
    let row: Option<SessionRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT id, user_id, created_at_unix_ms, expires_at_unix_ms, user_agent, address
             FROM sessions WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(conn)
    })
    .map_err(away)?;
    Ok(row.map(|row| Session {
        id: row.id,
        user_id: row.user_id,
        created_ms: row.created_at_unix_ms,
        expires_ms: row.expires_at_unix_ms,
        user_agent: row.user_agent,
        address: row.address,
    }))
}

/// Writes a new session.
pub(crate) async fn insert_session(tx: &mut Tx, session: &Session) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO sessions (id, user_id, created_at_unix_ms, last_used_at_unix_ms, expires_at_unix_ms,
                 user_agent, address)
             VALUES ($1, $2, $3, $3, $4, $5, $6)",
        )
        .bind(&session.id)
        .bind(&session.user_id)
        .bind(session.created_ms)
        .bind(session.expires_ms)
        .bind(&session.user_agent)
        .bind(&session.address)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Gives a session its next refresh token.
pub(crate) async fn insert_token(tx: &mut Tx, token: SecretHmac, session_id: &str) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query("INSERT INTO refresh_tokens (token_hmac, session_id) VALUES ($1, $2)")
            .bind(token.to_hex())
            .bind(session_id)
            .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Uses a refresh token, once: of two who do it at the same time one is the second.
pub(crate) async fn rotate(tx: &mut Tx, token: SecretHmac, now_ms: i64) -> Result<Rotated, Failure> {
    // The session first, as who ends one takes it first, too: neither then waits for the other for ever.
    let session_id: Option<String> = fetch!(tx.conn(), conn => {
        sqlx::query_scalar(
            "UPDATE sessions SET last_used_at_unix_ms = $2
             WHERE id = (SELECT session_id FROM refresh_tokens WHERE token_hmac = $1) RETURNING id",
        )
        .bind(token.to_hex())
        .bind(now_ms)
        .fetch_optional(conn)
    })
    .map_err(away)?;
    let Some(session_id) = session_id else { return Ok(Rotated::Unknown) };
    let used = execute!(tx.conn(), conn => {
        sqlx::query(
            "UPDATE refresh_tokens SET used_at_unix_ms = $2 WHERE token_hmac = $1 AND used_at_unix_ms IS NULL",
        )
        .bind(token.to_hex())
        .bind(now_ms)
        .execute(conn)
    })
    .map_err(away)?;
    Ok(if used == 1 { Rotated::Used(session_id) } else { Rotated::Reused(session_id) })
}

/// Whose a refresh token is, used or not.
pub(crate) async fn session_of_token(tx: &mut Tx, token: SecretHmac) -> Result<Option<String>, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar("SELECT session_id FROM refresh_tokens WHERE token_hmac = $1")
            .bind(token.to_hex())
            .fetch_optional(conn)
    })
    .map_err(away)
}

/// Ends a session.
pub(crate) async fn delete_session(tx: &mut Tx, id: &str) -> Result<(), Failure> {
    execute!(tx.conn(), conn => sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id).execute(conn))
        .map(drop)
        .map_err(away)
}

/// Ends every session of a user.
pub(crate) async fn delete_sessions_of(tx: &mut Tx, user_id: &str) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user_id).execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Whether [`delete_expired`] has anything to do.
pub(crate) async fn any_expired(tx: &mut Tx, now_ms: i64) -> Result<bool, Failure> {
    let any: i64 = fetch!(tx.conn(), conn => {
        sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM sessions WHERE expires_at_unix_ms <= $1)
                 + (SELECT COUNT(*) FROM password_resets WHERE expires_at_unix_ms <= $1)
                 + (SELECT COUNT(*) FROM voided_tokens WHERE until_unix_ms <= $1)
                 + (SELECT COUNT(*) FROM oidc_logins WHERE expires_at_unix_ms <= $1)",
        )
        .bind(now_ms)
        .fetch_one(conn)
    })
    .map_err(away)?;
    Ok(any > 0)
}

/// Forgets what has expired: sessions, tokens to reset passwords with, what tells that tokens are void, and logins that are
/// away.
pub(crate) async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<(), Failure> {
    for statement in [
        "DELETE FROM sessions WHERE expires_at_unix_ms <= $1",
        "DELETE FROM password_resets WHERE expires_at_unix_ms <= $1",
        "DELETE FROM voided_tokens WHERE until_unix_ms <= $1",
        "DELETE FROM oidc_logins WHERE expires_at_unix_ms <= $1",
    ] {
        execute!(tx.conn(), conn => sqlx::query(statement).bind(now_ms).execute(conn)).map_err(away)?;
    }
    Ok(())
}
