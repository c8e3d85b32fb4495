//! One-time tokens to set a password with.

use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute, fetch};

use super::away;
use crate::key::SecretHmac;

/// Writes a user's token in place of the one before.
pub(crate) async fn put_reset(
    tx: &mut Tx,
    user_id: &str,
    token: SecretHmac,
    expires_ms: i64,
) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO password_resets (user_id, token_hmac, expires_at_unix_ms) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE SET token_hmac = excluded.token_hmac,
                 expires_at_unix_ms = excluded.expires_at_unix_ms",
        )
        .bind(user_id)
        .bind(token.to_hex())
        .bind(expires_ms)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Uses a token up. Whose it was, if it is good.
pub(crate) async fn take_reset(
    tx: &mut Tx,
    token: SecretHmac,
    now_ms: i64,
) -> Result<Option<String>, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar(
            "DELETE FROM password_resets WHERE token_hmac = $1 AND expires_at_unix_ms > $2 RETURNING user_id",
        )
        .bind(token.to_hex())
        .bind(now_ms)
        .fetch_optional(conn)
    })
    .map_err(away)
}

/// Whether a token is good, without using it up.
pub(crate) async fn is_reset(tx: &mut Tx, token: SecretHmac, now_ms: i64) -> Result<bool, Failure> {
    let whose: Option<String> = fetch!(tx.conn(), conn => {
        sqlx::query_scalar(
            "SELECT user_id FROM password_resets WHERE token_hmac = $1 AND expires_at_unix_ms > $2",
        )
        .bind(token.to_hex())
        .bind(now_ms)
        .fetch_optional(conn)
    })
    .map_err(away)?;
    Ok(whose.is_some())
}
