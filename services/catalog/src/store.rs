//! The catalog on disk.

mod models;
mod providers;
mod tenant_models;

use headgate_kit::db::{self, Db, Tx};
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, fetch};

use crate::BuildError;
use crate::change::Change;
use crate::state::State;

const REVISION: &str = "SELECT revision FROM meta";

/// The database of this service.
pub(crate) struct Store(pub Db);

/// A change under way. Nobody else makes one meanwhile, in whatever process.
pub(crate) struct Writing {
    tx: Tx,
    revision: u64,
}

impl Store {
    /// Reads everything.
    pub(crate) async fn load(&self) -> Result<State, BuildError> {
        let mut tx = self.0.begin_read().await.map_err(db::Error::from)?;
        let revision = fetch!(tx.conn(), conn => sqlx::query_scalar(REVISION).fetch_one(conn));
        let state = everything(&mut tx, unsigned(revision.map_err(db::Error::from)?)?).await?;
        tx.rollback().await.map_err(db::Error::from)?;
        Ok(state)
    }

    /// The revision of the last change.
    pub(crate) async fn revision(&self) -> Result<u64, BuildError> {
        let revision = fetch!(self.0.read(), pool => sqlx::query_scalar(REVISION).fetch_one(pool));
        unsigned(revision.map_err(db::Error::from)?)
    }

    /// Begins a change.
    pub(crate) async fn begin(&self) -> Result<Writing, Failure> {
        let mut tx = self.0.begin().await.map_err(away)?;
        // Waits here for whoever else makes a change.
        let revision: i64 = fetch!(tx.conn(), conn => {
            sqlx::query_scalar("UPDATE meta SET revision = revision + 1 RETURNING revision").fetch_one(conn)
        })
        .map_err(away)?;
        Ok(Writing { tx, revision: u64::try_from(revision).map_err(Failure::internal)? })
    }
}

impl Writing {
    /// The revision that the change makes.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything as others left it, unless it is known at this revision.
    pub(crate) async fn missed(&mut self, known: u64) -> Result<Option<State>, Failure> {
        let last = self.revision - 1;
        if last == known {
            return Ok(None);
        }
        let state = everything(&mut self.tx, last).await;
        state.map(Some).map_err(|cause| Failure::unavailable("the catalog's store", cause))
    }

    /// Writes a change and the revision it makes, which is returned: all of it, or nothing.
    pub(crate) async fn put(self, change: &Change) -> Result<u64, Failure> {
        self.try_put(change).await.map_err(|cause| match &cause {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Failure::new(ErrorReason::AlreadyExists, "the id or name is taken")
            }
            sqlx::Error::Database(e) if e.is_foreign_key_violation() => {
                Failure::new(ErrorReason::Conflict, "something still refers to it")
            }
            _ => away(cause),
        })
    }

    async fn try_put(mut self, change: &Change) -> Result<u64, sqlx::Error> {
        let tx = &mut self.tx;
        for id in &change.removed_model_ids {
            models::remove(tx, id).await?;
        }
        for id in &change.removed_provider_ids {
            providers::remove(tx, id).await?;
        }
        for provider in &change.providers {
            providers::put(tx, provider, self.revision).await?;
        }
        for model in &change.models {
            models::put(tx, model, self.revision).await?;
        }
        for list in &change.tenant_models {
            tenant_models::put(tx, list).await?;
        }
        self.tx.commit().await?;
        Ok(self.revision)
    }
}

async fn everything(tx: &mut Tx, revision: u64) -> Result<State, BuildError> {
    let everything = Change {
        providers: providers::load(tx).await?,
        models: models::load(tx).await?,
        tenant_models: tenant_models::load(tx).await?,
        ..Change::default()
    };
    let mut state = State::default();
    state.apply(&everything, revision);
    Ok(state)
}

fn away(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the catalog's store", cause)
}

/// A number that this program counts, as it is stored.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative and fits its type, unless somebody else wrote it.
fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, BuildError> {
    T::try_from(number).map_err(|_| BuildError::Corrupt(format!("{number} is out of range")))
}

fn unix_ms(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000)
}
