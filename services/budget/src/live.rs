//! Every live counter: limits, holds, leases, idempotency keys. In memory, or in Redis where several replicas share
//! them.
//!
//! In memory nothing here waits: a call is done when it is first polled.

#[cfg(test)]
mod tests;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use uuid::Uuid;

use crate::engine::admit::{Answer, Ask};
use crate::engine::finish::{Booking, Settlement};
use crate::engine::scopes::Standing;
use crate::engine::{Engine, Overdue};
use crate::metrics::Metrics;
use crate::policy::{Budget, Policies, Scope};
use crate::shared::{Fault, Shared, unavailable};
use crate::store::spend::{Change, LeaseSpend};
use crate::window::Months;

/// The engine.
#[derive(Debug)]
pub(crate) enum Live {
    /// Counters in this process's memory.
    Memory(Box<Engine>),
    /// Counters in Redis.
    Shared(Box<Shared>),
}

impl Live {
    /// What operators set.
    pub(crate) fn policies(&self) -> &Policies {
        match self {
            Self::Memory(engine) => &engine.policies,
            Self::Shared(shared) => &shared.policies,
        }
    }

    /// The calendar of the windows.
    pub(crate) fn months(&self) -> &Months {
        match self {
            Self::Memory(engine) => &engine.months,
            Self::Shared(shared) => &shared.months,
        }
    }

    /// Tells the time.
    pub(crate) fn clock(&self) -> &Clock {
        match self {
            Self::Memory(engine) => &engine.clock,
            Self::Shared(shared) => &shared.clock,
        }
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        match self {
            Self::Memory(engine) => &engine.metrics,
            Self::Shared(shared) => &shared.metrics,
        }
    }

    /// Decides a request, and holds what it may take.
    pub(crate) async fn admit(&self, ask: Ask) -> Result<Answer, Failure> {
        match self {
            Self::Memory(engine) => {
                engine.admit(ask).map_err(|cause| Failure::unavailable("the journal of leases", cause))
            }
            Self::Shared(shared) => Box::pin(shared.admit(ask)).await,
        }
    }

    /// Keeps a lease alive and tells until when; `None` when it has ended or expired.
    pub(crate) async fn extend(&self, id: Uuid, tenant_id: &str) -> Result<Option<i64>, Failure> {
        match self {
            Self::Memory(engine) => Ok(engine.extend(id)),
            Self::Shared(shared) => {
                named(tenant_id)?;
                Box::pin(shared.extend(id, tenant_id)).await.map_err(unavailable)
            }
        }
    }

    /// Ends a lease as its holder reports. One that is not known is no error.
    pub(crate) async fn settle(
        &self,
        id: Uuid,
        tenant_id: &str,
        settlement: Settlement,
    ) -> Result<(), Failure> {
        match self {
            Self::Memory(engine) => {
                engine.settle(id, settlement);
                Ok(())
            }
            Self::Shared(shared) => {
                named(tenant_id)?;
                Box::pin(shared.settle(id, tenant_id, settlement)).await.map_err(unavailable)
            }
        }
    }

    /// Gives a lease back of which no use was made, whether it is known yet or not.
    pub(crate) async fn release(&self, id: Uuid, tenant_id: &str) -> Result<(), Failure> {
        named(tenant_id)?;
        match self {
            Self::Memory(engine) => {
                engine.release(id, tenant_id);
                Ok(())
            }
            Self::Shared(shared) => Box::pin(shared.release(id, tenant_id)).await.map_err(unavailable),
        }
    }

    /// Records were stored. `changes` says how each row changed the spend, if it did.
    pub(crate) async fn recorded(
        &self,
        rows: &[LeaseSpend<'_>],
        changes: &[Option<Change>],
    ) -> Result<(), Fault> {
        match self {
            Self::Memory(engine) => {
                for (row, change) in rows.iter().zip(changes) {
                    let booking = change.map(|(delta, window_start)| Booking { delta, window_start });
                    engine.recorded(row.ended, booking);
                }
                Ok(())
            }
            Self::Shared(shared) => shared.booked(rows, changes).await,
        }
    }

    /// Whether a request cannot be decided before the records are booked that waited at the start: where a budget covers
    /// it, what they cost counts. Redis has it, and sees to it itself where it was lost.
    pub(crate) fn needs_backlog(&self, ask: &Ask) -> bool {
        match self {
            Self::Memory(engine) => engine.is_covered(ask),
            Self::Shared(_) => false,
        }
    }

    /// Whether records must be told in the order in which they were stored.
    pub(crate) fn needs_order(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Ends what is past its deadline. What is returned must be written, and comes again until `written` is called.
    pub(crate) async fn overdue(&self) -> Result<Vec<Overdue>, Fault> {
        match self {
            Self::Memory(engine) => Ok(engine.overdue()),
            Self::Shared(shared) => shared.overdue().await,
        }
    }

    /// An overdue lease's record is safely written.
    pub(crate) async fn written(&self, overdue: &Overdue) -> Result<(), Fault> {
        match self {
            Self::Memory(engine) => {
                engine.written(overdue.id);
                Ok(())
            }
            Self::Shared(shared) => shared.written(overdue).await,
        }
    }

    /// Where a scope's budget stands.
    pub(crate) async fn standing(&self, scope: &Scope, budget: Budget) -> Result<Standing, Failure> {
        match self {
            Self::Memory(engine) => Ok(engine.standing(scope, budget)),
            Self::Shared(shared) => Box::pin(shared.standing(scope, budget)).await.map_err(unavailable),
        }
    }
}

/// Counters that lie elsewhere, and leases that are not known yet, are found by their tenant.
fn named(tenant_id: &str) -> Result<(), Failure> {
    if tenant_id.is_empty() {
        return Err(Failure::invalid("tenant_id", "tenant_id is required"));
    }
    Ok(())
}
