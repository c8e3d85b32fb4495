//! The budget service's tables.

mod batch;
pub(crate) mod policies;
pub(crate) mod replays;
pub(crate) mod spend;

use std::path::Path;

use headgate_kit::db::{self, Db};
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;

/// The one connection that writes. Who holds it until memory is changed too, keeps both in the same order.
pub(crate) type Writer = PoolConnection<Sqlite>;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

impl Store {
    pub(crate) async fn open(path: &Path) -> Result<Self, db::Error> {
        Ok(Self { db: Db::open(path, &sqlx::migrate!("../../migrations/budget")).await? })
    }

    pub(crate) async fn writer(&self) -> Result<Writer, sqlx::Error> {
        self.db.write.acquire().await
    }
}
