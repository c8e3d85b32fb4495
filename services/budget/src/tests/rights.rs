//! Who may read and change what.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};

use super::*;

on_both_engines!(
    a_tenants_people_manage_what_is_of_it,
    what_is_of_a_key_is_its_tenants,
    nothing_changes_while_nobody_knows_whose_a_key_is,
    a_scope_is_found_below_its_tenant_only,
    a_tenant_that_there_is_not_has_nothing,
    whoever_belongs_to_a_tenant_proves_that_there_is_one,
);

/// How each call of the service goes for who presents `credential`, in the order of the proto.
async fn calls(service: &Service, scope: &pb::Scope, credential: &str) -> [Result<(), ErrorReason>; 5] {
    let scope = Some(scope.clone());
    let limits = Some(pb::Limits { requests_per_minute: Some(7), ..Default::default() });
    let window = pb::BudgetWindow::CalendarMonth.into();
    let budget =
        Some(pb::Budget { scope: scope.clone(), window, limit_nano_usd: CENT, ..Default::default() });
    let reason = |status| Failure::from_status(&status).reason;
    let with = credential;
    let mut api = BudgetServiceClient::new(local(service.budget.budget_service()));
    [
        api.get_limits(bearing(pb::GetLimitsRequest { scope: scope.clone(), ..Default::default() }, with))
            .await
            .map(drop),
        api.set_limits(bearing(
            pb::SetLimitsRequest { scope: scope.clone(), limits, ..Default::default() },
            with,
        ))
        .await
        .map(drop),
        api.set_budget(bearing(pb::SetBudgetRequest { budget, ..Default::default() }, with)).await.map(drop),
        api.get_budget(bearing(pb::GetBudgetRequest { scope: scope.clone(), ..Default::default() }, with))
            .await
            .map(drop),
        api.delete_budget(bearing(pb::DeleteBudgetRequest { scope, ..Default::default() }, with))
            .await
            .map(drop),
    ]
    .map(|answer| answer.map_err(reason))
}

fn tenant(id: &str) -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::TenantId(id.into())) }
}

fn issuer(service: &Service) -> Issuer {
    let issuer = Issuer::new("one", service.clock.clone());
    service.budget.gate.apply(issuer.snapshot(Vec::new()));
    issuer
}

async fn a_tenants_people_manage_what_is_of_it(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let issuer = issuer(&service);
    let (denied, unseen) = (Err(ErrorReason::PermissionDenied), Err(ErrorReason::NotFound));
    let token = |role| issuer.token("ada", &[("acme", role)]);
    let acme = tenant("acme");
    for role in [Role::Viewer, Role::Member] {
        let answers = calls(&service, &acme, &token(role)).await;
        assert_eq!(answers, [Ok(()), denied, denied, unseen, denied], "{role:?}: there is no budget to read");
    }
    for role in [Role::Admin, Role::Owner] {
        assert_eq!(calls(&service, &acme, &token(role)).await, [Ok(()); 5], "{role:?}");
        for other in ["globex", "none"] {
            assert_eq!(calls(&service, &tenant(other), &token(role)).await, [unseen; 5], "{role:?}");
        }
    }
    let globex = pb::GetLimitsRequest { scope: Some(tenant("globex")), ..Default::default() };
    let globex = service.budgets().get_limits(globex).await.unwrap().into_inner().limits;
    assert_eq!(globex, Some(pb::Limits::default()), "nothing was changed");
}

fn api_key(id: &str) -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::KeyId(id.into())) }
}

/// What stands for a key, read past the gate.
fn known(service: &Service, id: &str) -> crate::policy::Policy {
    service.budget.engine.policies().get(&crate::policy::Scope::Key(id.into()))
}

async fn what_is_of_a_key_is_its_tenants(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let issuer = issuer(&service);
    let (denied, unseen) = (Err(ErrorReason::PermissionDenied), Err(ErrorReason::NotFound));
    let token = |role| issuer.token("ada", &[("tenant", role)]);
    for role in [Role::Viewer, Role::Member] {
        let answers = calls(&service, &api_key("key"), &token(role)).await;
        assert_eq!(answers, [Ok(()), denied, denied, unseen, denied], "{role:?}: there is no budget to read");
    }
    let root = issuer.sign(&headgate_access::Claims { super_admin: true, ..issuer.claims("root", &[]) });
    for (who, token) in [("admin", token(Role::Admin)), ("owner", token(Role::Owner)), ("root", root.clone())]
    {
        assert_eq!(calls(&service, &api_key("key"), &token).await, [Ok(()); 5], "{who}");
        assert_eq!(calls(&service, &api_key("none"), &token).await, [unseen; 5], "{who}");
    }
    assert_eq!(calls(&service, &api_key("globex-key"), &root).await, [Ok(()); 5]);
    let before = known(&service, "globex-key");
    let owner = token(Role::Owner);
    assert_eq!(calls(&service, &api_key("globex-key"), &owner).await, [unseen; 5]);
    let mut api = BudgetServiceClient::new(local(service.budget.budget_service()));
    let mut read = async |id: &str| {
        let request = pb::GetLimitsRequest { scope: Some(api_key(id)), ..Default::default() };
        Failure::from_status(&api.get_limits(bearing(request, &owner)).await.unwrap_err())
    };
    assert_eq!(read("globex-key").await, read("none").await, "word for word");
    assert_eq!((known(&service, "globex-key"), known(&service, "none")), (before, Default::default()));
    let nothing = pb::Scope { scope: None };
    assert_eq!(calls(&service, &nothing, &owner).await, [Err(ErrorReason::InvalidRequest); 5]);
}

async fn nothing_changes_while_nobody_knows_whose_a_key_is(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let owner = issuer(&service).token("ada", &[("tenant", Role::Owner)]);
    for credential in ["operator", &owner] {
        let answers = calls(&service, &api_key("away"), credential).await;
        assert_eq!(answers, [Err(ErrorReason::Unavailable); 5]);
    }
    let stranger = calls(&service, &api_key("away"), "nothing good").await;
    assert_eq!(stranger, [Err(ErrorReason::InvalidCredential); 5], "nobody is asked for them");
    assert_eq!(known(&service, "away"), Default::default());
}

async fn a_scope_is_found_below_its_tenant_only(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let set = async |scope: pb::Scope, tenant_id: &str| {
        let limits = Some(pb::Limits { requests_per_minute: Some(7), ..Default::default() });
        let request = pb::SetLimitsRequest {
            scope: Some(scope),
            limits,
            tenant_id: tenant_id.into(),
            ..Default::default()
        };
        let set = service.budgets().set_limits(request).await;
        set.map(drop).map_err(|status| Failure::from_status(&status).reason)
    };
    let scopes = || [api_key("key"), tenant("tenant")];
    for scope in scopes() {
        assert_eq!(set(scope, "globex").await, Err(ErrorReason::NotFound));
    }
    assert!(service.budget.engine.policies().overrides().is_empty(), "nothing was changed");
    for scope in scopes() {
        assert_eq!(set(scope, "tenant").await, Ok(()));
    }
}

async fn a_tenant_that_there_is_not_has_nothing(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let issuer = issuer(&service);
    let root = issuer.sign(&headgate_access::Claims { super_admin: true, ..issuer.claims("root", &[]) });
    for credential in ["operator", &root] {
        let unseen = [Err(ErrorReason::NotFound); 5];
        assert_eq!(calls(&service, &tenant("nowhere"), credential).await, unseen, "{credential}");
        let unknown = [Err(ErrorReason::Unavailable); 5];
        assert_eq!(calls(&service, &tenant("away"), credential).await, unknown, "{credential}");
        let unnamed = [Err(ErrorReason::InvalidRequest); 5];
        assert_eq!(calls(&service, &tenant(""), credential).await, unnamed, "{credential}");
    }
    let stranger = calls(&service, &tenant("away"), "nothing good").await;
    assert_eq!(stranger, [Err(ErrorReason::InvalidCredential); 5], "nobody is asked for them");
    assert!(service.budget.engine.policies().overrides().is_empty(), "nothing was changed");
    assert_eq!(calls(&service, &tenant("acme"), &root).await, [Ok(()); 5]);
}

/// Auth that is away keeps no tenant's own people from what is theirs.
async fn whoever_belongs_to_a_tenant_proves_that_there_is_one(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let issuer = issuer(&service);
    let owner = issuer.token("ada", &[("away", Role::Owner)]);
    assert_eq!(calls(&service, &tenant("away"), &owner).await, [Ok(()); 5]);
    let claims = issuer.claims("root", &[("away", Role::Viewer)]);
    let root = issuer.sign(&headgate_access::Claims { super_admin: true, ..claims });
    assert_eq!(calls(&service, &tenant("away"), &root).await, [Ok(()); 5], "a super admin who belongs to it");
}
