//! The rows of the audit log.

use headgate_audit::{from_json, to_json};
use headgate_kit::db::Tx;
use headgate_kit::execute;
use headgate_proto::auth::v1::{AuditActor, AuditEvent, AuditOrigin};
use headgate_proto::timestamp;
use prost_types::Timestamp;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    at_unix_ms: i64,
    actor_kind: i32,
    user_id: String,
    email: String,
    address: String,
    user_agent: String,
    request_id: String,
    action: String,
    resource_kind: String,
    resource_id: String,
    tenant_id: String,
    outcome: i32,
    reason: i32,
    before_json: Option<String>,
    after_json: Option<String>,
}

impl Row {
    /// How large what is shown is.
    pub(super) fn bytes(&self) -> usize {
        [&self.before_json, &self.after_json].into_iter().flatten().map(String::len).sum()
    }
}

impl From<Row> for AuditEvent {
    fn from(row: Row) -> Self {
        let read = |json: Option<String>| json.as_deref().and_then(from_json);
        let actor = AuditActor { kind: row.actor_kind, user_id: row.user_id, email: row.email };
        let (address, user_agent, request_id) = (row.address, row.user_agent, row.request_id);
        Self {
            id: row.id,
            time: Some(timestamp(row.at_unix_ms)),
            actor: Some(actor),
            origin: Some(AuditOrigin { address, user_agent, request_id }),
            action: row.action,
            resource_kind: row.resource_kind,
            resource_id: row.resource_id,
            tenant_id: row.tenant_id,
            outcome: row.outcome,
            reason: row.reason,
            before: read(row.before_json),
            after: read(row.after_json),
        }
    }
}

/// Writes events. One that is there already stays as it is. Who did it is looked up where only the id is said.
pub(crate) async fn write<'a>(
    tx: &mut Tx,
    events: impl IntoIterator<Item = &'a AuditEvent>,
) -> Result<(), sqlx::Error> {
    for event in events {
        put(tx, event).await?;
    }
    Ok(())
}

async fn put(tx: &mut Tx, event: &AuditEvent) -> Result<(), sqlx::Error> {
    let (actor, origin) = (event.actor.clone().unwrap_or_default(), event.origin.clone().unwrap_or_default());
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO audit_log (id, at_unix_ms, actor_kind, user_id, email, address, user_agent, request_id,
                 action, resource_kind, resource_id, tenant_id, outcome, reason, before_json, after_json)
             VALUES ($1, $2, $3, $4, COALESCE(NULLIF($5, ''), (SELECT email FROM users WHERE id = $4), ''), $6, $7,
                 $8, $9, $10, $11, $12, $13, $14, $15, $16)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&event.id)
        .bind(unix_ms(event.time))
        .bind(actor.kind)
        .bind(&actor.user_id)
        .bind(&actor.email)
        .bind(&origin.address)
        .bind(&origin.user_agent)
        .bind(&origin.request_id)
        .bind(&event.action)
        .bind(&event.resource_kind)
        .bind(&event.resource_id)
        .bind(&event.tenant_id)
        .bind(event.outcome)
        .bind(event.reason)
        .bind(event.before.as_ref().map(to_json))
        .bind(event.after.as_ref().map(to_json))
        .execute(conn)
    })
    .map(drop)
}

/// As columns have a time. 0 for none.
pub(crate) fn unix_ms(time: Option<Timestamp>) -> i64 {
    let time = time.unwrap_or_default();
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}
