//! Users.

use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute, fetch};
use headgate_proto::auth::v1::UserStatus;

use super::away;
use crate::people::model::{PasswordHash, User};

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    id: String,
    email: String,
    name: String,
    status: String,
    super_admin: bool,
    generation: i64,
    password_hash: Option<String>,
    created_at_unix_ms: i64,
    last_login_at_unix_ms: Option<i64>,
    revision: i64,
    super_admin_issuer: Option<String>,
    vouched_by: Option<String>,
}

impl UserRow {
    pub(super) fn read(self) -> Result<User, Failure> {
        let status = match self.status.as_str() {
            "active" => UserStatus::Active,
            "suspended" => UserStatus::Suspended,
            other => return Err(Failure::internal(format!("user {}: status {other:?}", self.id))),
        };
        Ok(User {
            id: self.id,
            email: self.email,
            name: self.name,
            status,
            super_admin: self.super_admin,
            super_admin_issuer: self.super_admin_issuer,
            generation: u64::try_from(self.generation).map_err(Failure::internal)?,
            password: self.password_hash.map(PasswordHash),
            vouched_by: self.vouched_by,
            created_ms: self.created_at_unix_ms,
            last_login_ms: self.last_login_at_unix_ms,
            revision: self.revision,
        })
    }
}

fn all(rows: Vec<UserRow>) -> Result<Vec<User>, Failure> {
    rows.into_iter().map(UserRow::read).collect()
}

fn status_text(status: UserStatus) -> &'static str {
    match status {
        UserStatus::Active => "active",
        // Unspecified never gets here: requests without a status change none.
        UserStatus::Suspended | UserStatus::Unspecified => "suspended",
    }
}

/// The user of an id.
pub(crate) async fn user(tx: &mut Tx, id: &str) -> Result<Option<User>, Failure> {
    let row: Option<UserRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_optional(conn)
    })
    .map_err(away)?;
    row.map(UserRow::read).transpose()
}

/// The user of an e-mail address in lower case.
pub(crate) async fn user_with_email(tx: &mut Tx, email: &str) -> Result<Option<User>, Failure> {
    let row: Option<UserRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(email).fetch_optional(conn)
    })
    .map_err(away)?;
    row.map(UserRow::read).transpose()
}

/// Whether there is any.
pub(crate) async fn any_user(tx: &mut Tx) -> Result<bool, Failure> {
    let one: Option<String> =
        fetch!(tx.conn(), conn => sqlx::query_scalar("SELECT id FROM users LIMIT 1").fetch_optional(conn))
            .map_err(away)?;
    Ok(one.is_some())
}

/// How many active users are super admins.
pub(crate) async fn super_admins(tx: &mut Tx) -> Result<i64, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE super_admin AND status = 'active'").fetch_one(conn)
    })
    .map_err(away)
}

/// Users by id, beginning behind `after`; of one e-mail address and status where these are given.
pub(crate) async fn list_users(
    tx: &mut Tx,
    (after, limit): (&str, i64),
    email: Option<&str>,
    status: Option<UserStatus>,
) -> Result<Vec<User>, Failure> {
    let rows: Vec<UserRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT * FROM users WHERE id > $1 AND ($2 = '' OR email = $2) AND ($3 = '' OR status = $3)
             ORDER BY id LIMIT $4",
        )
        .bind(after)
        .bind(email.unwrap_or_default())
        .bind(status.map(status_text).unwrap_or_default())
        .bind(limit)
        .fetch_all(conn)
    })
    .map_err(away)?;
    all(rows)
}

/// Users whose e-mail address or name contains `part`, in whatever case, by e-mail address.
pub(crate) async fn find_users(tx: &mut Tx, part: &str, limit: i64) -> Result<Vec<User>, Failure> {
    let part = part.to_lowercase();
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    let rows: Vec<UserRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT * FROM users WHERE email LIKE $1 ESCAPE '!' OR name_folded LIKE $1 ESCAPE '!'
             ORDER BY email LIMIT $2",
        )
        .bind(&pattern)
        .bind(limit)
        .fetch_all(conn)
    })
    .map_err(away)?;
    all(rows)
}

/// Writes a new user.
pub(crate) async fn insert_user(tx: &mut Tx, user: &User) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO users (id, email, name, status, super_admin, generation, password_hash,
                 created_at_unix_ms, last_login_at_unix_ms, revision, name_folded, super_admin_issuer,
                 vouched_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(&user.id)
        .bind(&user.email)
        .bind(&user.name)
        .bind(status_text(user.status))
        .bind(user.super_admin)
        .bind(i64::try_from(user.generation).unwrap_or(i64::MAX))
        .bind(user.password.as_ref().map(|hash| hash.0.as_str()))
        .bind(user.created_ms)
        .bind(user.last_login_ms)
        .bind(user.revision)
        .bind(user.name.to_lowercase())
        .bind(&user.super_admin_issuer)
        .bind(&user.vouched_by)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Writes whatever may change of a user, but the time of the last login.
pub(crate) async fn update_user(tx: &mut Tx, user: &User) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "UPDATE users SET name = $2, status = $3, super_admin = $4, generation = $5, password_hash = $6,
                 revision = $7, name_folded = $8, super_admin_issuer = $9, vouched_by = $10
             WHERE id = $1",
        )
        .bind(&user.id)
        .bind(&user.name)
        .bind(status_text(user.status))
        .bind(user.super_admin)
        .bind(i64::try_from(user.generation).unwrap_or(i64::MAX))
        .bind(user.password.as_ref().map(|hash| hash.0.as_str()))
        .bind(user.revision)
        .bind(user.name.to_lowercase())
        .bind(&user.super_admin_issuer)
        .bind(&user.vouched_by)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Notes a login, unless the user changed since they were looked at: then nothing may be issued on what was true before.
pub(crate) async fn logged_in(tx: &mut Tx, user: &User, now_ms: i64) -> Result<bool, Failure> {
    let noted = execute!(tx.conn(), conn => {
        sqlx::query("UPDATE users SET last_login_at_unix_ms = $3 WHERE id = $1 AND generation = $2")
            .bind(&user.id)
            .bind(i64::try_from(user.generation).unwrap_or(i64::MAX))
            .bind(now_ms)
            .execute(conn)
    })
    .map_err(away)?;
    Ok(noted == 1)
}
