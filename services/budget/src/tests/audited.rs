//! What the audit log is told of limits and budgets.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};
use headgate_audit::to_json;
use headgate_kit::fetch;
use headgate_proto::auth::v1::{AuditActorKind, AuditEvent, AuditOutcome};
use serde_json::{Value, json};

use super::*;

on_both_engines!(
    each_change_is_told_once_with_its_author_and_what_was_before,
    what_changes_nothing_is_not_told,
    a_bootstrap_is_an_author_once,
    another_url_is_told_of_and_not_shown,
);

impl Service {
    /// What is yet to be told, oldest first.
    pub(super) async fn told(&self) -> Vec<AuditEvent> {
        let rows: Vec<Vec<u8>> = fetch!(self.budget.store.db.read(), pool => {
            sqlx::query_scalar("SELECT event FROM audit_outbox ORDER BY id").fetch_all(pool)
        })
        .unwrap();
        rows.iter().map(|row| AuditEvent::decode(row.as_slice()).unwrap()).collect()
    }
}

/// Who did what to which thing of which tenant.
pub(super) fn line(event: &AuditEvent) -> [&str; 5] {
    let actor = event.actor.as_ref().unwrap();
    let who = match actor.kind() {
        AuditActorKind::User => actor.user_id.as_str(),
        kind => kind.as_str_name(),
    };
    [who, &event.action, &event.resource_kind, &event.resource_id, &event.tenant_id]
}

/// A field of what was before and of what is after.
fn became(event: &AuditEvent, pointer: &str) -> [Value; 2] {
    [&event.before, &event.after].map(|side| {
        let side: Value =
            side.as_ref().map_or(Value::Null, |shown| serde_json::from_str(&to_json(shown)).unwrap());
        side.pointer(pointer).cloned().unwrap_or_default()
    })
}

fn cents(scope: Option<pb::Scope>, cents: i64) -> pb::Budget {
    let window = pb::BudgetWindow::CalendarMonth.into();
    pb::Budget { scope, window, limit_nano_usd: cents * CENT, ..Default::default() }
}

fn limits(scope: pb::Scope, requests_per_minute: u32) -> pb::SetLimitsRequest {
    let limits = pb::Limits { requests_per_minute: Some(requests_per_minute), ..Default::default() };
    pb::SetLimitsRequest { scope: Some(scope), limits: Some(limits), ..Default::default() }
}

async fn each_change_is_told_once_with_its_author_and_what_was_before(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let issuer = Issuer::new("one", service.clock.clone());
    service.budget.gate.apply(issuer.snapshot(Vec::new()));
    let ada = issuer.token("ada", &[("tenant", Role::Admin)]);
    let mut api = BudgetServiceClient::new(local(service.budget.budget_service()));
    api.set_limits(bearing(limits(key(), 7), &ada)).await.unwrap();
    // Ids sort by time, to the millisecond.
    service.clock.advance(Duration::from_millis(5));
    for amount in [100, 200] {
        let budget = Some(cents(Some(tenant()), amount));
        let request = pb::SetBudgetRequest { budget, ..Default::default() };
        api.set_budget(bearing(request, &ada)).await.unwrap();
        service.clock.advance(Duration::from_millis(5));
    }
    let delete = pb::DeleteBudgetRequest { scope: Some(tenant()), ..Default::default() };
    api.delete_budget(bearing(delete, &ada)).await.unwrap();
    service.clock.advance(Duration::from_millis(5));
    let default = pb::SetDefaultBudgetRequest { budget: Some(cents(None, 300)), ..Default::default() };
    service.budgets().set_default_budget(default).await.unwrap();
    service.clock.advance(Duration::from_millis(5));
    service.budgets().delete_default_budget(pb::DeleteDefaultBudgetRequest::default()).await.unwrap();

    let told = service.told().await;
    let call = |name: &str| format!("budget.v1.BudgetService.{name}");
    let lines: Vec<_> = told.iter().map(line).collect();
    let operator = AuditActorKind::Operator.as_str_name();
    let wanted = [
        ["ada", &call("SetLimits"), "limits", "key", "tenant"],
        ["ada", &call("SetBudget"), "budget", "tenant", "tenant"],
        ["ada", &call("SetBudget"), "budget", "tenant", "tenant"],
        ["ada", &call("DeleteBudget"), "budget", "tenant", "tenant"],
        [operator, &call("SetDefaultBudget"), "budget", "default", ""],
        [operator, &call("DeleteDefaultBudget"), "budget", "default", ""],
    ];
    assert_eq!(lines, wanted);
    assert!(told.iter().all(|event| event.outcome() == AuditOutcome::Succeeded));
    assert_eq!(became(&told[0], "/limits/requests_per_minute"), [Value::Null, json!(7)]);
    assert_eq!(became(&told[0], "/scope/key_id"), [Value::Null, json!("key")]);
    let amounts = told[1..].iter().map(|event| became(event, "/limit_usd"));
    let (one, two, three) = (json!("1.00"), json!("2.00"), json!("3.00"));
    let wanted = [
        [Value::Null, one.clone()],
        [one, two.clone()],
        [two, Value::Null],
        [Value::Null, three.clone()],
        [three, Value::Null],
    ];
    assert_eq!(amounts.collect::<Vec<_>>(), wanted);
}

async fn what_changes_nothing_is_not_told(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.budgets().set_limits(limits(key(), 7)).await.unwrap();
    service.set_budget(key(), CENT).await;
    assert_eq!(service.told().await.len(), 2);
    service.budgets().set_limits(limits(key(), 7)).await.unwrap();
    service.set_budget(key(), CENT).await;
    let stale = pb::SetLimitsRequest { etag: "stale".into(), ..limits(key(), 8) };
    service.budgets().set_limits(stale).await.unwrap_err();
    service.budgets().set_limits(limits(key(), 0)).await.unwrap_err();
    let none = pb::DeleteBudgetRequest { scope: Some(tenant()), ..Default::default() };
    service.budgets().delete_budget(none).await.unwrap_err();
    assert_eq!(service.told().await.len(), 2);
}

async fn a_bootstrap_is_an_author_once(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let text =
        r#"{"tenant_limits": {"tenant": {"requests_per_minute": 60}}, "default_budget": {"limit_usd": 1}}"#;
    let bootstrap: Bootstrap = serde_json::from_str(text).unwrap();
    for _ in 0..2 {
        service.budget.bootstrap(&bootstrap).await.unwrap();
        let told = service.told().await;
        let mut lines: Vec<_> = told.iter().map(line).collect();
        lines.sort_unstable();
        let by = AuditActorKind::Service.as_str_name();
        let wanted =
            [[by, "bootstrap", "budget", "default", ""], [by, "bootstrap", "limits", "tenant", "tenant"]];
        assert_eq!(lines, wanted);
    }
}

async fn another_url_is_told_of_and_not_shown(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let set = async |url: &str, cooldown_seconds| {
        let hook = pb::AlertWebhook { name: "chat".into(), url: url.into(), ..Default::default() };
        let alerts = pb::BudgetAlerts { webhooks: vec![hook], cooldown_seconds, ..Default::default() };
        let budget = Some(pb::Budget { alerts: Some(alerts), ..cents(Some(key()), 100) });
        let request = pb::SetBudgetRequest { budget, ..Default::default() };
        service.budgets().set_budget(request).await.unwrap();
        service.clock.advance(Duration::from_millis(5));
    };
    set("https://hooks.example.com/planted-first", None).await;
    set("", None).await;
    set("https://hooks.example.com/planted-first", None).await;
    assert_eq!(service.told().await.len(), 1, "nothing became another");
    set("https://hooks.example.com/planted-second", None).await;
    set("", Some(60)).await;
    set("https://hooks.example.com/planted-third", Some(120)).await;

    let told = service.told().await;
    let mut kinds: Vec<_> = told.iter().map(|event| event.resource_kind.as_str()).collect();
    // Both entries of the last change are of one time.
    kinds[3..].sort_unstable();
    assert_eq!(kinds, ["budget", "budget_webhooks", "budget", "budget", "budget_webhooks"]);
    let webhook =
        [Value::Null, json!({"name": "chat", "url": "[redacted]", "origin": "https://hooks.example.com"})];
    assert_eq!(became(&told[0], "/alerts/webhooks/0"), webhook);
    assert_eq!(became(&told[2], "/alerts/cooldown_seconds"), [Value::Null, json!(60)]);
    assert!(told.iter().all(|event| event.resource_id == "key" && event.tenant_id == "tenant"));
    assert!(!told.iter().any(|event| format!("{event:?}").contains("planted")));
}
