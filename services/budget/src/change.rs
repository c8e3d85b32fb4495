//! A change of what people set: whose it is, of what, and as what that was known.

use headgate_access::Author;
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::Failure;
use headgate_proto::budget::v1 as pb;

use crate::policy::{Budget, Limits, Quota, Scope};
use crate::service::wire;

/// What the audit log calls the budget of those who have none of their own.
const DEFAULT: &str = "default";

/// A change that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    by: Author,
    /// The etag it was read with. Empty for whatever it is.
    pub(crate) read: String,
    /// The tenant whose it is. Empty where it is no tenant's, or nobody asked.
    tenant_id: String,
}

impl Change {
    pub(crate) fn new(by: impl Into<Author>, read: String, tenant_id: String) -> Self {
        Self { by: by.into(), read, tenant_id }
    }

    /// What a configuration says.
    pub(crate) fn of_bootstrap() -> Self {
        Self { by: Author::own("bootstrap"), read: String::new(), tenant_id: String::new() }
    }

    /// What the audit log tells of limits.
    pub(crate) fn of_limits(
        &self,
        scope: &Scope,
        before: Option<Limits>,
        after: Option<Limits>,
        now_ms: i64,
    ) -> Result<Option<Entry>, Failure> {
        let shown = |limits: Limits| {
            let (scope, limits) = (Some(wire::shown_scope(scope.clone())), Some(limits.into()));
            let shown = Shown::of(&pb::BudgetOverride { scope, limits, budget: None })?;
            Ok(shown.without("budget"))
        };
        let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
        Ok(Entry::of_change(&self.by, now_ms, self.thing("limits", Some(scope)), before, after))
    }

    /// What it tells of a budget, of a scope or of those who have none of their own.
    pub(crate) fn of_budget(
        &self,
        scope: Option<&Scope>,
        before: Option<Budget>,
        after: Option<Budget>,
        now_ms: i64,
    ) -> Result<Option<Entry>, Failure> {
        let shown = |budget: Budget| Shown::of(&wire::shown_budget(scope.cloned(), budget));
        let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
        Ok(Entry::of_change(&self.by, now_ms, self.thing("budget", scope), before, after))
    }

    /// What it tells of limits and budget that change together.
    pub(crate) fn of_quota(
        &self,
        scope: &Scope,
        before: Quota,
        after: Quota,
        now_ms: i64,
    ) -> Result<impl Iterator<Item = Entry> + use<>, Failure> {
        let limits = self.of_limits(scope, before.limits, after.limits, now_ms)?;
        let budget = self.of_budget(Some(scope), before.budget, after.budget, now_ms)?;
        Ok(limits.into_iter().chain(budget))
    }

    fn thing(&self, kind: &'static str, scope: Option<&Scope>) -> Thing {
        match scope {
            Some(Scope::Tenant(id)) => Thing::of(id.as_str(), kind, id.as_str()),
            Some(Scope::Key(id)) => Thing::of(self.tenant_id.as_str(), kind, id.as_str()),
            None => Thing::common(kind, DEFAULT),
        }
    }
}
