//! The catalog on disk.

mod default_model;
mod health;
mod models;
mod prices;
mod providers;
mod tenant_models;

use std::time::Duration;

use headgate_audit::{Entry, outbox};
use headgate_kit::db::{self, Db, Tx};
use headgate_kit::error::ErrorReason;
use headgate_kit::seeds::{self, Applied};
use headgate_kit::{Failure, execute, fetch};
use headgate_proto::catalog::v1::{Model, ModelPrice};

use crate::BuildError;
use crate::change::Change;
use crate::health::Health;
use crate::price_list;
use crate::state::{Revisions, State};

const REVISIONS: &str = "SELECT revision, health_revision FROM meta";
/// What other replicas must leave of an interval between two rounds of probes, as their clocks and pauses differ.
const TURN_PERCENT: u128 = 80;

/// The database of this service.
pub(crate) struct Store(pub Db);

/// A change under way. Nobody else makes one meanwhile, in whatever process.
pub(crate) struct Writing {
    tx: Tx,
    /// What others left.
    last: Revisions,
    /// The revision that the change makes.
    next: u64,
}

/// What others changed.
pub(crate) enum Missed {
    Nothing,
    /// Health alone.
    Health(Vec<(String, Health)>, Revisions),
    Much(Box<State>),
}

impl Store {
    /// Reads everything.
    pub(crate) async fn load(&self) -> Result<State, BuildError> {
        let mut tx = self.0.begin_read().await.map_err(db::Error::from)?;
        let revisions = revisions(&mut tx).await?;
        let state = everything(&mut tx, revisions).await?;
        tx.rollback().await.map_err(db::Error::from)?;
        Ok(state)
    }

    /// The revisions of the last changes.
    pub(crate) async fn revisions(&self) -> Result<Revisions, BuildError> {
        let row = fetch!(self.0.read(), pool => sqlx::query_as(REVISIONS).fetch_one(pool));
        from_row(row.map_err(db::Error::from)?)
    }

    /// What others changed since these revisions.
    pub(crate) async fn missed(&self, known: Revisions) -> Result<Missed, BuildError> {
        let mut tx = self.0.begin_read().await.map_err(db::Error::from)?;
        let last = revisions(&mut tx).await?;
        let missed = missed(&mut tx, known, last).await?;
        tx.rollback().await.map_err(db::Error::from)?;
        Ok(missed)
    }

    /// What a model cost, newest first: so many rows, of revisions before `before` where that is given.
    pub(crate) async fn prices(
        &self,
        model_id: &str,
        before: Option<u64>,
        rows: i64,
    ) -> Result<Vec<ModelPrice>, BuildError> {
        prices::list(
            &self.0,
            model_id,
            before.and_then(|revision| signed(revision).ok()).unwrap_or(i64::MAX),
            rows,
        )
        .await
    }

    /// Notes what models cost where that is not the last that was noted: they are older than their history, or an
    /// earlier version changed them. Returns how many.
    pub(crate) async fn note_prices(&self) -> Result<usize, BuildError> {
        let mut tx = self.0.begin_read().await.map_err(db::Error::from)?;
        let known = prices::latest(&mut tx).await?;
        let mut models = models::load(&mut tx).await?;
        tx.rollback().await.map_err(db::Error::from)?;
        models.retain(|model| known.get(&model.id).is_none_or(|last| !price_list::is_of(last, model)));
        if models.is_empty() {
            return Ok(0);
        }
        let mut tx = self.0.begin().await.map_err(db::Error::from)?;
        for model in &models {
            prices::put(&mut tx, model, revision_of(model)).await.map_err(db::Error::from)?;
        }
        tx.commit().await.map_err(db::Error::from)?;
        Ok(models.len())
    }

    /// Begins a change.
    pub(crate) async fn begin(&self) -> Result<Writing, Failure> {
        const LOCK: &str = "UPDATE meta SET revision = revision RETURNING revision, health_revision";
        let mut tx = self.0.begin().await.map_err(away)?;
        // Waits here for whoever else makes a change.
        let row = fetch!(tx.conn(), conn => sqlx::query_as(LOCK).fetch_one(conn)).map_err(away)?;
        let last = from_row(row).map_err(Failure::internal)?;
        Ok(Writing { tx, last, next: behind(last.catalog)? })
    }

    /// Whether nobody probed all providers for most of `interval`. If so, whoever asks has said that it does.
    pub(crate) async fn is_turn_to_probe(
        &self,
        now_unix_ms: i64,
        interval: Duration,
    ) -> Result<bool, Failure> {
        let least = i64::try_from(interval.as_millis() * TURN_PERCENT / 100).unwrap_or(i64::MAX);
        // A time to come is that of a clock which is wrong, here or there.
        let changed = execute!(self.0.write(), pool => {
            sqlx::query(
                "UPDATE meta SET probed_at_unix_ms = $1
                 WHERE probed_at_unix_ms <= $2 OR probed_at_unix_ms > $3",
            )
            .bind(now_unix_ms)
            .bind(now_unix_ms.saturating_sub(least))
            .bind(now_unix_ms.saturating_add(least))
            .execute(pool)
        });
        Ok(changed.map_err(away)? > 0)
    }
}

impl Writing {
    /// The revision that the change makes.
    pub(crate) fn revision(&self) -> u64 {
        self.next
    }

    /// Makes the change's revision higher than another.
    pub(crate) fn leap(&mut self, beyond: u64) -> Result<(), Failure> {
        self.next = self.next.max(behind(beyond)?);
        Ok(())
    }

    /// What others changed since these revisions.
    pub(crate) async fn missed(&mut self, known: Revisions) -> Result<Missed, Failure> {
        let missed = missed(&mut self.tx, known, self.last).await;
        missed.map_err(|cause| Failure::unavailable("the catalog's store", cause))
    }

    /// What the bootstrap applied before.
    pub(crate) async fn applied(&mut self) -> Result<Vec<Applied>, Failure> {
        seeds::applied(&mut self.tx).await.map_err(away)
    }

    /// Writes a change and the revisions it makes, which are returned: all of it, or nothing. `before` has the models
    /// that it changes, as they are, `entries` what the audit log is told.
    pub(crate) async fn put(
        self,
        change: &Change,
        before: &[Model],
        entries: &[Entry],
    ) -> Result<Revisions, Failure> {
        self.try_put(change, before, entries).await.map_err(|cause| match &cause {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Failure::new(ErrorReason::AlreadyExists, "the id or name is taken")
            }
            sqlx::Error::Database(e) if e.is_foreign_key_violation() => {
                Failure::new(ErrorReason::Conflict, "something still refers to it")
            }
            _ => away(cause),
        })
    }

    async fn try_put(
        mut self,
        change: &Change,
        before: &[Model],
        entries: &[Entry],
    ) -> Result<Revisions, sqlx::Error> {
        let revisions = Revisions {
            catalog: if change.makes_revision() { self.revision() } else { self.last.catalog },
            health: self.last.health + u64::from(!change.health.is_empty()),
        };
        let tx = &mut self.tx;
        for model in before {
            // An earlier version may have changed it.
            prices::note(tx, model, revision_of(model)).await?;
        }
        for id in &change.removed_model_ids {
            models::remove(tx, id).await?;
        }
        for id in &change.removed_provider_ids {
            providers::remove(tx, id).await?;
        }
        for provider in &change.providers {
            providers::put(tx, provider, revisions.catalog).await?;
        }
        for model in &change.models {
            models::put(tx, model, revisions.catalog).await?;
            prices::note(tx, model, revisions.catalog).await?;
        }
        for list in &change.tenant_models {
            tenant_models::put(tx, list, revisions.catalog).await?;
        }
        if let Some(default) = &change.default_model {
            default_model::put(tx, default, revisions.catalog).await?;
        }
        for (provider_id, health) in &change.health {
            health::put(tx, provider_id, health).await?;
        }
        change.seeded.write(tx).await?;
        outbox::write(tx, entries).await?;
        execute!(tx.conn(), conn => {
            sqlx::query("UPDATE meta SET revision = $1, health_revision = $2")
                .bind(signed(revisions.catalog)?)
                .bind(signed(revisions.health)?)
            .execute(conn)
        })?;
        self.tx.commit().await?;
        Ok(revisions)
    }
}

async fn revisions(tx: &mut Tx) -> Result<Revisions, BuildError> {
    let row = fetch!(tx.conn(), conn => sqlx::query_as(REVISIONS).fetch_one(conn));
    from_row(row.map_err(db::Error::from)?)
}

fn from_row((catalog, health): (i64, i64)) -> Result<Revisions, BuildError> {
    Ok(Revisions { catalog: unsigned(catalog)?, health: unsigned(health)? })
}

async fn missed(tx: &mut Tx, known: Revisions, last: Revisions) -> Result<Missed, BuildError> {
    if last.catalog != known.catalog {
        return Ok(Missed::Much(Box::new(everything(tx, last).await?)));
    }
    if last.health != known.health {
        return Ok(Missed::Health(health::load(tx).await?, last));
    }
    Ok(Missed::Nothing)
}

async fn everything(tx: &mut Tx, revisions: Revisions) -> Result<State, BuildError> {
    let everything = Change {
        providers: providers::load(tx).await?,
        models: models::load(tx).await?,
        tenant_models: tenant_models::load(tx).await?,
        default_model: default_model::load(tx).await?,
        health: health::load(tx).await?,
        ..Change::default()
    };
    let mut state = State::default();
    state.apply(&everything, revisions);
    Ok(state)
}

fn away(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the catalog's store", cause)
}

/// The revision that changed a model last.
fn revision_of(model: &Model) -> u64 {
    model.etag.parse().unwrap_or_default()
}

/// The revision after another. None can be the last, as two changes would have the same then.
fn behind(revision: u64) -> Result<u64, Failure> {
    let next = revision.checked_add(1).filter(|next| signed(*next).is_ok());
    next.ok_or_else(|| Failure::internal("the catalog has no revision left"))
}

/// A number that this program counts, as it is stored.
fn signed(number: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(number).map_err(|cause| sqlx::Error::Encode(cause.into()))
}

/// A number that is never negative and fits its type, unless somebody else wrote it.
fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, BuildError> {
    T::try_from(number).map_err(|_| BuildError::Corrupt(format!("{number} is out of range")))
}

fn unix_ms(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000)
}
