//! When keys were last used.

use std::collections::HashMap;
use std::time::Duration;

use headgate_kit::db::{self, Db, Tx};
use headgate_kit::{Failure, execute, fetch};
use parking_lot::RwLock;

/// How many one report may name, so that writing it is no long affair.
const AT_MOST: usize = 1_000;
/// How long to look for what other replicas were told, before what is known here has to do.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// The last use of every key, as far as routers told. What was told to this replica is known while the database is away.
pub(crate) struct Uses {
    db: Db,
    known: RwLock<HashMap<String, i64>>,
}

/// A key, and when it was used.
pub(crate) type Use = (String, i64);

impl Uses {
    /// Reads all of them.
    pub(crate) async fn load(db: Db) -> Result<Self, db::Error> {
        let all: Vec<Use> = fetch!(db.read(), pool => {
            sqlx::query_as("SELECT key_id, last_used_at_unix_ms FROM api_key_uses").fetch_all(pool)
        })?;
        Ok(Self { db, known: RwLock::new(all.into_iter().collect()) })
    }

    /// Takes note of uses. What is older than what is known changes nothing.
    pub(crate) async fn note(&self, mut uses: Vec<Use>) -> Result<(), Failure> {
        if uses.len() > AT_MOST {
            return Err(Failure::invalid("uses", format!("uses must be at most {AT_MOST}")));
        }
        uses.retain(|(id, at)| self.known(id).is_none_or(|known| known < *at));
        // In one order, so that replicas that write the same rows do not wait for each other in a circle.
        uses.sort_unstable();
        if !uses.is_empty() {
            self.write(&uses).await.map_err(|cause| Failure::unavailable("the key store", cause))?;
            self.learn(uses);
        }
        Ok(())
    }

    /// Makes sure that [`Uses::known`] tells of a key what other replicas were told.
    pub(crate) async fn look_for_key(&self, id: &str) {
        self.look(async || {
            fetch!(self.db.read(), pool => {
                sqlx::query_as("SELECT key_id, last_used_at_unix_ms FROM api_key_uses WHERE key_id = $1")
                    .bind(id)
                    .fetch_all(pool)
            })
        })
        .await;
    }

    /// The same of a tenant's keys.
    pub(crate) async fn look_for_tenant(&self, tenant_id: &str) {
        self.look(async || {
            fetch!(self.db.read(), pool => {
                sqlx::query_as(
                    "SELECT u.key_id, u.last_used_at_unix_ms FROM api_key_uses u
                     JOIN api_keys k ON k.id = u.key_id WHERE k.tenant_id = $1",
                )
                .bind(tenant_id)
                .fetch_all(pool)
            })
        })
        .await;
    }

    /// The same of what a user made for themselves.
    pub(crate) async fn look_for_user(&self, user_id: &str) {
        self.look(async || {
            fetch!(self.db.read(), pool => {
                sqlx::query_as(
                    "SELECT u.key_id, u.last_used_at_unix_ms FROM api_key_uses u
                     JOIN api_keys k ON k.id = u.key_id WHERE k.user_id = $1 AND k.personal",
                )
                .bind(user_id)
                .fetch_all(pool)
            })
        })
        .await;
    }

    /// When a key was last used, as far as is known here.
    pub(crate) fn known(&self, id: &str) -> Option<i64> {
        self.known.read().get(id).copied()
    }

    async fn look(&self, read: impl AsyncFnOnce() -> Result<Vec<Use>, sqlx::Error>) {
        // Nobody else writes into a file.
        if !self.db.is_shared() {
            return;
        }
        // That the database is away is told elsewhere, and what is known here is true, too.
        if let Ok(Ok(uses)) = tokio::time::timeout(LOOK_WITHIN, read()).await {
            self.learn(uses);
        }
    }

    fn learn(&self, uses: Vec<Use>) {
        let mut known = self.known.write();
        for (id, at) in uses {
            let last = known.entry(id).or_insert(at);
            *last = at.max(*last);
        }
    }

    async fn write(&self, uses: &[Use]) -> Result<(), sqlx::Error> {
        let mut tx = self.db.begin().await?;
        for used in uses {
            write_one(&mut tx, used).await?;
        }
        tx.commit().await
    }
}

async fn write_one(tx: &mut Tx, (id, at): &Use) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO api_key_uses (key_id, last_used_at_unix_ms) VALUES ($1, $2)
             ON CONFLICT (key_id) DO UPDATE SET last_used_at_unix_ms = excluded.last_used_at_unix_ms
             WHERE api_key_uses.last_used_at_unix_ms < excluded.last_used_at_unix_ms",
        )
        .bind(id)
        .bind(at)
        .execute(conn)
    })?;
    Ok(())
}
