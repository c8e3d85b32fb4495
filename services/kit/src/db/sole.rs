//! Being the only process that uses a schema in a way that two must not.
//!
//! The proof is a lock in PostgreSQL, which ends with the connection that took it: a process that dies gives it up by
//! that. A data folder needs no such lock, as one process has it at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::source::{Server, Source};
use super::{Engine, Error, within};

/// How often who waits asks for the lock, and who has it looks whether it is still there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often who lost its connection tries to get the lock back.
const RECLAIM_EVERY: Duration = Duration::from_millis(200);
/// How long who waits stands back when the server was away: whoever had the lock shall have it again.
const STAND_BACK: Duration = Duration::from_secs(5);
/// After how long the server notices that the other side is gone without a word, three times this.
const KEEPALIVE_SECONDS: &str = "5";

/// The lock's name within its database, with the schema's.
const PURPOSE: i32 = i32::from_be_bytes(*b"sole");

/// That this process is the only one. Clones are the same proof; when all are dropped, another process may follow.
#[derive(Clone)]
pub struct Sole {
    /// `None` for a file.
    held: Option<Arc<Held>>,
}

struct Held {
    server: Server,
    name: String,
    conn: Mutex<PgConnection>,
}

/// What became of asking for the lock.
enum Asked {
    Got,
    /// By a process of this name, as far as the server tells.
    Taken(Option<Holder>),
}

#[derive(sqlx::FromRow)]
struct Holder {
    name: Option<String>,
    pid: i32,
}

impl std::fmt::Debug for Sole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sole").field("is_shared", &self.held.is_some()).finish()
    }
}

impl Source {
    /// Waits until no other process is the only one that uses the schema. Meanwhile `part` is missing in readiness. The
    /// `process` tells this one from the others.
    ///
    /// # Errors
    /// When the server does not know what is asked of it.
    pub async fn sole(&self, part: &'static str, process: Uuid) -> Result<Sole, Error> {
        let Engine::Postgres(server) = &self.place else { return Ok(Sole { held: None }) };
        let name = format!("headgate {process}");
        let mut waiting = Waiting { source: self, part, latched: false };
        loop {
            let cause = match wait(server, &name, &mut waiting).await {
                Ok(conn) => {
                    self.report(None);
                    let held = Held { server: server.clone(), name, conn: Mutex::new(conn) };
                    return Ok(Sole { held: Some(Arc::new(held)) });
                }
                Err(cause) => Error::Sql(cause),
            };
            if !self.may_pass(&cause) {
                return Err(cause);
            }
            self.report_away(&cause);
            sleep(STAND_BACK).await;
        }
    }
}

/// Releases its part when it is dropped.
struct Waiting<'a> {
    source: &'a Source,
    part: &'static str,
    latched: bool,
}

impl Waiting<'_> {
    fn latch(&mut self) {
        if !std::mem::replace(&mut self.latched, true) {
            self.source.ready.latch(self.part);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.latched {
            self.source.ready.release(self.part);
        }
    }
}

/// A connection that has the lock, once nobody else has it.
async fn wait(server: &Server, name: &str, waiting: &mut Waiting<'_>) -> Result<PgConnection, sqlx::Error> {
    let mut conn = connect(server, name).await?;
    let mut told = false;
    loop {
        if let Asked::Got = ask(&mut conn, server.schema).await? {
            return Ok(conn);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(part = waiting.part, "waiting until the process that has this place is gone");
        }
        waiting.latch();
        sleep(LOOK_EVERY).await;
    }
}

impl Sole {
    /// Holds the place until `stop` is cancelled. Returns true when another process took it, which can be only while
    /// this one was cut off from the server: then this one must not go on.
    pub async fn lost(&self, stop: CancellationToken) -> bool {
        let Some(held) = &self.held else {
            stop.cancelled().await;
            return false;
        };
        stop.run_until_cancelled(Box::pin(held.keep())).await.is_some()
    }
}

impl Held {
    /// Returns when another process has the lock.
    async fn keep(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let there = within(async { self.conn.lock().await.ping().await }).await;
            if let Err(cause) = there {
                tracing::warn!(%cause, "cut off from the database, another process may take this one's place");
                if !self.reclaim().await {
                    return;
                }
                tracing::info!("this process has its place in the database again");
            }
        }
    }

    /// Whether the lock was free for this process still.
    async fn reclaim(&self) -> bool {
        loop {
            match self.try_reclaim().await {
                Ok(Asked::Got) => return true,
                Ok(Asked::Taken(Some(Holder { name: Some(name), .. }))) if name != self.name => return false,
                // Nobody, or this process's own connection, which the server has not missed yet.
                Ok(Asked::Taken(_)) => {}
                Err(cause) => tracing::debug!(%cause, "the database is still away"),
            }
            sleep(RECLAIM_EVERY).await;
        }
    }

    async fn try_reclaim(&self) -> Result<Asked, sqlx::Error> {
        let mut conn = connect(&self.server, &self.name).await?;
        let asked = ask(&mut conn, self.server.schema).await?;
        match &asked {
            Asked::Got => *self.conn.lock().await = conn,
            Asked::Taken(Some(Holder { name: Some(name), pid })) if *name == self.name => {
                let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid);
                within(end.execute(&mut conn)).await?;
            }
            Asked::Taken(_) => {}
        }
        Ok(asked)
    }
}

async fn connect(server: &Server, name: &str) -> Result<PgConnection, sqlx::Error> {
    // A host that vanished must not keep its place for hours.
    let options = server.options().application_name(name).options([
        ("tcp_keepalives_idle", KEEPALIVE_SECONDS),
        ("tcp_keepalives_interval", KEEPALIVE_SECONDS),
        ("tcp_keepalives_count", "2"),
        ("statement_timeout", "5s"),
    ]);
    within(options.connect()).await
}

/// Asks for the lock, which belongs to the connection from then on.
async fn ask(conn: &mut PgConnection, schema: &'static str) -> Result<Asked, sqlx::Error> {
    let got = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))").bind(PURPOSE).bind(schema);
    if within(got.fetch_one(&mut *conn)).await? {
        return Ok(Asked::Got);
    }
    // The second key is shown as an unsigned number.
    const HOLDER: &str = "SELECT activity.application_name AS name, locks.pid FROM pg_locks AS locks
        LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
        WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 2
            AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND locks.classid::bigint = $1 AND locks.objid::bigint = hashtext($2)::bigint & 4294967295";
    let holder = sqlx::query_as(HOLDER).bind(i64::from(PURPOSE)).bind(schema);
    Ok(Asked::Taken(within(holder.fetch_optional(conn)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Parts;
    use crate::db::testing::TestDb;
    use crate::server::Readiness;

    const PART: &str = "room: taken";
    const ENOUGH: Duration = Duration::from_secs(30);

    fn process(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    async fn within_reason<T>(work: impl Future<Output = T>) -> T {
        tokio::time::timeout(ENOUGH, work).await.expect("it took too long")
    }

    async fn until(condition: impl Fn() -> bool) {
        within_reason(async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn the_second_waits_and_says_so_until_the_first_is_gone() {
        let db = TestDb::postgres().await;
        let first = db.source("room").sole(PART, process(1)).await.unwrap();
        let other_room = db.source("other").sole(PART, process(2)).await.unwrap();
        let ready = Readiness::default();
        let parts = Parts { database: "database", migrations: "migrations" };
        let second = db.source("room").reported(&ready, parts);
        let second = tokio::spawn(async move { second.sole(PART, process(3)).await.unwrap() });
        until(|| ready.missing() == [PART]).await;
        // A clone is the same proof.
        drop((first.clone(), other_room));
        sleep(LOOK_EVERY * 2).await;
        assert!(!second.is_finished());
        drop(first);
        let second = within_reason(second).await.unwrap();
        assert!(ready.missing().is_empty());
        drop(second);
    }

    #[tokio::test]
    async fn who_was_cut_off_has_its_place_again_unless_another_took_it() {
        let db = TestDb::postgres().await;
        let first = db.source("room").sole(PART, process(1)).await.unwrap();
        let stop = CancellationToken::new();
        let kept = tokio::spawn({
            let (first, stop) = (first.clone(), stop.clone());
            async move { first.lost(stop).await }
        });
        db.cut_off().await;
        db.let_in().await;
        let held = first.held.clone().unwrap();
        within_reason(async {
            while held.conn.lock().await.ping().await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        stop.cancel();
        assert!(!kept.await.unwrap());

        db.cut_off().await;
        db.let_in().await;
        let second = within_reason(db.source("room").sole(PART, process(2))).await.unwrap();
        assert!(within_reason(first.lost(CancellationToken::new())).await);
        drop(second);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_not_missed_yet_is_ended() {
        let db = TestDb::postgres().await;
        let first = db.source("room").sole(PART, process(1)).await.unwrap();
        assert!(within_reason(first.held.unwrap().reclaim()).await);
    }

    #[tokio::test]
    async fn a_file_needs_no_lock() {
        let db = TestDb::sqlite();
        let _first = db.source("room").sole(PART, process(1)).await.unwrap();
        let second = db.source("room").sole(PART, process(2)).await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(!second.lost(stop).await);
    }
}
