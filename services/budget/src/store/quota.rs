//! What a key is made with, in one transaction.

use headgate_kit::db::Tx;
use headgate_kit::{Failure, execute};

use super::Writer;
use super::rows::{Place, budget_at, limits_at, put_budget, put_limits, remove_budget, touch};
use super::set::finish;
use crate::alerts::Vault;
use crate::change::Change;
use crate::policy::Scope;
use crate::terms::Quota;

/// The change that made the quota what it is.
type Outcome = Result<i64, Failure>;

/// Gives a scope these limits and this budget, and no others.
pub(crate) async fn set(
    writer: &Writer,
    vault: &Vault,
    scope: &Scope,
    quota: &Quota,
    change: &Change,
    now_ms: i64,
) -> Result<Outcome, sqlx::Error> {
    let mut tx = writer.begin().await?;
    let next = touch(&mut tx).await?;
    let place = scope.parts();
    let limits = limits_at(&mut tx, place).await?.map(|row| row.limits());
    let budget = budget_at(&mut tx, vault, place).await?.map(|(budget, _)| budget);
    match quota.limits {
        Some(limits) => put_limits(&mut tx, place, limits, next, now_ms).await?,
        None => remove_limits(&mut tx, place).await?,
    }
    match &quota.budget {
        Some(kept) => put_budget(&mut tx, vault, place, kept, next, now_ms).await?,
        None => remove_budget(&mut tx, place).await?,
    }
    let told = change.of_quota(scope, &Quota { limits, budget }, quota, now_ms);
    Ok(finish(tx, told).await?.map(|()| next))
}

async fn remove_limits(tx: &mut Tx, (kind, id): Place<'_>) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM limits WHERE scope_kind = $1 AND scope_id = $2")
            .bind(kind)
            .bind(id)
            .execute(conn)
    })?;
    Ok(())
}
