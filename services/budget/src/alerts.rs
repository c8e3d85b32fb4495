//! Whom to tell when a budget runs low, as people set it. For now it is stored and shown only: nothing is sent.
//!
//! The URL of a webhook is a secret, since whoever has it can post there. It is stored sealed, and shown to nobody.

mod check;
mod known;
mod vault;

use std::collections::HashMap;

use headgate_kit::Failure;
use headgate_proto::budget::v1::BudgetAlerts;

pub(crate) use check::checked;
pub(crate) use known::{ByBudget, Known};
pub use vault::SealingKeyError;
pub(crate) use vault::{Vault, VaultError, is_key};

/// Where alerts of a budget go, URLs included. Prints none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Alerts(BudgetAlerts);

/// Where they are to go: checked, but webhooks that are known may lack their URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted(BudgetAlerts);

impl Alerts {
    /// As people are shown them, without URLs. `None` where nothing is set.
    pub(crate) fn shown(&self) -> Option<BudgetAlerts> {
        let mut shown = self.told()?;
        shown.webhooks.iter_mut().for_each(|webhook| webhook.url.clear());
        Some(shown)
    }

    /// As the audit log is told of them, which masks URLs.
    pub(crate) fn told(&self) -> Option<BudgetAlerts> {
        (self.0 != BudgetAlerts::default()).then(|| self.0.clone())
    }

    /// Whether a webhook of the same name had another URL before.
    pub(crate) fn moves(&self, before: &Self) -> bool {
        let urls = before.urls();
        self.0.webhooks.iter().any(|hook| urls.get(hook.name.as_str()).is_some_and(|url| *url != hook.url))
    }

    fn urls(&self) -> HashMap<&str, &str> {
        self.0.webhooks.iter().map(|hook| (hook.name.as_str(), hook.url.as_str())).collect()
    }
}

impl Wanted {
    /// With the URLs of webhooks that keep theirs.
    ///
    /// # Errors
    /// INVALID_REQUEST for a webhook without a URL that is not known.
    pub(crate) fn over(self, before: &Alerts) -> Result<Alerts, Failure> {
        let (Self(mut alerts), urls) = (self, before.urls());
        for (i, webhook) in alerts.webhooks.iter_mut().enumerate() {
            if webhook.url.is_empty() {
                let known = urls.get(webhook.name.as_str()).ok_or_else(|| without_url(i))?;
                (*known).clone_into(&mut webhook.url);
            }
            webhook.origin = check::origin(&webhook.url).unwrap_or_default();
        }
        Ok(Alerts(alerts))
    }
}

fn without_url(i: usize) -> Failure {
    let field = format!("budget.alerts.webhooks[{i}].url");
    let text = format!("{field} is required: no webhook of this name is known");
    Failure::invalid(&field, text)
}

#[cfg(test)]
mod tests {
    use headgate_proto::budget::v1::AlertWebhook;

    use super::*;

    fn hook(name: &str, url: &str) -> AlertWebhook {
        AlertWebhook { name: name.into(), url: url.into(), origin: "made up".into() }
    }

    fn wanted(webhooks: &[AlertWebhook]) -> Wanted {
        let alerts = BudgetAlerts { webhooks: webhooks.to_vec(), ..Default::default() };
        checked("budget.alerts", alerts).unwrap()
    }

    #[test]
    fn a_webhook_keeps_its_url_unless_it_gets_another() {
        let nobody = Alerts::default();
        assert_eq!(nobody.shown(), None);
        let (a, b) = (hook("a", "https://a.example/secret"), hook("b", "http://b.example:8080/?key=secret"));
        let first = wanted(&[a, b]).over(&nobody).unwrap();
        let kept = wanted(&[hook("b", ""), hook("a", "")]).over(&first).unwrap();
        let shown = kept.shown().unwrap().webhooks;
        let (urls, origins): (Vec<_>, Vec<_>) = shown.into_iter().map(|hook| (hook.url, hook.origin)).unzip();
        assert_eq!(origins, ["http://b.example:8080", "https://a.example"]);
        assert_eq!(urls, ["", ""]);
        assert_eq!(kept.urls(), first.urls());
        assert!(!kept.moves(&first) && !first.moves(&nobody));

        let moved = wanted(&[hook("b", "http://b.example:8080/other"), hook("a", "")]).over(&first).unwrap();
        assert!(moved.moves(&first) && moved.shown() == kept.shown());
        let missing = wanted(&[hook("a", ""), hook("c", "")]).over(&first).unwrap_err();
        assert_eq!(missing.metadata["field"], "budget.alerts.webhooks[1].url");
    }
}
