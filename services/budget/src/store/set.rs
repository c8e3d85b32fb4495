//! Changes of what people set: each one transaction, in which whoever wants it must know what it takes the place of, and
//! in which it is written down for the audit log.

use headgate_audit::{Entry, outbox};
use headgate_kit::db::Tx;
use headgate_kit::{Failure, etag};

use super::Writer;
use super::policies::DEFAULT;
use super::rows::{Place, budget_at, limits_at, put_budget, put_limits, remove_budget, touch};
use crate::alerts::Vault;
use crate::change::Change;
use crate::policy::{Limits, Scope};
use crate::terms::{Kept, Terms};

/// The change that last touched it; a refusal where the caller knew it otherwise.
pub(crate) type Outcome = Result<i64, Failure>;

/// How the contract names a change: `0` where nothing is set, so that who sets it first can be guarded, too.
pub(crate) fn etag(revision: i64) -> String {
    revision.to_string()
}

/// Sets limits, unless they are set already.
pub(crate) async fn limits(
    writer: &Writer,
    scope: &Scope,
    limits: Limits,
    change: &Change,
    now_ms: i64,
) -> Result<Outcome, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let next = touch(&mut tx).await?;
    let old = limits_at(&mut tx, scope.parts()).await?;
    let revision = old.as_ref().map_or(0, |row| row.revision);
    if let Err(refusal) = etag::check(&change.read, &etag(revision)) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    let old = old.map(|row| row.limits());
    if old == Some(limits) {
        tx.rollback().await?;
        return Ok(Ok(revision));
    }
    put_limits(&mut tx, scope.parts(), limits, next, now_ms).await?;
    let told = change.of_limits(scope, old, Some(limits), now_ms);
    Ok(finish(tx, told).await?.map(|()| next))
}

/// Sets the budget of a scope, or of those who have none of their own, unless it is set already. What it is now, and the
/// change that last touched it; a refusal where the caller knew it otherwise, or where a URL is missing.
pub(crate) async fn budget(
    writer: &Writer,
    vault: &Vault,
    scope: Option<&Scope>,
    terms: Terms,
    change: &Change,
    now_ms: i64,
) -> Result<Result<(Kept, i64), Failure>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let next = touch(&mut tx).await?;
    let old = budget_at(&mut tx, vault, place(scope)).await?;
    let revision = old.as_ref().map_or(0, |(_, revision)| *revision);
    let shown = match (&old, scope) {
        // Who has none of their own is shown the default.
        (None, Some(Scope::Tenant(_))) if change.read != etag(revision) => {
            let default = budget_at(&mut tx, vault, DEFAULT).await?;
            default.map_or(revision, |(_, revision)| revision)
        }
        _ => revision,
    };
    let old = old.map(|(old, _)| old);
    let next_terms = etag::check(&change.read, &etag(shown)).and_then(|()| terms.over(old.as_ref()));
    let kept = match next_terms {
        Ok(kept) if old.as_ref() != Some(&kept) => kept,
        settled => {
            tx.rollback().await?;
            return Ok(settled.map(|kept| (kept, revision)));
        }
    };
    put_budget(&mut tx, vault, place(scope), &kept, next, now_ms).await?;
    let told = change.of_budget(scope, old.as_ref(), Some(&kept), now_ms);
    Ok(finish(tx, told).await?.map(|()| (kept, next)))
}

/// Removes a budget. Whether there was one; a refusal where the caller knew it otherwise.
pub(crate) async fn no_budget(
    writer: &Writer,
    vault: &Vault,
    scope: Option<&Scope>,
    change: &Change,
    now_ms: i64,
) -> Result<Result<bool, Failure>, sqlx::Error> {
    let mut tx = writer.begin().await?;
    touch(&mut tx).await?;
    let Some((old, revision)) = budget_at(&mut tx, vault, place(scope)).await? else {
        tx.rollback().await?;
        return Ok(Ok(false));
    };
    if let Err(refusal) = etag::check(&change.read, &etag(revision)) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    remove_budget(&mut tx, place(scope)).await?;
    let told = change.of_budget(scope, Some(&old), None, now_ms);
    Ok(finish(tx, told).await?.map(|()| true))
}

fn place(scope: Option<&Scope>) -> Place<'_> {
    scope.map_or(DEFAULT, Scope::parts)
}

/// Makes a change last, with what the audit log is told of it.
pub(super) async fn finish(
    mut tx: Tx,
    told: Result<Vec<Entry>, Failure>,
) -> Result<Result<(), Failure>, sqlx::Error> {
    match told {
        Ok(entries) => {
            outbox::write(&mut tx, &entries).await?;
            tx.commit().await?;
            Ok(Ok(()))
        }
        Err(fault) => {
            tx.rollback().await?;
            Ok(Err(fault))
        }
    }
}

/// Whom a budget tells, URLs included.
#[cfg(test)]
pub(crate) async fn alerts_of(
    writer: &Writer,
    vault: &Vault,
    scope: &Scope,
) -> Result<crate::alerts::Alerts, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let row = budget_at(&mut tx, vault, scope.parts()).await?;
    tx.rollback().await?;
    Ok(row.map(|(kept, _)| kept.alerts).unwrap_or_default())
}
