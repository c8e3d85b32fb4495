//! Logins that are away at a provider, and whose accounts elsewhere are.

use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute, fetch};

use super::away;
use crate::key::SecretHmac;

/// A login that is away.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Pending {
    pub provider: String,
    /// Empty for nowhere.
    pub return_to: String,
}

/// What tells one from others.
#[derive(Clone, Copy)]
pub(crate) struct Handle {
    pub state: SecretHmac,
    pub browser: SecretHmac,
}

/// Writes a login that begins, of which so many are kept: those that are over first are forgotten first.
pub(crate) async fn insert_login(
    tx: &mut Tx,
    handle: Handle,
    pending: &Pending,
    expires_ms: i64,
    kept: i64,
) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "DELETE FROM oidc_logins WHERE state_hmac IN (
                 SELECT state_hmac FROM oidc_logins ORDER BY expires_at_unix_ms DESC LIMIT 1000 OFFSET $1)",
        )
        .bind(kept - 1)
        .execute(conn)
    })
    .map_err(away)?;
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO oidc_logins (state_hmac, browser_hmac, provider, return_to, expires_at_unix_ms)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(handle.state.to_hex())
        .bind(handle.browser.to_hex())
        .bind(&pending.provider)
        .bind(&pending.return_to)
        .bind(expires_ms)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Ends the wait for a login, once: of two who do it at the same time one finds nothing.
pub(crate) async fn take_login(tx: &mut Tx, handle: Handle, now_ms: i64) -> Result<Option<Pending>, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "DELETE FROM oidc_logins WHERE state_hmac = $1 AND browser_hmac = $2 AND expires_at_unix_ms > $3
             RETURNING provider, return_to",
        )
        .bind(handle.state.to_hex())
        .bind(handle.browser.to_hex())
        .bind(now_ms)
        .fetch_optional(conn)
    })
    .map_err(away)
}

/// Whose an account elsewhere is.
pub(crate) async fn user_of_identity(
    tx: &mut Tx,
    issuer: &str,
    subject: &str,
) -> Result<Option<String>, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(issuer)
            .bind(subject)
            .fetch_optional(conn)
    })
    .map_err(away)
}

/// Whether a user has an account of an issuer.
pub(crate) async fn has_identity(tx: &mut Tx, issuer: &str, user_id: &str) -> Result<bool, Failure> {
    let one: Option<String> = fetch!(tx.conn(), conn => {
        sqlx::query_scalar("SELECT subject FROM identities WHERE user_id = $1 AND issuer = $2 LIMIT 1")
            .bind(user_id)
            .bind(issuer)
            .fetch_optional(conn)
    })
    .map_err(away)?;
    Ok(one.is_some())
}

/// Makes an account elsewhere a user's.
pub(crate) async fn insert_identity(
    tx: &mut Tx,
    (issuer, subject): (&str, &str),
    user_id: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO identities (issuer, subject, user_id, created_at_unix_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(issuer)
        .bind(subject)
        .bind(user_id)
        .bind(now_ms)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

#[cfg(test)]
mod tests {
    use headgate_kit::db::testing::TestDb;
    use headgate_kit::on_both_engines;

    use super::*;

    on_both_engines!(of_more_than_are_kept_those_that_end_first_are_forgotten);

    async fn of_more_than_are_kept_those_that_end_first_are_forgotten(db: TestDb) {
        let db = db.source("auth").open(&crate::MIGRATIONS).await.unwrap();
        let handle =
            |n: u8| Handle { state: SecretHmac::new([n; 32]), browser: SecretHmac::new([100 + n; 32]) };
        let pending = Pending { provider: "corp".into(), return_to: "/console".into() };
        let mut tx = db.begin().await.unwrap();
        for n in [1, 3, 2, 5, 4] {
            insert_login(&mut tx, handle(n), &pending, i64::from(n) * 1000, 3).await.unwrap();
        }
        let other = Handle { state: handle(5).state, browser: handle(4).browser };
        assert_eq!(take_login(&mut tx, other, 0).await.unwrap(), None);
        for (n, now_ms, found) in
            [(1, 0, false), (2, 0, false), (3, 0, true), (3, 0, false), (4, 4000, false), (5, 4999, true)]
        {
            let taken = take_login(&mut tx, handle(n), now_ms).await.unwrap();
            assert_eq!(taken, found.then(|| pending.clone()), "{n} at {now_ms}");
        }
    }
}
