//! What is set for scopes and for all others, by whom it was read, and how it is listed.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};
use headgate_proto::budget::v1::tenant_standing_service_client::TenantStandingServiceClient;
use headgate_proto::budget::v1::tenant_standing_service_server::TenantStandingService as _;
use tonic::Status;

use super::*;

on_both_engines!(
    the_default_covers_tenants_without_a_budget_of_their_own,
    of_two_changes_of_what_was_read_one_succeeds,
    the_first_change_of_what_was_never_set_can_be_guarded,
    what_is_set_already_is_no_change,
    amounts_are_given_and_shown_in_usd,
    what_was_set_is_listed_in_pages,
    tenants_are_listed_with_what_they_spent,
    auth_learns_where_tenants_stand,
);

fn dollars(scope: Option<pb::Scope>, limit_usd: &str) -> pb::Budget {
    let window = pb::BudgetWindow::CalendarMonth.into();
    pb::Budget { scope, window, limit_usd: limit_usd.into(), ..Default::default() }
}

fn of_key(id: &str) -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::KeyId(id.into())) }
}

fn of_tenant(id: &str) -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::TenantId(id.into())) }
}

fn refusal(status: &Status) -> (ErrorReason, String) {
    let failure = Failure::from_status(status);
    (failure.reason, failure.metadata.get("field").cloned().unwrap_or_default())
}

impl Service {
    async fn set_default(&self, limit_usd: &str, etag: &str) -> Result<String, Status> {
        let request =
            pb::SetDefaultBudgetRequest { budget: Some(dollars(None, limit_usd)), etag: etag.into() };
        Ok(self.budgets().set_default_budget(request).await?.into_inner().etag)
    }

    pub(super) async fn set(&self, budget: pb::Budget, etag: &str) -> Result<pb::BudgetStatus, Status> {
        let request = pb::SetBudgetRequest { budget: Some(budget), etag: etag.into(), ..Default::default() };
        Ok(self.budgets().set_budget(request).await?.into_inner().status.unwrap())
    }

    pub(super) async fn delete(&self, scope: pb::Scope, etag: &str) -> Result<(), Status> {
        let request = pb::DeleteBudgetRequest { scope: Some(scope), etag: etag.into(), ..Default::default() };
        self.budgets().delete_budget(request).await.map(drop)
    }

    /// Whether a request that may cost so much is let in. It is given back at once.
    async fn fits(&self, n: u128, hold: i64) -> bool {
        let admitted = matches!(self.admit(self.request(n, hold)).await, Decision::Admitted(_));
        let release = pb::ReleaseRequest { lease_id: id(n), tenant_id: "tenant".into() };
        self.admission().release(release).await.unwrap();
        admitted
    }
}

async fn the_default_covers_tenants_without_a_budget_of_their_own(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    assert!(service.fits(1, 10 * USD).await);
    let none = service.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await.unwrap_err();
    assert_eq!(refusal(&none).0, ErrorReason::NotFound);
    service.set_default("1.00", "").await.unwrap();
    service.stop().await;

    let service = Service::start(&db, &clock).await;
    assert!(service.fits(2, USD).await && !service.fits(3, USD + 1).await, "over a restart");
    let status = service.status(tenant()).await;
    assert!(status.is_default);
    assert_eq!(status.budget.unwrap().limit_nano_usd, USD);
    let keys = service
        .budgets()
        .get_budget(pb::GetBudgetRequest { scope: Some(key()), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(refusal(&keys).0, ErrorReason::NotFound, "it is no budget of keys");

    let own = service.set(dollars(Some(tenant()), "2.00"), "").await.unwrap();
    assert!(!own.is_default);
    assert!(service.fits(4, 2 * USD).await && !service.fits(5, 2 * USD + 1).await);
    service.delete(tenant(), &own.etag).await.unwrap();
    assert!(!service.fits(6, USD + 1).await);
    service.set(dollars(Some(key()), "3.00"), "").await.unwrap();
    assert!(service.fits(7, 3 * USD).await && !service.fits(8, 3 * USD + 1).await, "a key's takes its place");
    service.set(dollars(Some(tenant()), "2.00"), "").await.unwrap();
    assert!(service.fits(9, 2 * USD).await && !service.fits(10, 2 * USD + 1).await, "but not a tenant's own");

    service.delete(tenant(), "").await.unwrap();
    service.delete(key(), "").await.unwrap();
    let delete = pb::DeleteDefaultBudgetRequest::default();
    service.budgets().delete_default_budget(delete.clone()).await.unwrap();
    assert!(service.fits(11, 10 * USD).await);
    let again = service.budgets().delete_default_budget(delete).await.unwrap_err();
    assert_eq!(refusal(&again).0, ErrorReason::NotFound);
}

async fn of_two_changes_of_what_was_read_one_succeeds(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let read = service.set(dollars(Some(key()), "1.00"), "").await.unwrap().etag;
    let set = |amount| service.set(dollars(Some(key()), amount), &read);
    let (one, other) = tokio::join!(set("2.00"), set("3.00"));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let (won, lost) = (won.unwrap(), Failure::from_status(&lost.unwrap_err()));
    assert_eq!((lost.reason, &lost.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    assert_eq!(service.status(key()).await, won);
    let stale = service.delete(key(), &read).await.unwrap_err();
    assert_eq!(refusal(&stale).0, ErrorReason::Conflict);
    service.delete(key(), &won.etag).await.unwrap();
    let gone = service.set(dollars(Some(key()), "4.00"), &won.etag).await.unwrap_err();
    assert_eq!(refusal(&gone).0, ErrorReason::Conflict, "it was removed meanwhile");

    let limits = |n, etag: &str| {
        let limits = Some(pb::Limits { requests_per_minute: Some(n), ..Default::default() });
        let request =
            pb::SetLimitsRequest { scope: Some(key()), limits, etag: etag.into(), ..Default::default() };
        async { service.budgets().set_limits(request).await.map(|set| set.into_inner().etag) }
    };
    let first = limits(1, "").await.unwrap();
    let second = limits(2, &first).await.unwrap();
    assert_eq!(refusal(&limits(3, &first).await.unwrap_err()).0, ErrorReason::Conflict);
    let got = service
        .budgets()
        .get_limits(pb::GetLimitsRequest { scope: Some(key()), ..Default::default() })
        .await
        .unwrap();
    let got = got.into_inner();
    assert_eq!((got.limits.unwrap().requests_per_minute, &got.etag), (Some(2), &second));

    let first = service.set_default("1.00", "").await.unwrap();
    service.set_default("2.00", &first).await.unwrap();
    assert_eq!(refusal(&service.set_default("3.00", &first).await.unwrap_err()).0, ErrorReason::Conflict);
}

async fn the_first_change_of_what_was_never_set_can_be_guarded(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let conflict = |status: Status| {
        let failure = Failure::from_status(&status);
        assert_eq!(failure.reason, ErrorReason::Conflict);
        failure.metadata["etag"].clone()
    };
    let limits = |n, etag: String| {
        let limits = Some(pb::Limits { requests_per_minute: Some(n), ..Default::default() });
        let request = pb::SetLimitsRequest { scope: Some(tenant()), limits, etag, ..Default::default() };
        async { service.budgets().set_limits(request).await.map(|set| set.into_inner().etag) }
    };
    let get = pb::GetLimitsRequest { scope: Some(tenant()), ..Default::default() };
    let read = service.budgets().get_limits(get).await.unwrap().into_inner().etag;
    let first = limits(1, read.clone()).await.unwrap();
    assert_eq!(conflict(limits(2, read).await.unwrap_err()), first);

    // Of a key, which has no budget to read.
    let own = service.set(dollars(Some(key()), "1.00"), "0").await.unwrap();
    assert_eq!(conflict(service.set(dollars(Some(key()), "2.00"), "0").await.unwrap_err()), own.etag);

    // Of a tenant that the default covers: what it was shown is good, until it changes.
    let default = service.set_default("1.00", "0").await.unwrap();
    assert_eq!(conflict(service.set_default("2.00", "0").await.unwrap_err()), default);
    let shown = service.status(tenant()).await;
    assert!(shown.is_default && shown.etag == default);
    let changed = service.set_default("2.00", &default).await.unwrap();
    assert_eq!(
        conflict(service.set(dollars(Some(tenant()), "3.00"), &shown.etag).await.unwrap_err()),
        changed
    );
    let own = service.set(dollars(Some(tenant()), "3.00"), &changed).await.unwrap();
    for stale in ["0", &changed] {
        assert_eq!(
            conflict(service.set(dollars(Some(tenant()), "4.00"), stale).await.unwrap_err()),
            own.etag
        );
    }
    service.delete(tenant(), &own.etag).await.unwrap();
    service.set(dollars(Some(tenant()), "5.00"), "0").await.unwrap();
}

async fn what_is_set_already_is_no_change(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let first = service.set(dollars(Some(key()), "1.00"), "").await.unwrap();
    assert_eq!(service.set(dollars(Some(key()), "1.00"), &first.etag).await.unwrap(), first);
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(service.status(key()).await, first, "a restart is none either");
}

async fn amounts_are_given_and_shown_in_usd(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let set = service.set(dollars(Some(tenant()), "1.000000001"), "").await.unwrap();
    let budget = set.budget.unwrap();
    assert_eq!((budget.limit_nano_usd, budget.limit_usd.as_str()), (USD + 1, "1.000000001"));
    assert!(matches!(service.admit(service.request(1, 30 * CENT)).await, Decision::Admitted(_)));
    service.apply(&[service.record(2, 25 * CENT, Outcome::Succeeded)]).await;
    let status = service.status(tenant()).await;
    let shown = [status.spent_usd.as_str(), &status.held_usd, &status.remaining_usd];
    assert_eq!(shown, ["0.25", "0.30", "0.450000001"]);
    assert_eq!(status.etag, set.etag, "what is spent changes nothing");

    let same = pb::Budget { limit_nano_usd: USD, ..dollars(Some(tenant()), "1") };
    assert_eq!(service.set(same, "").await.unwrap().budget.unwrap().limit_usd, "1.00");
    let before = service.status(tenant()).await;
    let bad = [
        pb::Budget { limit_nano_usd: 1, ..dollars(Some(tenant()), "1.00") },
        dollars(Some(tenant()), "-1"),
        dollars(Some(tenant()), "1.0000000001"),
        dollars(Some(tenant()), "a lot"),
        // A limit that was forgotten.
        dollars(Some(tenant()), ""),
    ];
    for budget in bad {
        let refused = service.set(budget, "").await.unwrap_err();
        assert_eq!(refusal(&refused), (ErrorReason::InvalidRequest, "budget.limit_usd".into()));
    }
    let scoped =
        pb::SetDefaultBudgetRequest { budget: Some(dollars(Some(tenant()), "1.00")), ..Default::default() };
    let refused = service.budgets().set_default_budget(scoped).await.unwrap_err();
    assert_eq!(refusal(&refused), (ErrorReason::InvalidRequest, "budget.scope".into()));
    assert_eq!(service.status(tenant()).await, before);
}

async fn what_was_set_is_listed_in_pages(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_default("9.00", "").await.unwrap();
    for scope in [of_tenant("b"), of_key("b"), of_tenant("a"), of_key("a")] {
        service.set(dollars(Some(scope), "1.00"), "").await.unwrap();
    }
    let limits = Some(pb::Limits { requests_per_minute: Some(7), ..Default::default() });
    let request = pb::SetLimitsRequest { scope: Some(of_key("c")), limits, ..Default::default() };
    service.budgets().set_limits(request).await.unwrap();
    service.delete(of_key("b"), "").await.unwrap();

    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListBudgetOverridesRequest { page_size: 2, page_token };
        let page = service.budgets().list_budget_overrides(request).await.unwrap().into_inner();
        seen.push(page.overrides);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let scopes = seen.iter().map(|page| page.iter().map(|row| row.scope.clone().unwrap()).collect());
    let wanted = [vec![of_key("a"), of_key("c")], vec![of_tenant("a"), of_tenant("b")]];
    assert_eq!(scopes.collect::<Vec<Vec<_>>>(), wanted);
    let (a, c) = (&seen[0][0], &seen[0][1]);
    assert_eq!((a.limits, a.budget.as_ref().unwrap().limit_usd.as_str()), (None, "1.00"));
    assert_eq!((c.limits, &c.budget), (limits, &None));
}

async fn tenants_are_listed_with_what_they_spent(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.apply(&[service.record(1, 25 * CENT, Outcome::Succeeded)]).await;
    service.set(dollars(Some(of_tenant("rich")), "5.00"), "").await.unwrap();
    let list = async |token: &str, tenant_ids: &[&str]| {
        let tenant_ids = tenant_ids.iter().map(|&id| id.to_owned()).collect();
        let request = pb::ListTenantBudgetsRequest { tenant_ids, ..Default::default() };
        let mut api = BudgetServiceClient::new(local(service.budget.budget_service()));
        let page = api.list_tenant_budgets(bearing(request, token)).await.unwrap().into_inner();
        let row = |row: pb::TenantBudget| {
            let status = row.status.unwrap();
            let limit = status.budget.map(|budget| budget.limit_usd).unwrap_or_default();
            (row.tenant_id, limit, status.spent_usd, status.remaining_usd)
        };
        page.tenants.into_iter().map(row).collect::<Vec<_>>()
    };
    let row = |id: &str, limit: &str, spent: &str, left: &str| {
        (id.to_owned(), limit.to_owned(), spent.to_owned(), left.to_owned())
    };
    let rich = row("rich", "5.00", "0.00", "5.00");
    assert_eq!(list("operator", &[]).await, [rich.clone(), row("tenant", "", "0.25", "")]);
    service.set_default("1.00", "").await.unwrap();
    let covered = row("tenant", "1.00", "0.25", "0.75");
    assert_eq!(list("operator", &[]).await, [rich.clone(), covered.clone()]);
    assert_eq!(list("operator", &["new"]).await, [row("new", "1.00", "0.00", "1.00")]);

    let issuer = Issuer::new("one", service.clock.clone());
    service.budget.gate.apply(issuer.snapshot(Vec::new()));
    let viewer = issuer.token("ada", &[("tenant", Role::Viewer)]);
    assert_eq!(list(&viewer, &[]).await, [covered]);
    assert!(list(&viewer, &["rich", "new"]).await.is_empty(), "what is of others is not there");
}

async fn auth_learns_where_tenants_stand(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.apply(&[service.record(1, 25 * CENT, Outcome::Succeeded)]).await;
    service.set(dollars(Some(of_tenant("rich")), "5.00"), "").await.unwrap();
    let conn = local(service.budget.tenant_standing_service());
    let find = async |tenant_ids: Vec<String>| {
        let request = pb::FindTenantStandingsRequest { tenant_ids };
        let mut peers = TenantStandingServiceClient::new(conn.clone());
        peers.find_tenant_standings(request).await.map(|answer| answer.into_inner().standings)
    };
    let standings = find(["rich", "tenant", "none"].map(str::to_owned).to_vec()).await.unwrap();
    let shown = |id: &str| {
        let status = standings.get(id)?;
        let limit = status.budget.as_ref().map(|budget| budget.limit_usd.clone());
        Some((limit, status.spent_usd.clone()))
    };
    assert_eq!(shown("rich"), Some((Some("5.00".into()), "0.00".into())));
    assert_eq!(shown("tenant"), Some((None, "0.25".into())));
    assert_eq!(shown("none"), None);
    let many = (0..=1_000).map(|n| n.to_string()).collect();
    let failure = Failure::from_status(&find(many).await.unwrap_err());
    assert_eq!(failure.metadata["field"], "tenant_ids");
    let stranger = crate::TenantStandings(service.budget.clone());
    let status = stranger.find_tenant_standings(tonic::Request::new(Default::default())).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}
