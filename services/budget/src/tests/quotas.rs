//! What keys are made with.

use headgate_access::{Actor, Author};
use headgate_kit::origin::Origin;
use headgate_proto::auth::v1::AuditActorKind;
use headgate_proto::budget::v1::key_quota_service_client::KeyQuotaServiceClient;
use headgate_proto::budget::v1::key_quota_service_server::KeyQuotaService as _;

use super::audited::line;
use super::*;

on_both_engines!(
    a_quota_holds_from_the_first_admission_on_and_over_a_restart,
    a_quota_of_which_a_part_is_bad_sets_nothing,
    a_quota_is_taken_back_whole,
    the_audit_log_tells_who_made_the_key,
    nobody_but_auth_sets_quotas,
);

const CALL: &str = "auth.v1.ApiKeyService.CreateApiKey";

fn author() -> Author {
    let origin = Origin {
        address: Some([192, 0, 2, 7].into()),
        user_agent: "curl/8".into(),
        request_id: "req-7".into(),
    };
    Author { actor: Actor::User("ada".into()), origin, action: CALL.into() }
}

pub(super) fn quota(limits: Option<pb::Limits>, budget: Option<pb::Budget>) -> pb::SetKeyQuotaRequest {
    pb::SetKeyQuotaRequest {
        key_id: "key".into(),
        tenant_id: "tenant".into(),
        limits,
        budget,
        author: Some((&author()).into()),
    }
}

pub(super) fn of_key(key_id: &str, budget: pb::Budget) -> pb::SetKeyQuotaRequest {
    pb::SetKeyQuotaRequest { key_id: key_id.into(), ..quota(None, Some(budget)) }
}

/// Without a window.
fn usd(amount: &str) -> pb::Budget {
    pb::Budget { limit_usd: amount.into(), ..Default::default() }
}

fn at_once(parallel_requests: u32) -> pb::Limits {
    pb::Limits { parallel_requests: Some(parallel_requests), ..Default::default() }
}

impl Service {
    pub(super) async fn set_quota(
        &self,
        request: pb::SetKeyQuotaRequest,
    ) -> Result<pb::SetKeyQuotaResponse, Failure> {
        let mut api = KeyQuotaServiceClient::new(local(self.budget.key_quota_service()));
        let set = api.set_key_quota(request).await;
        set.map(tonic::Response::into_inner).map_err(|status| Failure::from_status(&status))
    }

    fn is_untouched(&self) -> bool {
        self.budget.engine.policies().overrides().is_empty()
    }
}

fn refused_for(decision: Decision) -> ErrorReason {
    let Decision::Refused(refused) = decision else { panic!("{decision:?}") };
    refused.reason()
}

async fn a_quota_holds_from_the_first_admission_on_and_over_a_restart(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    // Auth has no such key yet, and is not asked.
    let request =
        pb::SetKeyQuotaRequest { key_id: "away".into(), ..quota(Some(at_once(1)), Some(usd("0.10"))) };
    let set = service.set_quota(request).await.unwrap();
    let shown = pb::Budget {
        scope: Some(pb::Scope { scope: Some(pb::scope::Scope::KeyId("away".into())) }),
        window: pb::BudgetWindow::CalendarMonth.into(),
        limit_nano_usd: 10 * CENT,
        limit_usd: "0.10".into(),
        warning_percent: 80,
        ..Default::default()
    };
    assert_eq!(set, pb::SetKeyQuotaResponse { limits: Some(at_once(1)), budget: Some(shown) });
    let of_key = |service: &Service, n, hold| {
        let mut request = service.request(n, hold);
        request.intent.as_mut().unwrap().key_id = "away".into();
        request
    };
    let dear = of_key(&service, 1, 11 * CENT);
    assert_eq!(refused_for(service.admit(dear).await), ErrorReason::BudgetExceeded);
    service.stop().await;

    let service = Service::start(&db, &clock).await;
    let dear = of_key(&service, 2, 11 * CENT);
    assert_eq!(refused_for(service.admit(dear).await), ErrorReason::BudgetExceeded);
    assert!(matches!(service.admit(of_key(&service, 3, CENT)).await, Decision::Admitted(_)));
    assert_eq!(refused_for(service.admit(of_key(&service, 4, CENT)).await), ErrorReason::RateLimited);
}

async fn a_quota_of_which_a_part_is_bad_sets_nothing(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let (limits, budget) = (Some(at_once(1)), Some(usd("1.00")));
    let scoped = pb::Budget { scope: Some(key()), ..usd("1.00") };
    let bad = [
        ("limits.parallel_requests", quota(Some(at_once(0)), budget.clone())),
        ("budget.limit_usd", quota(limits, Some(usd("a lot")))),
        ("budget.limit_nano_usd", quota(limits, Some(pb::Budget { limit_nano_usd: -1, ..usd("") }))),
        ("budget.warning_percent", quota(limits, Some(pb::Budget { warning_percent: 101, ..usd("1.00") }))),
        ("budget.window", quota(limits, Some(pb::Budget { window: 99, ..usd("1.00") }))),
        ("budget.scope", quota(limits, Some(scoped))),
        ("key_id", pb::SetKeyQuotaRequest { key_id: String::new(), ..quota(limits, budget.clone()) }),
        ("tenant_id", pb::SetKeyQuotaRequest { tenant_id: String::new(), ..quota(limits, budget.clone()) }),
        ("author", pb::SetKeyQuotaRequest { author: None, ..quota(limits, budget) }),
    ];
    for (field, request) in bad {
        let failure = service.set_quota(request).await.unwrap_err();
        let named = failure.metadata.get("field").map(String::as_str);
        assert_eq!((failure.reason, named), (ErrorReason::InvalidRequest, Some(field)));
        assert!(service.is_untouched(), "{field}");
    }
    assert!(service.told().await.is_empty());
}

async fn a_quota_is_taken_back_whole(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_quota(quota(Some(at_once(1)), Some(usd("0.10")))).await.unwrap();
    assert!(!service.is_untouched());
    let nothing = service.set_quota(quota(None, None)).await.unwrap();
    assert_eq!(nothing, pb::SetKeyQuotaResponse::default());
    assert!(service.is_untouched());
    let told = service.told().await.len();
    assert_eq!(told, 4);
    service.set_quota(quota(None, None)).await.unwrap();
    assert_eq!(service.told().await.len(), told, "where there is nothing, nothing is taken");
    service.stop().await;
    assert!(Service::start(&db, &clock).await.is_untouched(), "for good");
}

async fn the_audit_log_tells_who_made_the_key(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_quota(quota(Some(at_once(1)), Some(usd("0.10")))).await.unwrap();
    let told = service.told().await;
    let mut lines: Vec<_> = told.iter().map(line).collect();
    lines.sort_unstable();
    let wanted = [["ada", CALL, "budget", "key", "tenant"], ["ada", CALL, "limits", "key", "tenant"]];
    assert_eq!(lines, wanted);
    for event in &told {
        let origin = event.origin.as_ref().unwrap();
        let shown = (origin.address.as_str(), origin.user_agent.as_str(), origin.request_id.as_str());
        assert_eq!(shown, ("192.0.2.7", "curl/8", "req-7"));
        assert_eq!(event.actor.as_ref().unwrap().kind(), AuditActorKind::User);
        assert!(event.before.is_none() && event.after.is_some());
    }
}

async fn nobody_but_auth_sets_quotas(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let stranger = tonic::Request::new(quota(Some(at_once(1)), None));
    let status = crate::KeyQuotas(service.budget.clone()).set_key_quota(stranger).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert!(service.is_untouched());
}
