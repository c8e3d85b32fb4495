//! What a service has to tell, in its own database until auth has it.

use std::time::Duration;

use headgate_kit::conn::Conn;
use headgate_kit::db::{Db, Tx};
use headgate_kit::tasks::Tasks;
use headgate_kit::{execute, fetch, warn_seldom};
use headgate_proto::auth::v1::AuditEvent;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::delivery::{self, AT_ONCE, Pauses};
use crate::entry::Entry;

/// How large what one call tells may be, in bytes: far less than a message may be.
const MAX_BYTES: usize = 1024 * 1024;
/// How often is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Writes entries beside the change that they are about: they last if and only if it does.
///
/// # Errors
/// When the database is away.
pub async fn write(tx: &mut Tx, entries: &[Entry]) -> Result<(), sqlx::Error> {
    for entry in entries {
        let event = entry.event();
        execute!(tx.conn(), conn => {
            sqlx::query("INSERT INTO audit_outbox (id, event) VALUES ($1, $2)")
                .bind(&event.id)
                .bind(event.encode_to_vec())
                .execute(conn)
        })?;
    }
    Ok(())
}

/// Tells auth what was written, until the tasks are stopped. What cannot be told stays for the next try, or start.
pub fn deliver(db: Db, auth: Conn, tasks: &Tasks) {
    let stop = tasks.stopping();
    tasks.spawn(async move { run(&db, &auth, &stop).await });
}

async fn run(db: &Db, auth: &Conn, stop: &CancellationToken) {
    let mut pauses = Pauses::default();
    loop {
        let told = stop.run_until_cancelled(Box::pin(tell_some(db, auth))).await;
        let go_on = match told {
            None => false,
            Some(Ok(more)) => {
                pauses.went_well();
                more || stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some()
            }
            Some(Err(cause)) => {
                warn_seldom!(%cause, "the audit log is not told at present");
                pauses.wait(stop).await
            }
        };
        if !go_on {
            return;
        }
    }
}

/// Why nothing was told.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("auth: {}", .0.message())]
    Auth(#[from] tonic::Status),
}

/// Tells the oldest, and forgets them once auth has them. Whether there may be more.
async fn tell_some(db: &Db, auth: &Conn) -> Result<bool, Fault> {
    let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let mut rows: Vec<(String, Vec<u8>)> = fetch!(db.read(), pool => {
        sqlx::query_as("SELECT id, event FROM audit_outbox ORDER BY id LIMIT $1").bind(limit).fetch_all(pool)
    })?;
    if rows.is_empty() {
        return Ok(false);
    }
    let found = rows.len();
    rows.truncate(fitting(&rows));
    let events: Result<Vec<_>, _> =
        rows.iter().map(|(_, event)| AuditEvent::decode(event.as_slice())).collect();
    delivery::tell(auth, events.map_err(|cause| sqlx::Error::Decode(cause.into()))?).await?;
    let mut tx = db.begin().await?;
    for (id, _) in &rows {
        execute!(tx.conn(), conn => {
            sqlx::query("DELETE FROM audit_outbox WHERE id = $1").bind(id).execute(conn)
        })?;
    }
    tx.commit().await?;
    Ok(found >= AT_ONCE || rows.len() < found)
}

/// How many of the first rows one call tells; one at least.
fn fitting(rows: &[(String, Vec<u8>)]) -> usize {
    let sums = rows.iter().scan(0, |sum, (_, event)| {
        *sum += event.len();
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MAX_BYTES).count().max(1)
}
