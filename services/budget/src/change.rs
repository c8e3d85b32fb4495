//! A change of what people set: whose it is, of what, and as what that was known.

use headgate_access::Author;
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::Failure;
use headgate_proto::budget::v1 as pb;

use crate::policy::{Limits, Scope};
use crate::service::wire;
use crate::terms::{Kept, Quota};

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
    ) -> Result<Vec<Entry>, Failure> {
        let shown = |limits: Limits| {
            let (scope, limits) = (Some(wire::shown_scope(scope.clone())), Some(limits.into()));
            let shown = Shown::of(&pb::BudgetOverride { scope, limits, budget: None })?;
            Ok(shown.without("budget"))
        };
        let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
        let thing = self.thing("limits", Some(scope));
        Ok(Entry::of_change(&self.by, now_ms, thing, before, after).into_iter().collect())
    }

    /// What it tells of a budget, of a scope or of those who have none of their own. That a webhook got another URL does
    /// not show in it, and is told for itself.
    pub(crate) fn of_budget(
        &self,
        scope: Option<&Scope>,
        before: Option<&Kept>,
        after: Option<&Kept>,
        now_ms: i64,
    ) -> Result<Vec<Entry>, Failure> {
        let shown =
            |kept: &Kept| Shown::of(&wire::shown_budget(scope.cloned(), kept.budget, kept.alerts.told()));
        let moved = before.zip(after).is_some_and(|(before, after)| after.alerts.moves(&before.alerts));
        let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
        let changed = Entry::of_change(&self.by, now_ms, self.thing("budget", scope), before, after);
        let moved = moved.then(|| Entry::of_deed(&self.by, now_ms, self.thing("budget_webhooks", scope)));
        Ok(changed.into_iter().chain(moved).collect())
    }

    /// What it tells of limits and budget that change together.
    pub(crate) fn of_quota(
        &self,
        scope: &Scope,
        before: &Quota,
        after: &Quota,
        now_ms: i64,
    ) -> Result<Vec<Entry>, Failure> {
        let mut entries = self.of_limits(scope, before.limits, after.limits, now_ms)?;
        entries.extend(self.of_budget(Some(scope), before.budget.as_ref(), after.budget.as_ref(), now_ms)?);
        Ok(entries)
    }

    fn thing(&self, kind: &'static str, scope: Option<&Scope>) -> Thing {
        match scope {
            Some(Scope::Tenant(id)) => Thing::of(id.as_str(), kind, id.as_str()),
            Some(Scope::Key(id)) => Thing::of(self.tenant_id.as_str(), kind, id.as_str()),
            None => Thing::common(kind, DEFAULT),
        }
    }
}
