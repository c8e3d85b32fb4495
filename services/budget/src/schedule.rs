//! When a budget starts anew, as operators set it. For now it is stored and shown only: every budget is counted by calendar
//! month, as the window of its status says.

use std::fmt;
use std::str::FromStr;

use headgate_proto::budget::v1::BudgetWindow;
use serde::{Deserialize, Serialize};

const MONTH: &str = "calendar_month";
const WEEK: &str = "weekly";
const ROLLING: (&str, &str) = ("rolling_", "d");
/// The longest span of days.
pub(crate) const MAX_ROLLING_DAYS: u32 = 366;

/// When a budget starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// At the start of each calendar month in the configured time zone: `calendar_month`.
    #[default]
    CalendarMonth,
    /// At the start of each Monday in the configured time zone: `weekly`.
    Week,
    /// Never: what the last so many days cost counts, 1 to 366 of them: `rolling_7d`, and alike.
    RollingDays(u32),
}

/// What is no schedule.
#[derive(Debug, thiserror::Error)]
#[error("must be calendar_month, weekly, or rolling_Nd with 1 to 366 days, e.g. rolling_7d")]
pub struct NoSchedule;

impl Schedule {
    /// As the contract has it: the window, and how many days it has where it rolls.
    pub(crate) fn to_proto(self) -> (BudgetWindow, u32) {
        match self {
            Self::CalendarMonth => (BudgetWindow::CalendarMonth, 0),
            Self::Week => (BudgetWindow::Week, 0),
            Self::RollingDays(days) => (BudgetWindow::RollingDays, days),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CalendarMonth => f.write_str(MONTH),
            Self::Week => f.write_str(WEEK),
            Self::RollingDays(days) => write!(f, "{}{days}{}", ROLLING.0, ROLLING.1),
        }
    }
}

impl FromStr for Schedule {
    type Err = NoSchedule;

    fn from_str(text: &str) -> Result<Self, NoSchedule> {
        match text {
            MONTH => Ok(Self::CalendarMonth),
            WEEK => Ok(Self::Week),
            text => rolling_days(text).map(Self::RollingDays).ok_or(NoSchedule),
        }
    }
}

fn rolling_days(text: &str) -> Option<u32> {
    let days = text.strip_prefix(ROLLING.0)?.strip_suffix(ROLLING.1)?;
    let plain = !days.starts_with('0') && days.bytes().all(|digit| digit.is_ascii_digit());
    days.parse().ok().filter(|days| plain && (1..=MAX_ROLLING_DAYS).contains(days))
}

impl TryFrom<String> for Schedule {
    type Error = NoSchedule;

    fn try_from(text: String) -> Result<Self, NoSchedule> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["calendar_month", "weekly", "rolling_1d", "rolling_7d", "rolling_366d"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        let bad =
            ["", "monthly", "week", "rolling_d", "rolling_0d", "rolling_07d", "rolling_+7d", "rolling_367d"];
        for text in bad {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
