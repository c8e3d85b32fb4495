//! What a configuration seeds, in one transaction, in which is noted what of it was applied.

use headgate_audit::{Entry, outbox};
use headgate_kit::Failure;
use headgate_kit::db::Tx;
use headgate_kit::seeds::{self, Due};

use super::Writer;
use super::policies::DEFAULT;
use super::rows::{Place, budget_at, limits_at, put_budget, put_limits, touch};
use crate::alerts::Vault;
use crate::change::Change;
use crate::policy::{Limits, Scope};
use crate::terms::{Kept, Terms};

/// What limits and budgets are called among entries.
pub(crate) const LIMITS: &str = "limits";
pub(crate) const BUDGET: &str = "budget";

/// Limits and budgets that are wanted, as far as they are due. The budget of no scope is that of those who have none of
/// their own.
pub(crate) struct Wanted {
    pub(crate) entries: Vec<seeds::Entry>,
    pub(crate) limits: Vec<(Scope, Limits)>,
    pub(crate) budgets: Vec<(Option<Scope>, Terms)>,
}

/// What was changed, and by which change.
#[derive(Default)]
pub(crate) struct Seeded {
    pub(crate) revision: i64,
    pub(crate) limits: Vec<(Scope, Limits)>,
    pub(crate) budgets: Vec<(Option<Scope>, Kept)>,
}

/// A change under way.
struct Seeding<'a> {
    tx: Tx,
    vault: &'a Vault,
    change: &'a Change,
    now_ms: i64,
    told: Vec<Entry>,
    seeded: Seeded,
}

/// Sets what is due, unless it is set already: all of it or nothing. A refusal where a URL is missing.
pub(crate) async fn seed(
    writer: &Writer,
    vault: &Vault,
    wanted: Wanted,
    change: &Change,
    now_ms: i64,
) -> Result<Result<Seeded, Failure>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let revision = touch(&mut tx).await?;
    let applied = seeds::applied(&mut tx).await?;
    let due = match Due::of(&wanted.entries, &applied, vault.key()) {
        Ok(due) if !due.is_empty() => due,
        settled => {
            tx.rollback().await?;
            return Ok(settled.map(|_| Seeded::default()));
        }
    };
    due.write(&mut tx).await?;
    let seeded = Seeded { revision, ..Seeded::default() };
    let seeding = Seeding { tx, vault, change, now_ms, told: Vec::new(), seeded };
    seeding.run(wanted, &due).await
}

/// What the entry about a scope is called, or about those who have none of their own.
pub(crate) fn name(scope: Option<&Scope>) -> String {
    let (kind, id) = place(scope);
    format!("{kind} {id}")
}

impl Seeding<'_> {
    async fn run(mut self, wanted: Wanted, due: &Due) -> Result<Result<Seeded, Failure>, sqlx::Error> {
        for (scope, limits) in wanted.limits {
            if due.has(LIMITS, &name(Some(&scope)))
                && let Err(fault) = self.limits(scope, limits).await?
            {
                return self.give_up(fault).await;
            }
        }
        for (scope, terms) in wanted.budgets {
            if due.has(BUDGET, &name(scope.as_ref()))
                && let Err(fault) = self.budget(scope, terms).await?
            {
                return self.give_up(fault).await;
            }
        }
        outbox::write(&mut self.tx, &self.told).await?;
        self.tx.commit().await?;
        Ok(Ok(self.seeded))
    }

    async fn give_up(self, fault: Failure) -> Result<Result<Seeded, Failure>, sqlx::Error> {
        self.tx.rollback().await?;
        Ok(Err(fault))
    }

    async fn limits(&mut self, scope: Scope, limits: Limits) -> Result<Result<(), Failure>, sqlx::Error> {
        let old = limits_at(&mut self.tx, scope.parts()).await?.map(|row| row.limits());
        if old == Some(limits) {
            return Ok(Ok(()));
        }
        put_limits(&mut self.tx, scope.parts(), limits, self.seeded.revision, self.now_ms).await?;
        let told = self.change.of_limits(&scope, old, Some(limits), self.now_ms);
        self.seeded.limits.push((scope, limits));
        Ok(told.map(|told| self.told.extend(told)))
    }

    async fn budget(
        &mut self,
        scope: Option<Scope>,
        terms: Terms,
    ) -> Result<Result<(), Failure>, sqlx::Error> {
        let place = place(scope.as_ref());
        let old = budget_at(&mut self.tx, self.vault, place).await?.map(|(old, _)| old);
        let kept = match terms.over(old.as_ref()) {
            Ok(kept) if old.as_ref() != Some(&kept) => kept,
            settled => return Ok(settled.map(drop)),
        };
        put_budget(&mut self.tx, self.vault, place, &kept, self.seeded.revision, self.now_ms).await?;
        let told = self.change.of_budget(scope.as_ref(), old.as_ref(), Some(&kept), self.now_ms);
        self.seeded.budgets.push((scope, kept));
        Ok(told.map(|told| self.told.extend(told)))
    }
}

fn place(scope: Option<&Scope>) -> Place<'_> {
    scope.map_or(DEFAULT, Scope::parts)
}
