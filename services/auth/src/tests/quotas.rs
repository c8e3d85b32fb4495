//! Keys that are made with limits and a budget: what budget is told, and what comes of its answer.

use std::sync::Arc;

use headgate_access::Role;
use headgate_access::testing::Issuer;
use headgate_kit::execute;
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::{CreateApiKeyResponse, ListApiKeysRequest};
use headgate_proto::budget::v1::key_quota_service_server::{KeyQuotaService, KeyQuotaServiceServer};
use headgate_proto::budget::v1::{Budget, Limits, SetKeyQuotaRequest, SetKeyQuotaResponse};
use headgate_proto::common::v1::author::Actor;
use tokio::sync::{Semaphore, mpsc};
use tonic::Response;

use super::*;

on_both_engines!(
    budget_has_the_quota_before_there_is_the_key,
    a_key_without_a_quota_needs_no_budget,
    what_budget_refuses_makes_no_key,
    what_auth_refuses_budget_is_never_told,
    while_budget_is_away_no_key_is_made_with_a_quota,
    the_quota_of_a_key_that_cannot_be_made_is_taken_back,
    a_caller_who_goes_away_leaves_a_key_with_its_quota,
);

/// Long, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// What budget makes of a quota.
#[derive(Clone)]
enum Answer {
    Sets,
    Refuses,
    Fails,
    /// And auth can make no more keys.
    SetsAndBreaks,
    /// Once it is let.
    SetsWhenLet(Arc<Semaphore>),
}

struct FakeBudget {
    answer: Answer,
    told: mpsc::UnboundedSender<SetKeyQuotaRequest>,
    auth: Auth,
}

#[tonic::async_trait]
impl KeyQuotaService for FakeBudget {
    async fn set_key_quota(
        &self,
        request: Request<SetKeyQuotaRequest>,
    ) -> Result<Response<SetKeyQuotaResponse>, Status> {
        require_peer(&request, &["auth"])?;
        let request = request.into_inner();
        assert!(self.auth.registry.read().key(&request.key_id).is_none(), "there is the key already");
        let SetKeyQuotaRequest { limits, ref budget, .. } = request;
        let set = Response::new(SetKeyQuotaResponse { limits, budget: budget.clone() });
        let is_taken_back = limits.is_none() && budget.is_none();
        self.told.send(request).unwrap();
        match &self.answer {
            Answer::Refuses => {
                Err(Failure::invalid("limits.requests_per_minute", "must be at least 1").into())
            }
            Answer::Fails => Err(Failure::new(ErrorReason::Internal, "what nobody needs to know").into()),
            Answer::SetsAndBreaks if !is_taken_back => {
                execute!(self.auth.registry.db().write(), pool => {
                    sqlx::query("ALTER TABLE api_keys RENAME TO elsewhere").execute(pool)
                })
                .unwrap();
                Ok(set)
            }
            Answer::SetsWhenLet(let_go) => {
                let_go.acquire().await.unwrap().forget();
                Ok(set)
            }
            Answer::Sets | Answer::SetsAndBreaks => Ok(set),
        }
    }
}

/// What budget is told.
struct Told(mpsc::UnboundedReceiver<SetKeyQuotaRequest>);

impl Told {
    async fn next(&mut self) -> SetKeyQuotaRequest {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("budget was told nothing").unwrap()
    }

    fn nothing(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

impl Fixture {
    /// With the tenant "acme", and a budget that answers so.
    async fn with_budget(db: &TestDb, answer: Answer) -> (Self, Told) {
        let fixture = Self::start(db).await;
        fixture.tenant("acme").await;
        let (told, receiver) = mpsc::unbounded_channel();
        let fake = FakeBudget { answer, told, auth: fixture.auth.clone() };
        fixture.auth.set_quotas_at(local(KeyQuotaServiceServer::new(fake)));
        (fixture, Told(receiver))
    }

    async fn make_with(&self, request: CreateApiKeyRequest) -> Result<CreateApiKeyResponse, Failure> {
        self.keys().create_api_key(request).await.map(Response::into_inner).map_err(failure)
    }

    async fn keys_of_acme(&self) -> usize {
        let request = ListApiKeysRequest { tenant_id: "acme".into(), ..Default::default() };
        self.keys().list_api_keys(request).await.unwrap().into_inner().api_keys.len()
    }
}

fn limits() -> Option<Limits> {
    Some(Limits { requests_per_minute: Some(7), ..Default::default() })
}

fn budget() -> Option<Budget> {
    Some(Budget { limit_usd: "1.00".into(), ..Default::default() })
}

fn with_quota() -> CreateApiKeyRequest {
    CreateApiKeyRequest { tenant_id: "acme".into(), limits: limits(), budget: budget(), ..Default::default() }
}

async fn budget_has_the_quota_before_there_is_the_key(db: TestDb) {
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::Sets).await;
    let issuer = Issuer::new("one", fixture.clock.clone());
    fixture.auth.gate.apply(issuer.snapshot(Vec::new()));
    let mut request = bearing(with_quota(), &issuer.token("ada", &[("acme", Role::Admin)]));
    request.metadata_mut().insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
    let mut keys = ApiKeyServiceClient::new(local(fixture.auth.api_key_service()));
    let made = keys.create_api_key(request).await.unwrap().into_inner();
    assert_eq!((made.limits, made.budget), (limits(), budget()), "as budget says");
    let key = made.api_key.unwrap();
    assert_eq!(fixture.verify(&made.secret_key).await, Ok(key.id.clone()));

    let mut told_of = told.next().await;
    let author = told_of.author.take().unwrap();
    let wanted = SetKeyQuotaRequest {
        key_id: key.id,
        tenant_id: "acme".into(),
        limits: limits(),
        budget: budget(),
        author: None,
    };
    assert_eq!(told_of, wanted);
    let by = (author.actor, author.address.as_str(), author.action.as_str());
    let call = "auth.v1.ApiKeyService.CreateApiKey";
    assert_eq!(by, (Some(Actor::UserId("ada".into())), "192.0.2.7", call));
    assert!(told.nothing());
}

async fn a_key_without_a_quota_needs_no_budget(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("acme").await;
    let bare = CreateApiKeyRequest { limits: None, budget: None, ..with_quota() };
    let made = fixture.make_with(bare.clone()).await.unwrap();
    assert_eq!((made.limits, made.budget), (None, None));
    for quota in [with_quota(), CreateApiKeyRequest { limits: None, ..with_quota() }] {
        assert_eq!(fixture.make_with(quota).await.unwrap_err().reason, ErrorReason::Unavailable);
    }
    assert_eq!(fixture.keys_of_acme().await, 1);

    let db = TestDb::sqlite();
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::Fails).await;
    fixture.make_with(bare).await.unwrap();
    assert!(told.nothing(), "nobody is asked");
}

async fn what_budget_refuses_makes_no_key(db: TestDb) {
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::Refuses).await;
    let refused = fixture.make_with(with_quota()).await.unwrap_err();
    let field = refused.metadata["field"].as_str();
    assert_eq!((refused.reason, field), (ErrorReason::InvalidRequest, "limits.requests_per_minute"));
    assert_eq!(fixture.keys_of_acme().await, 0);
    told.next().await;
    assert!(told.nothing(), "nothing is to be taken back");
}

async fn what_auth_refuses_budget_is_never_told(db: TestDb) {
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::Sets).await;
    let issuer = Issuer::new("one", fixture.clock.clone());
    fixture.auth.gate.apply(issuer.snapshot(Vec::new()));
    let mut keys = ApiKeyServiceClient::new(local(fixture.auth.api_key_service()));
    let mut reason = async |request, token: &str| {
        let refused = keys.create_api_key(bearing(request, token)).await.unwrap_err();
        failure(refused).reason
    };
    let operator = "operator-token";
    let misnamed = CreateApiKeyRequest { name: "a\nb".into(), ..with_quota() };
    assert_eq!(reason(misnamed, operator).await, ErrorReason::InvalidRequest);
    let nowhere = CreateApiKeyRequest { tenant_id: "nowhere".into(), ..with_quota() };
    assert_eq!(reason(nowhere, operator).await, ErrorReason::NotFound);
    for role in [Role::Viewer, Role::Member] {
        let token = issuer.token("ada", &[("acme", role)]);
        assert_eq!(reason(with_quota(), &token).await, ErrorReason::PermissionDenied);
    }
    let stranger = issuer.token("bob", &[("globex", Role::Owner)]);
    assert_eq!(reason(with_quota(), &stranger).await, ErrorReason::NotFound);
    assert!(told.nothing());
}

async fn while_budget_is_away_no_key_is_made_with_a_quota(db: TestDb) {
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::Fails).await;
    let away = fixture.make_with(with_quota()).await.unwrap_err();
    let message = "budget is unavailable, try again shortly";
    assert_eq!((away.reason, away.message.as_str()), (ErrorReason::Unavailable, message));
    assert_eq!(fixture.keys_of_acme().await, 0);
    let (first, second) = (told.next().await, told.next().await);
    let nothing = SetKeyQuotaRequest { limits: None, budget: None, ..first };
    assert_eq!(second, nothing, "perhaps it was set");
}

async fn the_quota_of_a_key_that_cannot_be_made_is_taken_back(db: TestDb) {
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::SetsAndBreaks).await;
    let failed = fixture.make_with(with_quota()).await.unwrap_err();
    assert_eq!(failed.reason, ErrorReason::Unavailable);
    let (first, second) = (told.next().await, told.next().await);
    assert_eq!((first.limits, &first.budget), (limits(), &budget()));
    assert_eq!(second, SetKeyQuotaRequest { limits: None, budget: None, ..first });
    assert_eq!(fixture.keys_of_acme().await, 0);
}

async fn a_caller_who_goes_away_leaves_a_key_with_its_quota(db: TestDb) {
    let let_go = Arc::new(Semaphore::new(0));
    let (fixture, mut told) = Fixture::with_budget(&db, Answer::SetsWhenLet(Arc::clone(&let_go))).await;
    let mut keys = fixture.keys();
    let call = tokio::spawn(async move { keys.create_api_key(with_quota()).await });
    let key_id = told.next().await.key_id;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let_go.add_permits(1);
    let made = async {
        while fixture.owner(&key_id).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.expect("the key was not made");
    assert!(told.nothing(), "nothing is taken back");
}
