//! Budgets as they are asked for, and as they are kept: with all that admission does not need.

use headgate_kit::Failure;

use crate::alerts::{Alerts, Wanted};
use crate::policy::{Budget, Limits};

/// A budget as somebody sets it.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) budget: Budget,
    /// `None` leaves them as they are.
    pub(crate) alerts: Option<Wanted>,
}

/// A budget as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) budget: Budget,
    pub(crate) alerts: Alerts,
}

/// What a key is made with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quota {
    /// `None` where it has none of its own.
    pub(crate) limits: Option<Limits>,
    /// `None` where it has none of its own.
    pub(crate) budget: Option<Kept>,
}

impl Terms {
    /// What the budget then is, in place of what it was.
    ///
    /// # Errors
    /// INVALID_REQUEST for a webhook without a URL that is not known.
    pub(crate) fn over(self, before: Option<&Kept>) -> Result<Kept, Failure> {
        let before = before.map_or_else(Alerts::default, |kept| kept.alerts.clone());
        let alerts = match self.alerts {
            Some(wanted) => wanted.over(&before)?,
            None => before,
        };
        Ok(Kept { budget: self.budget, alerts })
    }
}
