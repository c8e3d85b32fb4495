//! Setting limits and budgets: checked, written, and in force for the next admission.

use headgate_kit::Failure;

use crate::change::Change;
use crate::policy::{Budget, Limits, Quota, Scope};
use crate::store::{quota, set};
use crate::{Budget as Service, unavailable};

impl Service {
    /// Sets the limits of a scope. The revision that touched them last.
    pub(crate) async fn set_limits(
        &self,
        scope: &Scope,
        limits: Limits,
        change: &Change,
    ) -> Result<i64, Failure> {
        possible(&limits)?;
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = set::limits(&writer, scope, limits, change, now_ms).await;
        let revision = written.map_err(unavailable)??;
        self.engine.policies().set_limits(scope, limits);
        self.engine.policies().date_limits(scope, revision);
        Ok(revision)
    }

    /// Sets the budget of a scope.
    pub(crate) async fn set_budget(
        &self,
        scope: &Scope,
        budget: Budget,
        change: &Change,
    ) -> Result<(), Failure> {
        let budget = self.sound(budget)?;
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = set::budget(&writer, Some(scope), budget, change, now_ms).await;
        let revision = written.map_err(unavailable)??;
        self.engine.policies().set_budget(scope, Some(budget));
        self.engine.policies().date_budget(scope, revision);
        Ok(())
    }

    /// Whether there was one.
    pub(crate) async fn delete_budget(&self, scope: &Scope, change: &Change) -> Result<bool, Failure> {
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let gone = set::no_budget(&writer, Some(scope), change, now_ms).await;
        let there = gone.map_err(unavailable)??;
        self.engine.policies().set_budget(scope, None);
        self.engine.policies().date_budget(scope, 0);
        Ok(there)
    }

    /// Sets the budget of tenants without one of their own.
    pub(crate) async fn set_default_budget(&self, budget: Budget, change: &Change) -> Result<(), Failure> {
        let budget = self.sound(budget)?;
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = set::budget(&writer, None, budget, change, now_ms).await;
        let revision = written.map_err(unavailable)??;
        self.engine.policies().set_default_budget(Some((budget, revision)));
        Ok(())
    }

    /// Whether there was one.
    pub(crate) async fn delete_default_budget(&self, change: &Change) -> Result<bool, Failure> {
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let gone = set::no_budget(&writer, None, change, now_ms).await;
        let there = gone.map_err(unavailable)??;
        self.engine.policies().set_default_budget(None);
        Ok(there)
    }

    /// Gives a key what it is made with, and nothing else. What it has then.
    pub(crate) async fn set_quota(
        &self,
        key: &Scope,
        quota: Quota,
        change: &Change,
    ) -> Result<Quota, Failure> {
        let quota = Quota {
            limits: quota.limits.filter(|limits| *limits != Limits::default()),
            budget: quota.budget.map(|budget| self.sound(budget)).transpose()?,
        };
        quota.limits.iter().try_for_each(possible)?;
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = quota::set(&writer, key, quota, change, now_ms).await;
        let revision = written.map_err(unavailable)??;
        self.engine.policies().set_quota(key, quota, revision);
        Ok(quota)
    }

    /// A budget with nothing left open.
    fn sound(&self, mut budget: Budget) -> Result<Budget, Failure> {
        if budget.limit < 0 {
            return Err(Failure::invalid("budget.limit_nano_usd", "the limit must not be negative"));
        }
        if budget.warning_percent == 0 {
            budget.warning_percent = self.warning_percent;
        }
        if budget.warning_percent > 100 {
            return Err(Failure::invalid("budget.warning_percent", "warning_percent must be from 1 to 100"));
        }
        Ok(budget)
    }
}

fn possible(limits: &Limits) -> Result<(), Failure> {
    match limits.problems().into_iter().next() {
        Some((name, wrong)) => Err(Failure::invalid(&format!("limits.{name}"), format!("{name} {wrong}"))),
        None => Ok(()),
    }
}
