//! The budget service's tables.

mod batch;
pub(crate) mod policies;
pub(crate) mod quota;
pub(crate) mod replays;
mod rows;
pub(crate) mod seed;
pub(crate) mod set;
pub(crate) mod spend;
pub(crate) mod totals;

use std::sync::Arc;

use headgate_kit::db::{self, Db, Source, Tx};
use headgate_kit::{execute, fetch};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
    order: Arc<Mutex<()>>,
}

/// The right to write. Who holds it until memory is changed too, keeps both in the same order within this process.
pub(crate) struct Writer {
    db: Db,
    _order: OwnedMutexGuard<()>,
}

impl Store {
    /// Notes which key seals in this database, where none did yet, and tells which does.
    pub(crate) async fn sealing_check(&self, ours: Option<&str>) -> Result<Option<String>, db::Error> {
        if let Some(ours) = ours {
            execute!(self.db.write(), pool => {
                sqlx::query("UPDATE sealing SET key_check = $1 WHERE key_check IS NULL").bind(ours).execute(pool)
            })?;
        }
        Ok(
            fetch!(self.db.write(), pool => sqlx::query_scalar("SELECT key_check FROM sealing").fetch_one(pool))?,
        )
    }

    pub(crate) async fn open(source: &Source) -> Result<Self, db::Error> {
        Ok(Self { db: source.open(&crate::MIGRATIONS).await?, order: Arc::default() })
    }

    pub(crate) async fn writer(&self) -> Writer {
        Writer { db: self.db.clone(), _order: Arc::clone(&self.order).lock_owned().await }
    }
}

impl Writer {
    async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.db.begin().await
    }
}
