//! What `headgate admin budget set` is told: what it does not say stays as it is.

use clap::{Args, ValueEnum};
use headgate_proto::budget::v1::{AlertWebhook, Budget, BudgetAlerts, BudgetWindow};

#[derive(Args)]
pub(super) struct Terms {
    /// How much, in USD, e.g. 100.00.
    #[arg(long)]
    limit_usd: String,
    /// From which share of it answers carry a warning, in percent. New ones: 80.
    #[arg(long)]
    warning_percent: Option<u32>,
    /// When it starts anew. New ones: each calendar month. For now every budget is counted by calendar month.
    #[arg(long, value_enum)]
    window: Option<Window>,
    /// How many days count, 1 to 366, with --window rolling.
    #[arg(long)]
    rolling_days: Option<u32>,
    #[command(flatten)]
    alerts: Alerts,
}

/// Whom it tells. Nothing is sent yet.
#[derive(Args)]
struct Alerts {
    /// Whom to write when it runs low, in place of those that are; may be given several times.
    #[arg(long)]
    alert_email: Vec<String>,
    /// Where to post then, as NAME=URL, in place of those that are; may be given several times. NAME alone keeps the URL
    /// that it has.
    #[arg(long, value_parser = webhook)]
    alert_webhook: Vec<AlertWebhook>,
    /// How long the same is not told again.
    #[arg(long)]
    alert_cooldown_seconds: Option<u32>,
    /// Tell nobody.
    #[arg(long, conflicts_with_all = ["alert_email", "alert_webhook", "alert_cooldown_seconds"])]
    no_alerts: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Window {
    /// Each calendar month.
    Month,
    /// Each Monday.
    Week,
    /// Never: the last days count.
    Rolling,
}

impl Terms {
    /// What is set, with what is given in its place.
    pub(super) fn over(self, set: Budget) -> Budget {
        let window = self.window.map_or(set.window, |window| window.to_proto().into());
        let rolls = window == i32::from(BudgetWindow::RollingDays);
        Budget {
            scope: set.scope,
            window,
            limit_usd: self.limit_usd,
            limit_nano_usd: 0,
            warning_percent: self.warning_percent.unwrap_or(set.warning_percent),
            // Another window's say nothing of this one.
            rolling_days: self.rolling_days.or(rolls.then_some(set.rolling_days)).unwrap_or_default(),
            alerts: self.alerts.over(set.alerts),
        }
    }
}

impl Alerts {
    fn over(self, set: Option<BudgetAlerts>) -> Option<BudgetAlerts> {
        if self.no_alerts {
            return None;
        }
        let mut alerts = set.unwrap_or_default();
        if !self.alert_email.is_empty() {
            alerts.emails = self.alert_email;
        }
        if !self.alert_webhook.is_empty() {
            alerts.webhooks = self.alert_webhook;
        }
        alerts.cooldown_seconds = self.alert_cooldown_seconds.or(alerts.cooldown_seconds);
        Some(alerts)
    }
}

impl Window {
    fn to_proto(self) -> BudgetWindow {
        match self {
            Self::Month => BudgetWindow::CalendarMonth,
            Self::Week => BudgetWindow::Week,
            Self::Rolling => BudgetWindow::RollingDays,
        }
    }
}

fn webhook(text: &str) -> Result<AlertWebhook, &'static str> {
    let (name, url) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("must be NAME=URL, or NAME");
    }
    Ok(AlertWebhook { name: name.to_owned(), url: url.to_owned(), origin: String::new() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Set {
        #[command(flatten)]
        terms: Terms,
    }

    fn over(set: &Budget, words: &[&str]) -> Budget {
        let words = [&["set", "--limit-usd", "2"], words].concat();
        Set::parse_from(words).terms.over(set.clone())
    }

    #[test]
    fn what_is_not_said_stays() {
        let words = ["--window", "rolling", "--rolling-days", "7", "--warning-percent", "70"];
        let hook = ["--alert-email", "ada@example.com", "--alert-webhook", "chat=https://a.example/?k=v"];
        let first =
            over(&Budget::default(), &[&words[..], &hook, &["--alert-cooldown-seconds", "60"]].concat());
        assert_eq!((first.window(), first.rolling_days), (BudgetWindow::RollingDays, 7));
        let alerts = first.alerts.clone().unwrap();
        assert_eq!(alerts.webhooks[0].url, "https://a.example/?k=v");
        assert_eq!((alerts.emails.len(), alerts.cooldown_seconds), (1, Some(60)));
        assert_eq!(over(&first, &[]), first);

        let weekly = over(&first, &["--window", "week", "--alert-webhook", "chat"]);
        assert_eq!((weekly.window(), weekly.rolling_days), (BudgetWindow::Week, 0));
        let alerts = weekly.alerts.clone().unwrap();
        assert_eq!((alerts.webhooks[0].url.as_str(), alerts.emails.len()), ("", 1));
        assert_eq!(over(&weekly, &["--no-alerts"]).alerts, None);
        assert!(
            Set::try_parse_from(["set", "--limit-usd", "1", "--no-alerts", "--alert-email", "a"]).is_err()
        );
        assert!(Set::try_parse_from(["set", "--limit-usd", "1", "--alert-webhook", "=b"]).is_err());
    }
}
