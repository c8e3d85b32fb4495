//! The catalog on disk.

mod models;
mod providers;
mod tenant_models;

use headgate_kit::Failure;
use headgate_kit::db::{self, Db};
use headgate_kit::error::ErrorReason;
use sqlx::{Sqlite, Transaction};

use crate::BuildError;
use crate::change::Change;
use crate::state::State;

type Tx<'a> = Transaction<'a, Sqlite>;

/// The database of this service.
pub(crate) struct Store(Db);

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Reads everything.
    pub(crate) async fn load(&self) -> Result<State, BuildError> {
        let mut tx = self.0.read.begin().await.map_err(db::Error::from)?;
        let revision: i64 = sqlx::query_scalar("SELECT revision FROM meta")
            .fetch_one(&mut *tx)
            .await
            .map_err(db::Error::from)?;
        let everything = Change {
            providers: providers::load(&mut tx).await?,
            models: models::load(&mut tx).await?,
            tenant_models: tenant_models::load(&mut tx).await?,
            ..Change::default()
        };
        let mut state = State::default();
        state.apply(&everything, unsigned(revision)?);
        Ok(state)
    }

    /// Writes a change and the revision it makes, which is returned: all of it, or nothing.
    pub(crate) async fn put(&self, change: &Change) -> Result<u64, Failure> {
        let revision = self.try_put(change).await.map_err(|cause| match &cause {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Failure::new(ErrorReason::AlreadyExists, "the id or name is taken")
            }
            sqlx::Error::Database(e) if e.is_foreign_key_violation() => {
                Failure::new(ErrorReason::Conflict, "something still refers to it")
            }
            _ => Failure::unavailable("the catalog's store", cause),
        })?;
        u64::try_from(revision).map_err(Failure::internal)
    }

    async fn try_put(&self, change: &Change) -> Result<i64, sqlx::Error> {
        let mut tx = self.0.write.begin().await?;
        let revision = sqlx::query_scalar("UPDATE meta SET revision = revision + 1 RETURNING revision")
            .fetch_one(&mut *tx)
            .await?;
        for id in &change.removed_model_ids {
            models::remove(&mut tx, id).await?;
        }
        for id in &change.removed_provider_ids {
            providers::remove(&mut tx, id).await?;
        }
        for provider in &change.providers {
            providers::put(&mut tx, provider).await?;
        }
        for model in &change.models {
            models::put(&mut tx, model).await?;
        }
        for list in &change.tenant_models {
            tenant_models::put(&mut tx, list).await?;
        }
        tx.commit().await?;
        Ok(revision)
    }
}

/// A number that is never negative and fits its type, unless somebody else wrote it.
fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, BuildError> {
    T::try_from(number).map_err(|_| BuildError::Corrupt(format!("{number} is out of range")))
}

fn unix_ms(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000)
}
