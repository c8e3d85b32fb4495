//! What is shown of alerts, beside the policies: these are copied with every admission, which needs none of it.

use std::collections::HashMap;

use headgate_proto::budget::v1::BudgetAlerts;
use parking_lot::RwLock;

use crate::policy::Scope;

/// Of each budget that has any, by its scope; `None` is the default budget. Without URLs.
pub(crate) type ByBudget = HashMap<Option<Scope>, BudgetAlerts>;

/// Of all budgets.
#[derive(Debug, Default)]
pub(crate) struct Known(RwLock<ByBudget>);

impl Known {
    pub(crate) fn of(&self, budget: Option<&Scope>) -> Option<BudgetAlerts> {
        self.0.read().get(&budget.cloned()).cloned()
    }

    pub(crate) fn set(&self, budget: Option<&Scope>, shown: Option<BudgetAlerts>) {
        let mut known = self.0.write();
        match shown {
            Some(shown) => known.insert(budget.cloned(), shown),
            None => known.remove(&budget.cloned()),
        };
    }

    /// Puts everything there is in place of what was.
    pub(crate) fn replace(&self, all: ByBudget) {
        *self.0.write() = all;
    }
}
