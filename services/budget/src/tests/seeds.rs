//! What was set by call wins over what the configuration said before, until it says something else.

use super::*;

on_both_engines!(
    what_was_set_by_call_stands_until_its_entry_says_something_else,
    what_was_removed_by_call_stays_removed_until_its_entry_says_something_else,
    a_refused_configuration_sets_nothing,
);

const URL: &str = "https://hooks.example.com/planted";

fn said(limit_usd: u32, url: &str) -> Bootstrap {
    let text = format!(
        r#"{{"tenant_limits": {{"tenant": {{"requests_per_minute": 60}}}},
             "limits": [{{"key_id": "key", "parallel_requests": 3}}],
             "tenant_budgets": {{"tenant": {{"limit_usd": {limit_usd},
                 "alerts": {{"webhooks": [{{"name": "chat", "url": "{url}"}}]}}}}}},
             "budgets": [{{"key_id": "key", "limit_usd": 2}}],
             "default_budget": {{"limit_usd": 3}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

impl Service {
    async fn seeded(db: &TestDb, clock: &Clock, said: &Bootstrap) -> Self {
        let service = Self::start(db, clock).await;
        service.budget.bootstrap(said).await.unwrap();
        service
    }

    /// The limits in USD of the tenant, the key and all others; 0 where there is no budget.
    async fn all_budgets(&self) -> [i64; 3] {
        let limit = |budget: Option<pb::Budget>| budget.map_or(0, |budget| budget.limit_nano_usd / USD);
        let default = self.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await;
        let mut all = [0, 0, default.map_or(0, |default| limit(default.into_inner().budget))];
        for (at, scope) in [tenant(), key()].into_iter().enumerate() {
            let request = pb::GetBudgetRequest { scope: Some(scope), ..Default::default() };
            let found = self.budgets().get_budget(request).await;
            all[at] = found.map_or(0, |found| limit(found.into_inner().status.unwrap().budget));
        }
        all
    }

    async fn tenant_limits(&self) -> pb::Limits {
        let request = pb::GetLimitsRequest { scope: Some(tenant()), ..Default::default() };
        self.budgets().get_limits(request).await.unwrap().into_inner().limits.unwrap()
    }

    async fn set_tenant_limits(&self, requests_per_minute: u32) {
        let limits = pb::Limits { requests_per_minute: Some(requests_per_minute), ..Default::default() };
        let request =
            pb::SetLimitsRequest { scope: Some(tenant()), limits: Some(limits), ..Default::default() };
        self.budgets().set_limits(request).await.unwrap();
    }
}

async fn what_was_set_by_call_stands_until_its_entry_says_something_else(db: TestDb) {
    let clock = clock();
    let service = Service::seeded(&db, &clock, &said(1, URL)).await;
    assert_eq!(service.all_budgets().await, [1, 2, 3]);
    service.set_budget(tenant(), 7 * USD).await;
    service.set_budget(key(), 8 * USD).await;
    service.set_tenant_limits(5).await;
    service.stop().await;
    let service = Service::seeded(&db, &clock, &said(1, URL)).await;
    assert_eq!(service.all_budgets().await, [7, 8, 3], "the same file undoes nothing");
    assert_eq!(service.tenant_limits().await.requests_per_minute, Some(5));

    // One entry changes, and nothing else does; a URL alone is enough.
    service.budget.bootstrap(&said(4, URL)).await.unwrap();
    assert_eq!(service.all_budgets().await, [4, 8, 3]);
    service.set_budget(tenant(), 7 * USD).await;
    service.budget.bootstrap(&said(4, "https://hooks.example.com/planted-anew")).await.unwrap();
    assert_eq!(service.all_budgets().await, [4, 8, 3]);
    assert_eq!(service.tenant_limits().await.requests_per_minute, Some(5));
    let mut other = said(4, URL);
    other.tenant_limits.values_mut().for_each(|limits| limits.requests_per_minute = Some(70));
    service.budget.bootstrap(&other).await.unwrap();
    assert_eq!(service.tenant_limits().await.requests_per_minute, Some(70));
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(service.all_budgets().await, [4, 8, 3], "it is in the database, too");
    let stored = db.bytes("budget").await;
    assert!(!stored.windows(7).any(|window| window == b"planted"));
}

async fn what_was_removed_by_call_stays_removed_until_its_entry_says_something_else(db: TestDb) {
    let clock = clock();
    let service = Service::seeded(&db, &clock, &said(1, URL)).await;
    for scope in [tenant(), key()] {
        let request = pb::DeleteBudgetRequest { scope: Some(scope), ..Default::default() };
        service.budgets().delete_budget(request).await.unwrap();
    }
    service.budgets().delete_default_budget(pb::DeleteDefaultBudgetRequest::default()).await.unwrap();
    service.stop().await;
    let service = Service::seeded(&db, &clock, &said(1, URL)).await;
    assert_eq!(service.all_budgets().await, [0, 0, 0]);
    service.budget.bootstrap(&said(4, URL)).await.unwrap();
    assert_eq!(service.all_budgets().await, [4, 0, 0]);
}

async fn a_refused_configuration_sets_nothing(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let mut bad = said(1, URL);
    bad.default_budget.as_mut().unwrap().warning_percent = Some(101);
    let refusal = service.budget.bootstrap(&bad).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::InvalidRequest);
    assert_eq!(service.all_budgets().await, [0, 0, 0]);
    service.budget.bootstrap(&said(1, URL)).await.unwrap();
    assert_eq!(service.all_budgets().await, [1, 2, 3]);
}
