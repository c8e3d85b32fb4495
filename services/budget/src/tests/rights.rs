//! Who may read and change what.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};

use super::*;

on_both_engines!(a_tenants_people_manage_what_is_of_it, what_is_of_keys_takes_a_super_admin);

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
        api.get_limits(bearing(pb::GetLimitsRequest { scope: scope.clone() }, with)).await.map(drop),
        api.set_limits(bearing(
            pb::SetLimitsRequest { scope: scope.clone(), limits, ..Default::default() },
            with,
        ))
        .await
        .map(drop),
        api.set_budget(bearing(pb::SetBudgetRequest { budget, ..Default::default() }, with)).await.map(drop),
        api.get_budget(bearing(pb::GetBudgetRequest { scope: scope.clone() }, with)).await.map(drop),
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
    let globex = pb::GetLimitsRequest { scope: Some(tenant("globex")) };
    let globex = service.budgets().get_limits(globex).await.unwrap().into_inner().limits;
    assert_eq!(globex, Some(pb::Limits::default()), "nothing was changed");
}

async fn what_is_of_keys_takes_a_super_admin(db: TestDb) {
    let service = Service::start(&db, &Clock::manual(0)).await;
    let issuer = issuer(&service);
    let key = pb::Scope { scope: Some(pb::scope::Scope::KeyId("key".into())) };
    let owner = issuer.token("ada", &[("acme", Role::Owner)]);
    assert_eq!(calls(&service, &key, &owner).await, [Err(ErrorReason::PermissionDenied); 5]);
    let root = issuer.sign(&headgate_access::Claims { super_admin: true, ..issuer.claims("root", &[]) });
    assert_eq!(calls(&service, &key, &root).await, [Ok(()); 5]);
    let nothing = pb::Scope { scope: None };
    assert_eq!(calls(&service, &nothing, &owner).await, [Err(ErrorReason::InvalidRequest); 5]);
}
