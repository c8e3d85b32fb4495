//! Whom budgets tell: kept sealed, and shown without the URLs.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};

use super::quotas::quota;
use super::*;
use crate::SealingKeyError;
use crate::alerts::Alerts;
use crate::store::set::alerts_of;

on_both_engines!(
    alerts_are_shown_without_urls_and_over_a_restart,
    a_webhook_that_is_written_back_as_it_was_read_keeps_its_url,
    no_url_stands_in_the_database,
    alerts_end_with_their_budget,
    bad_alerts_name_their_field_and_change_nothing,
    whom_the_default_budget_tells_is_not_its_tenants_to_know,
    a_replica_shows_what_another_was_told,
    what_was_sealed_for_one_budget_opens_for_no_other,
    a_database_belongs_to_one_key,
    a_configuration_says_whom_to_tell_or_leaves_them,
    a_key_is_made_with_whom_to_tell,
);

const URL: &str = "https://hooks.example.com/services/planted-url-Kq8Zt3Vw5Xn";

fn hook(name: &str, url: &str) -> pb::AlertWebhook {
    pb::AlertWebhook { name: name.into(), url: url.into(), ..Default::default() }
}

fn alerts(webhooks: &[pb::AlertWebhook]) -> pb::BudgetAlerts {
    let emails = vec!["ada@example.com".to_owned(), "ops@example.com".to_owned()];
    pb::BudgetAlerts { emails, webhooks: webhooks.to_vec(), cooldown_seconds: Some(3600) }
}

fn budget(scope: Option<pb::Scope>, alerts: Option<pb::BudgetAlerts>) -> pb::Budget {
    pb::Budget { scope, limit_nano_usd: USD, alerts, ..Default::default() }
}

fn told(status: pb::BudgetStatus) -> Option<pb::BudgetAlerts> {
    status.budget.unwrap().alerts
}

/// As they are shown: with the origin, and without the URL.
fn shown() -> pb::BudgetAlerts {
    let webhook = pb::AlertWebhook { origin: "https://hooks.example.com".into(), ..hook("chat", "") };
    alerts(&[webhook])
}

impl Service {
    /// URLs and all, as the database has them.
    async fn kept(&self, scope: &crate::policy::Scope) -> Alerts {
        alerts_of(&self.budget.store.writer().await, &self.budget.vault, scope).await.unwrap()
    }

    async fn urls(&self, scope: &crate::policy::Scope) -> Vec<String> {
        let kept = self.kept(scope).await.told().unwrap_or_default();
        kept.webhooks.into_iter().map(|webhook| webhook.url).collect()
    }
}

fn the_key() -> crate::policy::Scope {
    crate::policy::Scope::Key("key".into())
}

async fn alerts_are_shown_without_urls_and_over_a_restart(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let none = service.set(budget(Some(key()), None), "").await.unwrap();
    assert_eq!(told(none.clone()), None);
    let wanted = || Some(alerts(&[hook("chat", URL)]));
    let set = service.set(budget(Some(key()), wanted()), &none.etag).await.unwrap();
    assert_eq!(told(set.clone()), Some(shown()));
    assert_ne!(set.etag, none.etag, "whom it tells is a part of it");
    let stale = service.set(budget(Some(key()), None), &none.etag).await.unwrap_err();
    assert_eq!(Failure::from_status(&stale).reason, ErrorReason::Conflict);
    let same = service.set(budget(Some(key()), wanted()), &set.etag).await.unwrap();
    assert_eq!(same, set, "the same again is no change");
    let default = pb::SetDefaultBudgetRequest { budget: Some(budget(None, wanted())), ..Default::default() };
    service.budgets().set_default_budget(default).await.unwrap();
    service.set(budget(Some(tenant()), wanted()), "").await.unwrap();

    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(service.status(key()).await, set);
    let mut budgets = service.budgets();
    let overrides = budgets.list_budget_overrides(pb::ListBudgetOverridesRequest::default());
    for row in overrides.await.unwrap().into_inner().overrides {
        assert_eq!(row.budget.unwrap().alerts, Some(shown()));
    }
    let tenants = budgets.list_tenant_budgets(pb::ListTenantBudgetsRequest::default());
    for row in tenants.await.unwrap().into_inner().tenants {
        assert_eq!(told(row.status.unwrap()), Some(shown()));
    }
    let default = service.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await.unwrap();
    assert_eq!(default.into_inner().budget.unwrap().alerts, Some(shown()));
    // Services that ask for admission need none of it.
    let answer = service.admission().admit(service.request(1, CENT)).await.unwrap().into_inner();
    assert_eq!(told(answer.budget.unwrap()), None);
}

async fn a_webhook_that_is_written_back_as_it_was_read_keeps_its_url(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let other = "http://other.example:8080/planted";
    let both = alerts(&[hook("chat", URL), hook("other", other)]);
    let set = service.set(budget(Some(key()), Some(both)), "").await.unwrap();
    assert_eq!(service.urls(&the_key()).await, [URL, other]);

    let mut read = set.budget.clone().unwrap();
    read.limit_nano_usd = 0;
    read.limit_usd = "2.00".into();
    let back = service.set(read.clone(), &set.etag).await.unwrap();
    assert_eq!(told(back.clone()), told(set));
    assert_eq!(service.urls(&the_key()).await, [URL, other]);

    let webhooks = &mut read.alerts.as_mut().unwrap().webhooks;
    webhooks.remove(0);
    webhooks[0].url = "https://other.example".into();
    let moved = service.set(read.clone(), &back.etag).await.unwrap();
    assert_eq!(told(moved).unwrap().webhooks[0].origin, "https://other.example");
    assert_eq!(service.urls(&the_key()).await, ["https://other.example"]);
    // A name that is gone is not known any more.
    read.alerts = Some(alerts(&[hook("chat", "")]));
    let refused = Failure::from_status(&service.set(read, "").await.unwrap_err());
    let field = refused.metadata["field"].as_str();
    assert_eq!((refused.reason, field), (ErrorReason::InvalidRequest, "budget.alerts.webhooks[0].url"));
}

async fn no_url_stands_in_the_database(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set(budget(Some(key()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    service.delete(key(), "").await.unwrap();
    service.set(budget(Some(key()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    let bytes = db.bytes("budget").await;
    let stands = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(stands("budget.v1.BudgetService.SetBudget"), "there is nothing to search in");
    assert!(!stands("planted-url"), "a URL stands in the database");
    assert!(!stands(&"5a".repeat(32)));
}

async fn alerts_end_with_their_budget(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let with = || budget(Some(key()), Some(alerts(&[hook("chat", URL)])));
    service.set(with(), "").await.unwrap();
    service.delete(key(), "").await.unwrap();
    assert_eq!(told(service.set(budget(Some(key()), None), "").await.unwrap()), None);
    service.set(with(), "").await.unwrap();
    assert_eq!(told(service.set(budget(Some(key()), None), "").await.unwrap()), None, "replaced by nobody");
    assert_eq!(service.kept(&the_key()).await, Alerts::default());

    // As the version before does both.
    service.set(with(), "").await.unwrap();
    service.stop().await;
    db.run("budget", "DELETE FROM budgets").await;
    let row = "('key', 'key', 'calendar_month', 5, 80, 0, 1)";
    let columns =
        "scope_kind, scope_id, window_kind, limit_nano_usd, warning_percent, updated_at_unix_ms, revision";
    db.run("budget", &format!("INSERT INTO budgets ({columns}) VALUES {row}")).await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(told(service.status(key()).await), None);
}

async fn bad_alerts_name_their_field_and_change_nothing(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let set = service.set(budget(Some(key()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    let bad = [
        (pb::BudgetAlerts { emails: vec!["Ada".into()], ..Default::default() }, "emails[0]"),
        (pb::BudgetAlerts { cooldown_seconds: Some(0), ..Default::default() }, "cooldown_seconds"),
        (alerts(&[hook("chat", "ftp://hooks.example.com/planted")]), "webhooks[0].url"),
        (alerts(&[hook("new", "")]), "webhooks[0].url"),
    ];
    for (alerts, field) in bad {
        let refused = service.set(budget(Some(key()), Some(alerts.clone())), "").await.unwrap_err();
        let refused = Failure::from_status(&refused);
        let field = format!("budget.alerts.{field}");
        assert_eq!((refused.reason, &refused.metadata["field"]), (ErrorReason::InvalidRequest, &field));
        let default = Some(budget(None, Some(alerts)));
        let default = pb::SetDefaultBudgetRequest { budget: default, ..Default::default() };
        let refused = service.budgets().set_default_budget(default).await.unwrap_err();
        assert_eq!(Failure::from_status(&refused).metadata["field"], field);
    }
    assert_eq!(service.status(key()).await, set);
    assert_eq!(service.urls(&the_key()).await, [URL]);
}

async fn whom_the_default_budget_tells_is_not_its_tenants_to_know(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let default = Some(budget(None, Some(alerts(&[hook("chat", URL)]))));
    let default = pb::SetDefaultBudgetRequest { budget: default, ..Default::default() };
    service.budgets().set_default_budget(default).await.unwrap();
    let issuer = Issuer::new("one", service.clock.clone());
    service.budget.gate.apply(issuer.snapshot(Vec::new()));
    let viewer = issuer.token("ada", &[("tenant", Role::Viewer)]);
    let mut api = BudgetServiceClient::new(local(service.budget.budget_service()));
    let get = pb::GetBudgetRequest { scope: Some(tenant()), ..Default::default() };
    let status = api.get_budget(bearing(get, &viewer)).await.unwrap().into_inner().status.unwrap();
    assert!(status.is_default);
    assert_eq!(told(status), None);
    let list = pb::ListTenantBudgetsRequest { tenant_ids: vec!["tenant".into()], ..Default::default() };
    let listed = api.list_tenant_budgets(bearing(list, &viewer)).await.unwrap().into_inner().tenants;
    assert_eq!(told(listed[0].status.clone().unwrap()), None);
}

async fn a_replica_shows_what_another_was_told(db: TestDb) {
    let (clock, redis) = (clock(), crate::servers::own_database());
    let other_dir = tempfile::tempdir().unwrap();
    let one = Service::start_on(redis.clone(), &db, db.dir(), &clock).await;
    let other = Service::start_on(redis, &db, other_dir.path(), &clock).await;
    let default = async |service: &Service| {
        let answer = service.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await.ok();
        answer.and_then(|answer| answer.into_inner().budget).and_then(|budget| budget.alerts)
    };
    let with = |scope| budget(scope, Some(alerts(&[hook("chat", URL)])));
    one.set(with(Some(tenant())), "").await.unwrap();
    let request = pb::SetDefaultBudgetRequest { budget: Some(with(None)), ..Default::default() };
    one.budgets().set_default_budget(request).await.unwrap();
    until(async || default(&other).await == Some(shown())).await;
    assert_eq!(told(other.status(tenant()).await), Some(shown()));
    // It knows the URL, too.
    other.set(budget(Some(tenant()), Some(shown())), "").await.unwrap();
    one.set(budget(Some(tenant()), None), "").await.unwrap();
    until(async || told(other.status(tenant()).await).is_none()).await;
}

async fn what_was_sealed_for_one_budget_opens_for_no_other(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set(budget(Some(key()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    service.set(budget(Some(tenant()), None), "").await.unwrap();
    service.stop().await;
    let of_key = "SELECT sealed_alerts FROM budgets WHERE scope_kind = 'key'";
    db.run("budget", &format!("UPDATE budgets SET sealed_alerts = ({of_key})")).await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(told(service.status(key()).await), Some(shown()));
    assert_eq!(told(service.status(tenant()).await), None);
    // It can be set anew.
    let anew = service.set(budget(Some(tenant()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    assert_eq!(told(anew), Some(shown()));
}

async fn a_database_belongs_to_one_key(db: TestDb) {
    let clock = clock();
    let start = async |sealing_key: Option<&str>| {
        let config = Config { sealing_key: sealing_key.map(Into::into), ..Config::default() };
        match Service::try_start(config, RedisConfig::default(), &db, db.dir(), &clock).await {
            Ok(service) => Ok(service),
            Err(BuildError::SealingKey(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        }
    };
    let service = start(None).await.unwrap();
    service.set(budget(Some(key()), Some(alerts(&[hook("chat", URL)]))), "").await.unwrap();
    service.stop().await;
    let (file, other) = (db.dir().join("budget.key"), "c3".repeat(32));
    let own = std::fs::read_to_string(&file).unwrap();
    assert!(matches!(start(Some(&other)).await.err(), Some(SealingKeyError::Another)));
    std::fs::write(&file, &other).unwrap();
    assert!(matches!(start(None).await.err(), Some(SealingKeyError::Another)));
    std::fs::write(&file, "5a").unwrap();
    assert!(matches!(start(None).await.err(), Some(SealingKeyError::Malformed)));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(start(None).await.err(), Some(SealingKeyError::Missing)));
    assert!(!file.exists(), "no other key takes its place");
    // Whoever has it may give it.
    let service = start(Some(&own)).await.unwrap();
    assert_eq!(service.urls(&the_key()).await, [URL]);
}

async fn a_configuration_says_whom_to_tell_or_leaves_them(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let seed = async |alerts: &str| {
        let terms = format!(r#"{{"limit_usd": 1, "window": "weekly"{alerts}}}"#);
        let text = format!(
            r#"{{"budgets": [{{"key_id": "key", "limit_usd": 1{alerts}}}], "default_budget": {terms}}}"#
        );
        service.budget.bootstrap(&serde_json::from_str(&text).unwrap()).await.unwrap();
        service.status(key()).await
    };
    let said = format!(
        r#", "alerts": {{"emails": ["ada@example.com", "ops@example.com"], "cooldown_seconds": 3600,
            "webhooks": [{{"name": "chat", "url": "{URL}"}}]}}"#
    );
    let first = seed(&said).await;
    assert_eq!(told(first.clone()), Some(shown()));
    assert_eq!(service.urls(&the_key()).await, [URL]);
    assert_eq!(seed(&said).await, first, "said again");
    assert_eq!(seed("").await, first, "nothing is said of them");
    let default = service.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await.unwrap();
    assert_eq!(default.into_inner().budget.unwrap().alerts, Some(shown()));
    assert_eq!(told(seed(r#", "alerts": {}"#).await), None);
    let written: crate::bootstrap::BudgetTerms =
        serde_json::from_str(&format!("{{\"limit_usd\": 1{said}}}")).unwrap();
    let written = format!("{} {written:?}", serde_json::to_string(&written).unwrap());
    assert!(written.contains("[redacted]") && !written.contains("planted"), "{written}");
}

async fn a_key_is_made_with_whom_to_tell(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let with = |webhook| quota(None, Some(budget(None, Some(alerts(&[webhook])))));
    let set = service.set_quota(with(hook("chat", URL))).await.unwrap();
    assert_eq!(set.budget.unwrap().alerts, Some(shown()));
    assert_eq!(service.urls(&the_key()).await, [URL]);
    let unknown = service.set_quota(with(hook("chat", ""))).await.unwrap_err();
    assert_eq!(unknown.metadata["field"], "budget.alerts.webhooks[0].url", "a new key has none");
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(told(service.status(key()).await), Some(shown()));
    service.set_quota(quota(None, Some(budget(None, None)))).await.unwrap();
    assert_eq!(told(service.status(key()).await), None);
    assert_eq!(service.kept(&the_key()).await, Alerts::default());
}
