//! Memberships.

use headgate_access::{role_name, role_named};
use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute, fetch};

use super::away;
use crate::people::model::Membership;

#[derive(sqlx::FromRow)]
struct MembershipRow {
    tenant_id: String,
    user_id: String,
    role: String,
    created_at_unix_ms: i64,
    revision: i64,
    issuer: Option<String>,
}

impl MembershipRow {
    fn read(self) -> Result<Membership, Failure> {
        let role = role_named(&self.role);
        let role = role.ok_or_else(|| Failure::internal(format!("a membership's role {:?}", self.role)))?;
        let Self { tenant_id, user_id, created_at_unix_ms: created_ms, revision, issuer, .. } = self;
        Ok(Membership { tenant_id, user_id, role, created_ms, revision, issuer })
    }
}

/// One membership.
pub(crate) async fn membership(
    tx: &mut Tx,
    tenant_id: &str,
    user_id: &str,
) -> Result<Option<Membership>, Failure> {
    let row: Option<MembershipRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT * FROM memberships WHERE tenant_id = $1 AND user_id = $2")
            .bind(tenant_id)
            .bind(user_id)
            .fetch_optional(conn)
    })
    .map_err(away)?;
    row.map(MembershipRow::read).transpose()
}

/// A user's memberships, by tenant.
pub(crate) async fn memberships_of_user(tx: &mut Tx, user_id: &str) -> Result<Vec<Membership>, Failure> {
    let rows: Vec<MembershipRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT * FROM memberships WHERE user_id = $1 ORDER BY tenant_id")
            .bind(user_id)
            .fetch_all(conn)
    })
    .map_err(away)?;
    rows.into_iter().map(MembershipRow::read).collect()
}

/// A tenant's memberships by user, beginning behind `after`.
pub(crate) async fn memberships_of_tenant(
    tx: &mut Tx,
    tenant_id: &str,
    (after, limit): (&str, i64),
) -> Result<Vec<Membership>, Failure> {
    let rows: Vec<MembershipRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT * FROM memberships WHERE tenant_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
        )
        .bind(tenant_id)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
    })
    .map_err(away)?;
    rows.into_iter().map(MembershipRow::read).collect()
}

/// How many owners a tenant has.
pub(crate) async fn owners(tx: &mut Tx, tenant_id: &str) -> Result<i64, Failure> {
    fetch!(tx.conn(), conn => {
        sqlx::query_scalar("SELECT COUNT(*) FROM memberships WHERE tenant_id = $1 AND role = 'owner'")
            .bind(tenant_id)
            .fetch_one(conn)
    })
    .map_err(away)
}

/// Writes a membership, new or changed.
pub(crate) async fn put_membership(tx: &mut Tx, membership: &Membership) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO memberships (tenant_id, user_id, role, created_at_unix_ms, revision, issuer)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, user_id) DO UPDATE
             SET role = excluded.role, revision = excluded.revision, issuer = excluded.issuer",
        )
        .bind(&membership.tenant_id)
        .bind(&membership.user_id)
        .bind(role_name(membership.role))
        .bind(membership.created_ms)
        .bind(membership.revision)
        .bind(&membership.issuer)
        .execute(conn)
    })
    .map(drop)
    .map_err(away)
}

/// Ends a membership.
pub(crate) async fn delete_membership(tx: &mut Tx, tenant_id: &str, user_id: &str) -> Result<(), Failure> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2")
            .bind(tenant_id)
            .bind(user_id)
            .execute(conn)
    })
    .map(drop)
    .map_err(away)
}
