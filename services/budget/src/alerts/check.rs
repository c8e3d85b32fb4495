//! What alerts must be. Pure.

use std::collections::HashSet;

use email_address::{EmailAddress, Options};
use headgate_kit::Failure;
use headgate_proto::budget::v1::{AlertWebhook, BudgetAlerts};
use url::Url;

use super::Wanted;

const MAX_EMAILS: usize = 16;
/// The longest address that mail knows (RFC 5321).
const MAX_EMAIL: usize = 254;
const MAX_WEBHOOKS: usize = 8;
const MAX_NAME: usize = 64;
const MAX_URL: usize = 2048;
/// From a minute to 30 days.
const COOLDOWN_SECONDS: std::ops::RangeInclusive<u32> = 60..=2_592_000;

/// Finds what is wrong with alerts that stand at `at`. No error shows a URL.
///
/// # Errors
/// INVALID_REQUEST with the field.
pub(crate) fn checked(at: &str, alerts: BudgetAlerts) -> Result<Wanted, Failure> {
    emails(&format!("{at}.emails"), &alerts.emails)?;
    webhooks(&format!("{at}.webhooks"), &alerts.webhooks)?;
    let cooldown = alerts.cooldown_seconds.is_none_or(|seconds| COOLDOWN_SECONDS.contains(&seconds));
    require(cooldown, &format!("{at}.cooldown_seconds"), "must be 60 to 2592000")?;
    Ok(Wanted(alerts))
}

fn emails(at: &str, emails: &[String]) -> Result<(), Failure> {
    require(emails.len() <= MAX_EMAILS, at, "must be at most 16")?;
    let mut seen = HashSet::new();
    for (i, email) in emails.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let options = Options::default().without_display_text().without_domain_literal();
        let good = email.len() <= MAX_EMAIL && EmailAddress::parse_with_options(email, options).is_ok();
        require(good, &at, "must be an e-mail address")?;
        require(seen.insert(email.to_lowercase()), &at, "stands there twice")?;
    }
    Ok(())
}

fn webhooks(at: &str, webhooks: &[AlertWebhook]) -> Result<(), Failure> {
    require(webhooks.len() <= MAX_WEBHOOKS, at, "must be at most 8")?;
    let mut seen = HashSet::new();
    for (i, AlertWebhook { name, url, .. }) in webhooks.iter().enumerate() {
        let (name_at, url_at) = (format!("{at}[{i}].name"), format!("{at}[{i}].url"));
        let good = (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        require(good, &name_at, "must be 1 to 64 characters")?;
        require(seen.insert(name), &name_at, "stands there twice")?;
        let good = url.is_empty() || (url.len() <= MAX_URL && origin(url).is_some());
        require(good, &url_at, "must be an http or https URL of at most 2048 characters without a user")?;
    }
    Ok(())
}

/// Scheme, host and port of a URL that alerts may go to. `None` for any other.
pub(super) fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let nobodys = url.username().is_empty() && url.password().is_none();
    nobodys.then(|| url.origin().ascii_serialization())
}

fn require(good: bool, at: &str, wrong: &str) -> Result<(), Failure> {
    if good { Ok(()) } else { Err(Failure::invalid(at, format!("{at} {wrong}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(name: &str, url: &str) -> AlertWebhook {
        AlertWebhook { name: name.into(), url: url.into(), ..Default::default() }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_url_is_shown() {
        let emails = |emails: Vec<String>| BudgetAlerts { emails, ..Default::default() };
        let hooks = |webhooks: Vec<AlertWebhook>| BudgetAlerts { webhooks, ..Default::default() };
        let cooldown = |seconds| BudgetAlerts { cooldown_seconds: Some(seconds), ..BudgetAlerts::default() };
        let good = "https://hooks.example/planted";
        let address = |i: usize| format!("a{i}@example.com");
        let many = |n: usize| (0..n).map(|i| hook(&i.to_string(), good)).collect::<Vec<_>>();
        for fine in [
            BudgetAlerts::default(),
            emails((0..16).map(address).collect()),
            hooks(many(8)),
            hooks(vec![hook(&"ü".repeat(64), "")]),
            cooldown(60),
            cooldown(2_592_000),
        ] {
            assert!(checked("a", fine.clone()).is_ok(), "{fine:?}");
        }
        let long = format!("{good}{}", "x".repeat(2048));
        let bad = [
            (emails((0..17).map(address).collect()), "a.emails"),
            (emails(vec!["a@example.com".into(), "Ada".into()]), "a.emails[1]"),
            (emails(vec!["a@example.com".into(), "A@example.com".into()]), "a.emails[1]"),
            (emails(vec!["Ada <a@example.com>".into()]), "a.emails[0]"),
            (hooks(many(9)), "a.webhooks"),
            (hooks(vec![hook("", good)]), "a.webhooks[0].name"),
            (hooks(vec![hook("a\nb", good)]), "a.webhooks[0].name"),
            (hooks(vec![hook(&"x".repeat(65), good)]), "a.webhooks[0].name"),
            (hooks(vec![hook("a", good), hook("a", good)]), "a.webhooks[1].name"),
            (hooks(vec![hook("a", "ftp://planted.example")]), "a.webhooks[0].url"),
            (hooks(vec![hook("a", "https://user:planted@hooks.example")]), "a.webhooks[0].url"),
            (hooks(vec![hook("a", "https://user@planted.example")]), "a.webhooks[0].url"),
            (hooks(vec![hook("a", "planted")]), "a.webhooks[0].url"),
            (hooks(vec![hook("a", "https://")]), "a.webhooks[0].url"),
            (hooks(vec![hook("a", &long)]), "a.webhooks[0].url"),
            (cooldown(59), "a.cooldown_seconds"),
            (cooldown(2_592_001), "a.cooldown_seconds"),
        ];
        for (alerts, field) in bad {
            let fault = checked("a", alerts).unwrap_err();
            assert_eq!(fault.metadata["field"], field);
            assert!(!fault.to_string().contains("planted"));
        }
    }
}
