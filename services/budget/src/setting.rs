//! Setting limits and budgets: checked, written, and in force for the next admission.

use headgate_kit::Failure;

use crate::change::Change;
use crate::policy::{Budget, Limits, Scope};
use crate::store::seed::{self, Wanted};
use crate::store::{quota, set};
use crate::terms::{Quota, Terms};
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
        terms: Terms,
        change: &Change,
    ) -> Result<(), Failure> {
        let terms = Terms { budget: self.sound(terms.budget)?, ..terms };
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = set::budget(&writer, &self.vault, Some(scope), terms, change, now_ms).await;
        let (kept, revision) = written.map_err(unavailable)??;
        self.engine.policies().set_budget(scope, Some(kept.budget));
        self.engine.policies().date_budget(scope, revision);
        self.alerts.set(Some(scope), kept.alerts.shown());
        Ok(())
    }

    /// Whether there was one.
    pub(crate) async fn delete_budget(&self, scope: &Scope, change: &Change) -> Result<bool, Failure> {
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let gone = set::no_budget(&writer, &self.vault, Some(scope), change, now_ms).await;
        let there = gone.map_err(unavailable)??;
        self.engine.policies().set_budget(scope, None);
        self.engine.policies().date_budget(scope, 0);
        self.alerts.set(Some(scope), None);
        Ok(there)
    }

    /// Sets the budget of tenants without one of their own.
    pub(crate) async fn set_default_budget(&self, terms: Terms, change: &Change) -> Result<(), Failure> {
        let terms = Terms { budget: self.sound(terms.budget)?, ..terms };
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = set::budget(&writer, &self.vault, None, terms, change, now_ms).await;
        let (kept, revision) = written.map_err(unavailable)??;
        self.engine.policies().set_default_budget(Some((kept.budget, revision)));
        self.alerts.set(None, kept.alerts.shown());
        Ok(())
    }

    /// Whether there was one.
    pub(crate) async fn delete_default_budget(&self, change: &Change) -> Result<bool, Failure> {
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let gone = set::no_budget(&writer, &self.vault, None, change, now_ms).await;
        let there = gone.map_err(unavailable)??;
        self.engine.policies().set_default_budget(None);
        self.alerts.set(None, None);
        Ok(there)
    }

    /// Gives a key what it is made with, and nothing else. What it has then.
    pub(crate) async fn set_quota(
        &self,
        key: &Scope,
        limits: Option<Limits>,
        budget: Option<Terms>,
        change: &Change,
    ) -> Result<Quota, Failure> {
        let limits = limits.filter(|limits| *limits != Limits::default());
        limits.iter().try_for_each(possible)?;
        let terms = |terms: Terms| Terms { budget: self.sound(terms.budget)?, ..terms }.over(None);
        let quota = Quota { limits, budget: budget.map(terms).transpose()? };
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let written = quota::set(&writer, &self.vault, key, &quota, change, now_ms).await;
        let revision = written.map_err(unavailable)??;
        let kept = quota.budget.as_ref();
        self.engine.policies().set_quota(key, limits, kept.map(|kept| kept.budget), revision);
        self.alerts.set(Some(key), kept.and_then(|kept| kept.alerts.shown()));
        Ok(quota)
    }

    /// Sets what a configuration seeds, as far as it is due: all of it or nothing.
    pub(crate) async fn seed(&self, mut wanted: Wanted, change: &Change) -> Result<(), Failure> {
        wanted.limits.iter().try_for_each(|(_, limits)| possible(limits))?;
        for (_, terms) in &mut wanted.budgets {
            terms.budget = self.sound(terms.budget)?;
        }
        let _order = self.policies.lock().await;
        let writer = self.store.writer().await;
        let now_ms = self.engine.clock().unix_millis();
        let seeded = seed::seed(&writer, &self.vault, wanted, change, now_ms).await;
        let seeded = seeded.map_err(unavailable)??;
        let (policies, revision) = (self.engine.policies(), seeded.revision);
        for (scope, limits) in seeded.limits {
            policies.set_limits(&scope, limits);
            policies.date_limits(&scope, revision);
        }
        for (scope, kept) in seeded.budgets {
            self.alerts.set(scope.as_ref(), kept.alerts.shown());
            match scope {
                Some(scope) => {
                    policies.set_budget(&scope, Some(kept.budget));
                    policies.date_budget(&scope, revision);
                }
                None => policies.set_default_budget(Some((kept.budget, revision))),
            }
        }
        Ok(())
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
