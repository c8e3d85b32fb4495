//! Response metadata that tells of the request id, the budget and what was spliced.

use headgate_kit::error::Failure;
use headgate_kit::money::Usd;
use headgate_proto::budget::v1::BudgetStatus;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

const DEFAULT_WARNING_PERCENT: i128 = 80;

/// What every answer of one call carries, whether it succeeds or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(MetadataMap);

impl Headers {
    pub(crate) fn new(request_id: &str) -> Self {
        let mut headers = Self::default();
        headers.set("x-request-id", request_id);
        headers
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = MetadataValue::<Ascii>::try_from(value) {
            self.0.insert(name, value);
        }
    }

    /// The `x-budget-*` headers (S1-8), amounts in USD.
    pub(crate) fn budget(&mut self, status: &BudgetStatus) {
        let Some(budget) = &status.budget else { return };
        let total = status.spent_nano_usd.saturating_add(status.held_nano_usd);
        let remaining = budget.limit_nano_usd.saturating_sub(total).max(0);
        let percent = match budget.warning_percent {
            0 => DEFAULT_WARNING_PERCENT,
            percent => percent.into(),
        };
        let warning = i128::from(total) * 100 >= i128::from(budget.limit_nano_usd) * percent;
        self.set("x-budget-limit", &Usd::from_nano(budget.limit_nano_usd).to_string());
        self.set("x-budget-total", &Usd::from_nano(total).to_string());
        self.set("x-budget-remaining", &Usd::from_nano(remaining).to_string());
        self.set("x-budget-warning", if warning { "true" } else { "false" });
        self.set("x-budget-exceeded", if remaining == 0 { "true" } else { "false" });
    }

    pub(crate) fn response<T>(&self, message: T) -> tonic::Response<T> {
        tonic::Response::from_parts(self.0.clone(), message, tonic::Extensions::default())
    }

    pub(crate) fn refuse(&self, failure: Failure) -> Status {
        let mut status = Status::from(failure);
        for entry in self.0.iter() {
            if let tonic::metadata::KeyAndValueRef::Ascii(name, value) = entry {
                status.metadata_mut().insert(name.clone(), value.clone());
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use headgate_proto::budget::v1::Budget;

    use super::*;

    const NANO: i64 = 1_000_000_000;

    #[test]
    fn a_budget_warns_before_it_is_exceeded() {
        let budget = Some(Budget { limit_nano_usd: NANO, ..Budget::default() });
        let show = |spent_nano_usd| {
            let mut headers = Headers::new("r");
            headers.budget(&BudgetStatus {
                budget: budget.clone(),
                spent_nano_usd,
                ..BudgetStatus::default()
            });
            let get = |name: &str| headers.0.get(name).unwrap().to_str().unwrap().to_owned();
            (get("x-budget-remaining"), get("x-budget-warning"), get("x-budget-exceeded"))
        };
        assert_eq!(show(790_000_000), ("0.21".into(), "false".into(), "false".into()));
        assert_eq!(show(800_000_000), ("0.20".into(), "true".into(), "false".into()));
        assert_eq!(show(2 * NANO), ("0.00".into(), "true".into(), "true".into()));
    }
}
