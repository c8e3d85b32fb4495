//! What a configuration says of alerts.

use headgate_kit::Failure;
use headgate_proto::budget::v1::{AlertWebhook, BudgetAlerts};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::alerts::{self, Wanted};

/// Whom to tell when a budget runs low. They are kept and shown, but nothing is sent yet.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsEntry {
    /// E-mail addresses, each once, at most 16.
    pub emails: Vec<String>,
    /// HTTP endpoints, at most 8.
    pub webhooks: Vec<WebhookEntry>,
    /// How long the same is not told again, in seconds: 60 to 2592000. Unset means the configured default, once alerts are
    /// sent.
    pub cooldown_seconds: Option<u32>,
}

/// An HTTP endpoint that takes alerts.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct WebhookEntry {
    /// 1 to 64 characters, unique among the webhooks of a budget.
    pub name: String,
    /// An http or https URL without a user, at most 2048 characters, shown as `[redacted]`.
    #[serde(serialize_with = "redacted")]
    pub url: SecretString,
}

impl AlertsEntry {
    /// As they are set. `at` is where they stand.
    pub(super) fn checked(&self, at: &str) -> Result<Wanted, Failure> {
        if let Some(i) = self.webhooks.iter().position(|webhook| webhook.url.expose_secret().is_empty()) {
            let field = format!("{at}.webhooks[{i}].url");
            return Err(Failure::invalid(&field, format!("{field} is required")));
        }
        let webhooks = self.webhooks.iter().map(WebhookEntry::to_proto).collect();
        let (emails, cooldown_seconds) = (self.emails.clone(), self.cooldown_seconds);
        alerts::checked(at, BudgetAlerts { emails, webhooks, cooldown_seconds })
    }
}

impl WebhookEntry {
    fn to_proto(&self) -> AlertWebhook {
        let (name, url) = (self.name.clone(), self.url.expose_secret().to_owned());
        AlertWebhook { name, url, origin: String::new() }
    }
}

fn redacted<S: Serializer>(_secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("[redacted]")
}
