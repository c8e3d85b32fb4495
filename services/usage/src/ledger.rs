//! The ledger's rows: how batches become rows and how rows are found again.

mod batch;
mod insert;
mod query;
mod row;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_kit::clock::Clock;
use headgate_kit::db::{Db, Tx};
use headgate_kit::{execute, ids};
use headgate_proto::record::v1::UsageRecord;

pub(crate) use self::batch::Rejected;
use self::batch::{Decoded, decode};
pub(crate) use self::query::{Cursor, Filter, Page, Summary};

/// The ledger. Clones share the database.
#[derive(Clone)]
pub(crate) struct Ledger {
    db: Db,
    clock: Clock,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Usage records by outcome (the proto's number), redeliveries included.
    pub(crate) written: Vec<(i32, u64)>,
    /// Records set aside.
    pub(crate) rejected: u64,
}

impl Ledger {
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Stores a whole batch in one transaction: all of it or, on an error, nothing. Doing it again changes nothing.
    pub(crate) async fn apply(&self, records: &[Bytes]) -> Result<Applied, sqlx::Error> {
        let Decoded { records, rejected } = decode(records);
        let applied = Applied { written: count_outcomes(&records), rejected: rejected.len() as u64 };
        let mut tx = self.db.begin().await?;
        insert::insert(&mut tx, records).await?;
        for record in rejected {
            self.set_aside(&mut tx, record).await?;
        }
        tx.commit().await?;
        Ok(applied)
    }

    async fn set_aside(&self, tx: &mut Tx, rejected: Rejected) -> Result<(), sqlx::Error> {
        execute!(tx.conn(), conn => {
            sqlx::query(
                "INSERT INTO rejected_records (id, rejected_at, reason, record) VALUES ($1, $2, $3, $4)",
            )
            .bind(ids::uuid(&self.clock).to_string())
            .bind(self.clock.unix_millis())
            .bind(rejected.reason)
            .bind(rejected.record.to_vec())
            .execute(conn)
        })?;
        Ok(())
    }

    /// The page of rows after `after`, newest first, `size` at most.
    pub(crate) async fn page(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        size: u32,
    ) -> Result<Page, sqlx::Error> {
        query::page(&self.db, filter, after, size).await
    }

    /// The sums over the rows that match.
    pub(crate) async fn summary(&self, filter: &Filter) -> Result<Summary, sqlx::Error> {
        query::summary(&self.db, filter).await
    }
}

fn count_outcomes(records: &[UsageRecord]) -> Vec<(i32, u64)> {
    let mut counts: Vec<(i32, u64)> = Vec::new();
    for record in records {
        match counts.iter_mut().find(|(outcome, _)| *outcome == record.outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((record.outcome, 1)),
        }
    }
    counts
}
