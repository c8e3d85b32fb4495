//! Responses to replay, over a restart.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use headgate_kit::db::{Engine, within};
use headgate_kit::execute;
use sqlx::QueryBuilder;

use super::Store;
use crate::replays::{Entry, IdempotencyKey, Stored, TOTAL_MAX_BYTES};

type Row = (String, String, Vec<u8>, Vec<u8>, i64);

const LIVE: &str =
    "SELECT key_id, idempotency_key, request_sha256, response, expires_at_unix_ms FROM idempotency
    WHERE expires_at_unix_ms > $1 ORDER BY expires_at_unix_ms";

impl Store {
    /// Every response that has not expired, the oldest first, handed over one at a time.
    pub(crate) async fn load_replays(
        &self,
        now_ms: i64,
        mut each: impl FnMut(Entry),
    ) -> Result<(), sqlx::Error> {
        match self.db.read() {
            Engine::Postgres(pool) => {
                let mut rows = sqlx::query_as(LIVE).bind(now_ms).fetch(pool);
                while let Some(row) = within(rows.try_next()).await? {
                    entry(row).into_iter().for_each(&mut each);
                }
            }
            Engine::Sqlite(pool) => {
                let mut rows = sqlx::query_as(LIVE).bind(now_ms).fetch(pool);
                while let Some(row) = rows.try_next().await? {
                    entry(row).into_iter().for_each(&mut each);
                }
            }
        }
        Ok(())
    }

    /// Stores responses; one that was stored before under its key is replaced.
    pub(crate) async fn save_replays(&self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        execute!(self.db.write(), pool => {
            let mut sql = QueryBuilder::new(
                "INSERT INTO idempotency
                     (key_id, idempotency_key, request_sha256, response, expires_at_unix_ms) ",
            );
            sql.push_values(entries, |mut row, (key, stored)| {
                row.push_bind(key.key_id.as_str())
                    .push_bind(key.key.as_str())
                    .push_bind(&stored.request_sha256[..])
                    .push_bind(&stored.response[..])
                    .push_bind(stored.expires_at);
            });
            sql.push(
                " ON CONFLICT (key_id, idempotency_key) DO UPDATE SET request_sha256 = excluded.request_sha256,
                 response = excluded.response, expires_at_unix_ms = excluded.expires_at_unix_ms",
            );
            async move { sql.build().persistent(false).execute(pool).await }
        })?;
        Ok(())
    }

    /// Forgets what has expired, and the oldest of what is too much.
    pub(crate) async fn prune_replays(&self, now_ms: i64) -> Result<(), sqlx::Error> {
        execute!(self.db.write(), pool => {
            sqlx::query("DELETE FROM idempotency WHERE expires_at_unix_ms <= $1").bind(now_ms).execute(pool)
        })?;
        execute!(self.db.write(), pool => {
            sqlx::query(
                "DELETE FROM idempotency WHERE (key_id, idempotency_key) IN (
                     SELECT key_id, idempotency_key FROM (
                         SELECT key_id, idempotency_key, SUM(length(response)) OVER (
                             ORDER BY expires_at_unix_ms DESC, key_id, idempotency_key) AS total
                         FROM idempotency) AS newest_first
                     WHERE total > $1)",
            )
            .bind(i64::from(TOTAL_MAX_BYTES))
            .execute(pool)
        })?;
        Ok(())
    }
}

fn entry((key_id, key, sha256, response, expires_at): Row) -> Option<Entry> {
    let request_sha256 = <[u8; 32]>::try_from(sha256).ok()?;
    let stored = Stored { request_sha256, response: Bytes::from(response), expires_at };
    Some((IdempotencyKey { key_id, key }, stored))
}
