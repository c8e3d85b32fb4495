//! The whole service, over its own connection, with a real database and a real spool.

mod admin;
mod alerts;
mod audited;
mod auth;
mod fleet;
mod quotas;
mod restart;
mod rights;
mod schedules;
mod seeds;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{Conn, local};
use headgate_kit::db::testing::TestDb;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_kit::identity::testing::{Operator, as_operator};
use headgate_kit::money::Usd;
use headgate_kit::on_both_engines;
use headgate_kit::records::RecordSource;
use headgate_kit::spool::{Options, Spool};
use headgate_kit::tasks::Tasks;
use headgate_proto::budget::v1 as pb;
use headgate_proto::budget::v1::admission_service_client::AdmissionServiceClient;
use headgate_proto::budget::v1::admission_service_server::AdmissionService as _;
use headgate_proto::budget::v1::budget_service_client::BudgetServiceClient;
use headgate_proto::budget::v1::budget_service_server::BudgetService as _;
use headgate_proto::catalog::v1::Price;
use headgate_proto::record::v1::{IntentRecord, Outcome, UsageRecord};
use pb::admit_response::Outcome as Decision;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bootstrap::KeyEntry;
use crate::record::Ended;
use crate::store::spend::{self, LeaseSpend};
use crate::{Bootstrap, Budget, BuildError, Config, Deps, RedisConfig, upkeep};

on_both_engines!(
    exactly_a_hundred_of_five_hundred_cents_fit_into_a_dollar,
    spend_is_counted_once_per_lease_and_survives_a_restart,
    a_late_end_supersedes_an_abandoned_one_and_never_the_other_way_round,
    a_lease_that_ends_twice_in_a_large_batch_counts_once,
    a_record_that_was_stored_though_the_answer_got_lost_counts_once,
    records_belong_to_the_month_they_started_in,
    an_expired_lease_goes_to_the_outbox_and_gives_its_hold_back,
    only_what_no_budget_covers_is_admitted_before_the_backlog_is_booked,
    a_response_is_replayed_after_a_restart,
    limits_and_budgets_hold_from_the_next_admission_and_over_a_restart,
    bad_values_name_their_field_and_change_nothing,
    strangers_are_refused,
    a_bootstrap_may_be_applied_again,
    a_bootstrap_speaks_of_keys_tenants_and_all_others,
);

const CENT: i64 = 10_000_000;
const USD: i64 = 100 * CENT;

struct Service {
    budget: Budget,
    clock: Clock,
    tasks: Tasks,
    outbox: Spool,
}

impl Service {
    async fn start(db: &TestDb, clock: &Clock) -> Self {
        Self::start_on(RedisConfig::default(), db, db.dir(), clock).await
    }

    /// One of several that share counters, a database and its key.
    async fn start_on(redis: RedisConfig, db: &TestDb, dir: &Path, clock: &Clock) -> Self {
        let config = Config { sealing_key: Some("5a".repeat(32).into()), ..Config::default() };
        Self::try_start(config, redis, db, dir, clock).await.unwrap()
    }

    async fn try_start(
        config: Config,
        redis: RedisConfig,
        db: &TestDb,
        dir: &Path,
        clock: &Clock,
    ) -> Result<Self, BuildError> {
        let options = Options {
            dir: dir.join("outbox"),
            segment_bytes: 1 << 20,
            cap_bytes: 1 << 24,
            consumers: vec!["budget".into()],
        };
        let (outbox, unfinished) = Spool::open(options).unwrap();
        let tasks = Tasks::new();
        let deps = Deps {
            clock: clock.clone(),
            database: db.source("budget"),
            data_dir: dir.to_owned(),
            tasks: tasks.clone(),
            registry: prometheus::Registry::new(),
            gate: Gate::new("operator".into(), clock.clone()),
            outbox: outbox.clone(),
            unfinished,
            redis,
            superseded: CancellationToken::new(),
        };
        let budget = Budget::build(config, deps).await?;
        budget.ask_owners_at(auth::conn());
        Ok(Self { budget, clock: clock.clone(), tasks, outbox })
    }

    async fn stop(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(5)).await);
        self.budget.store.db.close().await;
    }

    fn admission(&self) -> AdmissionServiceClient<Conn> {
        AdmissionServiceClient::new(local(self.budget.admission_service()))
    }

    fn budgets(&self) -> BudgetServiceClient<Operator> {
        BudgetServiceClient::new(as_operator(local(self.budget.budget_service()), "operator"))
    }

    async fn set_budget(&self, scope: pb::Scope, limit_nano_usd: i64) {
        let window = pb::BudgetWindow::CalendarMonth.into();
        let limit_usd = Usd::from_nano(limit_nano_usd).to_string();
        let budget = pb::Budget { scope: Some(scope), window, limit_usd, ..Default::default() };
        self.budgets()
            .set_budget(pb::SetBudgetRequest { budget: Some(budget), ..Default::default() })
            .await
            .unwrap();
    }

    async fn status(&self, scope: pb::Scope) -> pb::BudgetStatus {
        let answer = self
            .budgets()
            .get_budget(pb::GetBudgetRequest { scope: Some(scope), ..Default::default() })
            .await;
        answer.unwrap().into_inner().status.unwrap()
    }

    async fn admit(&self, request: pb::AdmitRequest) -> Decision {
        self.admission().admit(request).await.unwrap().into_inner().outcome.unwrap()
    }

    async fn settle(&self, n: u128, cost_nano_usd: i64, response: Option<&'static [u8]>) {
        let response = response.map(Bytes::from_static);
        let request = pb::SettleRequest {
            lease_id: id(n),
            cost_nano_usd,
            tokens: 0,
            response,
            tenant_id: "tenant".into(),
        };
        self.admission().settle(request).await.unwrap();
    }

    async fn apply(&self, records: &[UsageRecord]) {
        let read = |record: &UsageRecord| Ended::decode(record.encode_to_vec().into()).unwrap();
        let records: Vec<Ended> = records.iter().map(read).collect();
        self.budget.consumer().apply_records(&records).await.unwrap();
    }

    fn record(&self, n: u128, cost_nano_usd: i64, outcome: Outcome) -> UsageRecord {
        UsageRecord {
            lease_id: id(n),
            tenant_id: "tenant".into(),
            key_id: "key".into(),
            cost_nano_usd,
            outcome: outcome.into(),
            started_at_unix_ms: self.clock.unix_millis(),
            ..UsageRecord::default()
        }
    }

    fn request(&self, n: u128, hold_nano_usd: i64) -> pb::AdmitRequest {
        let intent = IntentRecord {
            lease_id: id(n),
            tenant_id: "tenant".into(),
            key_id: "key".into(),
            started_at_unix_ms: self.clock.unix_millis(),
            hold_nano_usd,
            prompt_tokens_estimate: 1000,
            price: Some(Price { input_nano_usd_per_1k_tokens: CENT / 4, ..Price::default() }),
            ..IntentRecord::default()
        };
        pb::AdmitRequest { intent: Some(intent), ..pb::AdmitRequest::default() }
    }
}

fn clock() -> Clock {
    Clock::manual(1_795_237_200_000_000)
}

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

fn key() -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::KeyId("key".into())) }
}

fn tenant() -> pb::Scope {
    pb::Scope { scope: Some(pb::scope::Scope::TenantId("tenant".into())) }
}

fn sums(status: &pb::BudgetStatus) -> (i64, i64) {
    (status.spent_nano_usd, status.held_nano_usd)
}

async fn until(mut reached: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if reached().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not reached in time");
}

async fn exactly_a_hundred_of_five_hundred_cents_fit_into_a_dollar(db: TestDb) {
    let service = Arc::new(Service::start(&db, &clock()).await);
    service.set_budget(tenant(), USD).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..500 {
        let service = service.clone();
        calls.spawn(async move { service.admit(service.request(n, CENT)).await });
    }
    let decisions = calls.join_all().await;
    assert_eq!(decisions.iter().filter(|d| matches!(d, Decision::Admitted(_))).count(), 100);
    assert_eq!(sums(&service.status(tenant()).await), (0, USD));
}

async fn spend_is_counted_once_per_lease_and_survives_a_restart(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    for n in 1..=3 {
        assert!(matches!(service.admit(service.request(n, 10 * CENT)).await, Decision::Admitted(_)));
    }
    service.settle(1, 4 * CENT, None).await;
    assert_eq!(sums(&service.status(key()).await), (4 * CENT, 20 * CENT));
    let first = service.record(1, 4 * CENT, Outcome::Succeeded);
    let second = service.record(2, 5 * CENT, Outcome::Cancelled);
    service.apply(&[first.clone(), second.clone(), first.clone()]).await;
    service.apply(&[second]).await;
    service.settle(2, 5 * CENT, None).await;
    assert_eq!(sums(&service.status(key()).await), (9 * CENT, 10 * CENT));
    service.stop().await;

    let service = Service::start(&db, &clock).await;
    assert_eq!(sums(&service.status(key()).await), (9 * CENT, 0));
    service.apply(&[first]).await;
    // A budget that is set later finds what the window has cost already.
    service.set_budget(tenant(), USD).await;
    assert_eq!(sums(&service.status(tenant()).await), (9 * CENT, 0));
    let refused = service.admit(service.request(9, 92 * CENT)).await;
    assert!(matches!(refused, Decision::Refused(_)), "{refused:?}");
    service.stop().await;
}

async fn a_late_end_supersedes_an_abandoned_one_and_never_the_other_way_round(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    let record = |n, cost, outcome| service.record(n, cost, outcome);
    service.apply(&[record(1, 2 * CENT, Outcome::Abandoned)]).await;
    service.apply(&[record(1, 3 * CENT, Outcome::Abandoned)]).await;
    assert_eq!(sums(&service.status(key()).await), (2 * CENT, 0));
    service.apply(&[record(1, 7 * CENT, Outcome::Succeeded)]).await;
    service.apply(&[record(1, 9 * CENT, Outcome::Succeeded), record(1, CENT, Outcome::Abandoned)]).await;
    assert_eq!(sums(&service.status(key()).await), (7 * CENT, 0));
    // Within one batch the abandoned one does not count, whichever comes first; and it may cost less.
    service.apply(&[record(2, 5 * CENT, Outcome::Abandoned), record(2, CENT, Outcome::Failed)]).await;
    service.apply(&[record(3, CENT, Outcome::Failed), record(3, 5 * CENT, Outcome::Abandoned)]).await;
    service.apply(&[record(4, 5 * CENT, Outcome::Abandoned)]).await;
    service.apply(&[record(4, CENT, Outcome::Failed)]).await;
    assert_eq!(sums(&service.status(key()).await), (10 * CENT, 0));
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(sums(&service.status(key()).await), (10 * CENT, 0));
}

async fn a_lease_that_ends_twice_in_a_large_batch_counts_once(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    for n in 0..250 {
        assert!(matches!(service.admit(service.request(n, 9)).await, Decision::Admitted(_)));
    }
    service.apply(&[service.record(3, 5, Outcome::Abandoned), service.record(4, 1, Outcome::Failed)]).await;
    assert_eq!(sums(&service.status(key()).await), (6, 248 * 9));
    let (lost, done) = (Outcome::Abandoned, Outcome::Succeeded);
    let mut batch: Vec<UsageRecord> = (0..250).map(|n| service.record(n, 5, lost)).collect();
    // Each of the first hundred ends once more, far behind its first end; some in another spelling.
    batch.extend((0..100).map(|n| service.record(n, 2, done)));
    batch.extend((0..100).map(|n| service.record(n, 7, done)));
    for record in batch.iter_mut().step_by(3) {
        record.lease_id = record.lease_id.replace('-', "").to_uppercase();
    }
    service.apply(&batch).await;
    let spent = 99 * 2 + 1 + 150 * 5;
    assert_eq!(sums(&service.status(key()).await), (spent, 0));
    service.apply(&batch).await;
    assert_eq!(sums(&service.status(key()).await), (spent, 0));
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(sums(&service.status(key()).await), (spent, 0));
}

async fn a_record_that_was_stored_though_the_answer_got_lost_counts_once(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    for n in 1..=2 {
        assert!(matches!(service.admit(service.request(n, 5 * CENT)).await, Decision::Admitted(_)));
    }
    service.settle(1, 2 * CENT, None).await;
    let records = [1, 2].map(|n| service.record(n, 2 * CENT, Outcome::Succeeded));
    let ended = records.clone().map(|record| Ended::decode(record.encode_to_vec().into()).unwrap());
    let window_start = service.budget.engine.months().at(clock.unix_millis()).start;
    let rows = [&ended[0], &ended[1]].map(|ended| LeaseSpend { ended, window_start });
    // What a connection that breaks at the commit leaves.
    let writer = service.budget.store.writer().await;
    spend::book(&writer, &rows, clock.unix_millis()).await.unwrap();
    drop(writer);
    for _ in 0..2 {
        service.apply(&records).await;
        assert_eq!(sums(&service.status(key()).await), (4 * CENT, 0));
    }
}

async fn records_belong_to_the_month_they_started_in(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    let november = service.record(1, CENT, Outcome::Succeeded);
    clock.advance(Duration::from_secs(15 * 86_400));
    let mut ahead = service.record(2, 2 * CENT, Outcome::Succeeded);
    ahead.started_at_unix_ms += 60 * 86_400_000;
    service.apply(&[november, ahead]).await;
    let status = service.status(key()).await;
    assert_eq!(sums(&status), (2 * CENT, 0));
    assert_eq!(status.window_start_unix_ms, 1_796_083_200_000, "2026-12-01 in UTC");
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert_eq!(sums(&service.status(key()).await), (2 * CENT, 0));
}

async fn an_expired_lease_goes_to_the_outbox_and_gives_its_hold_back(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), 10 * CENT).await;
    assert!(matches!(service.admit(service.request(1, 10 * CENT)).await, Decision::Admitted(_)));
    clock.advance(Duration::from_millis(120_000));
    upkeep::reap_once(&service.budget.engine, &service.outbox).await.unwrap();
    upkeep::reap_once(&service.budget.engine, &service.outbox).await.unwrap();
    assert_eq!(sums(&service.status(key()).await), (CENT / 4, 0));
    let (records, _) = service.outbox.reader("budget").unwrap().next(10).await.unwrap();
    let record = UsageRecord::decode(records[0].clone()).unwrap();
    assert_eq!((records.len(), record.outcome(), &record.lease_id), (1, Outcome::Abandoned, &id(1)));

    service.budget.consume(RecordSource::spool(service.outbox.reader("budget").unwrap()));
    until(async || service.budget.ready() && service.outbox.reader("budget").unwrap().lag() == 0).await;
    assert_eq!(sums(&service.status(key()).await), (CENT / 4, 0));
    service.apply(&[service.record(1, 9 * CENT, Outcome::Succeeded)]).await;
    assert_eq!(sums(&service.status(key()).await), (9 * CENT, 0));
    service.stop().await;
}

async fn only_what_no_budget_covers_is_admitted_before_the_backlog_is_booked(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.set_budget(key(), USD).await;
    service.outbox.end(Uuid::from_u128(77), b"\xff\xffnot a record").unwrap();
    for n in 0..2500 {
        let record = service.record(n, 1, Outcome::Succeeded).encode_to_vec();
        service.outbox.end(Uuid::from_u128(n), &record).unwrap();
    }
    assert!(service.budget.ready());
    service.budget.consume(RecordSource::spool(service.outbox.reader("budget").unwrap()));
    assert!(!service.budget.ready() && !service.budget.can_serve(), "it is a matter of moments");
    let early = service.admission().admit(service.request(9999, 1)).await.unwrap_err();
    let early = Failure::from_status(&early);
    assert_eq!((early.reason, early.retry_after), (ErrorReason::Unavailable, Some(Duration::from_secs(1))));
    let mut uncovered = service.request(9998, 1);
    uncovered.intent.as_mut().unwrap().key_id = "without a budget".into();
    assert!(matches!(service.admit(uncovered).await, Decision::Admitted(_)));
    until(async || service.budget.ready()).await;
    assert_eq!(sums(&service.status(key()).await), (2500, 0));
    assert!(matches!(service.admit(service.request(9999, 1)).await, Decision::Admitted(_)));
    service.stop().await;
}

async fn a_response_is_replayed_after_a_restart(db: TestDb) {
    let clock = clock();
    let request = |service: &Service, n, byte| {
        let idempotency = pb::Idempotency { key: "k".into(), request_sha256: vec![byte; 32].into() };
        pb::AdmitRequest { idempotency: Some(idempotency), ..service.request(n, 0) }
    };
    let service = Service::start(&db, &clock).await;
    assert!(matches!(service.admit(request(&service, 1, 1)).await, Decision::Admitted(_)));
    service.settle(1, 0, Some(b"{\"a\":1}")).await;
    service.stop().await;

    let service = Service::start(&db, &clock).await;
    let replay = Decision::Replay(pb::Replay { response: Bytes::from_static(b"{\"a\":1}") });
    assert_eq!(service.admit(request(&service, 2, 1)).await, replay);
    let Decision::Refused(refused) = service.admit(request(&service, 2, 2)).await else { panic!() };
    assert_eq!(refused.reason(), ErrorReason::IdempotencyMismatch);
    clock.advance(Duration::from_secs(86_400));
    service.budget.store.prune_replays(clock.unix_millis()).await.unwrap();
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    assert!(matches!(service.admit(request(&service, 2, 2)).await, Decision::Admitted(_)));
}

async fn limits_and_budgets_hold_from_the_next_admission_and_over_a_restart(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let limits = pb::Limits {
        requests_per_second: Some(1_000),
        requests_per_minute: Some(2_000),
        tokens_per_minute: Some(3_000),
        parallel_requests: Some(1),
        request_burst: Some(4_000),
        parallel_streams: Some(5),
        sliding_window: Some(pb::SlidingWindow { requests: 10_000, seconds: 86_400 }),
    };
    let set = pb::SetLimitsRequest { scope: Some(key()), limits: Some(limits), ..Default::default() };
    service.budgets().set_limits(set).await.unwrap();
    service.set_budget(key(), CENT).await;
    service.stop().await;
    let service = Service::start(&db, &clock).await;
    let got = service
        .budgets()
        .get_limits(pb::GetLimitsRequest { scope: Some(key()), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(got.into_inner().limits, Some(limits));
    let status = service.status(key()).await.budget.unwrap();
    assert_eq!((status.limit_nano_usd, status.warning_percent), (CENT, 80));
    assert!(matches!(service.admit(service.request(1, 1)).await, Decision::Admitted(_)));
    assert!(matches!(service.admit(service.request(2, 1)).await, Decision::Refused(_)));
    let none = pb::SetLimitsRequest {
        scope: Some(key()),
        limits: Some(pb::Limits::default()),
        ..Default::default()
    };
    service.budgets().set_limits(none).await.unwrap();
    assert!(matches!(service.admit(service.request(2, 1)).await, Decision::Admitted(_)));
    assert!(matches!(service.admit(service.request(3, CENT)).await, Decision::Refused(_)));
    let delete = pb::DeleteBudgetRequest { scope: Some(key()), ..Default::default() };
    service.budgets().delete_budget(delete.clone()).await.unwrap();
    assert!(matches!(service.admit(service.request(3, CENT)).await, Decision::Admitted(_)));
    let again = service.budgets().delete_budget(delete).await.unwrap_err();
    assert_eq!(Failure::from_status(&again).reason, ErrorReason::NotFound);
}

async fn bad_values_name_their_field_and_change_nothing(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let none = pb::Limits::default();
    for (field, limits) in [
        ("limits.tokens_per_minute", pb::Limits { tokens_per_minute: Some(0), ..none }),
        ("limits.parallel_streams", pb::Limits { parallel_streams: Some(0), ..none }),
        ("limits.sliding_window", pb::Limits { sliding_window: Some(pb::SlidingWindow::default()), ..none }),
        ("limits.request_burst", pb::Limits { request_burst: Some(20), ..none }),
    ] {
        let set = pb::SetLimitsRequest { scope: Some(key()), limits: Some(limits), ..Default::default() };
        let failure = Failure::from_status(&service.budgets().set_limits(set).await.unwrap_err());
        assert_eq!(failure.metadata["field"], field);
    }
    let request = pb::AdmitRequest { intent: None, ..pb::AdmitRequest::default() };
    let failure = Failure::from_status(&service.admission().admit(request).await.unwrap_err());
    assert_eq!((failure.reason, failure.metadata["field"].as_str()), (ErrorReason::InvalidRequest, "intent"));
    let mut request = service.request(1, -1);
    request.intent.as_mut().unwrap().hold_nano_usd = -1;
    let failure = Failure::from_status(&service.admission().admit(request).await.unwrap_err());
    assert_eq!(failure.metadata["field"], "intent.hold_nano_usd");
    let extend = pb::ExtendRequest { lease_id: id(1), tenant_id: "tenant".into() };
    let failure = Failure::from_status(&service.admission().extend(extend).await.unwrap_err());
    assert_eq!(failure.reason, ErrorReason::NotFound);
}

async fn strangers_are_refused(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let admission = crate::Admissions(service.budget.clone());
    let status = admission.admit(tonic::Request::new(service.request(1, 0))).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let request = tonic::Request::new(pb::GetLimitsRequest { scope: Some(key()), ..Default::default() });
    let status = crate::Budgets(service.budget.clone()).get_limits(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

async fn a_bootstrap_may_be_applied_again(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let text = r#"{"limits": [{"key_id": "key", "requests_per_minute": 60}],
                   "budgets": [{"tenant_id": "tenant", "limit_usd": "100.00", "warning_percent": 50}]}"#;
    let bootstrap: Bootstrap = serde_json::from_str(text).unwrap();
    service.budget.bootstrap(&bootstrap).await.unwrap();
    service.budget.bootstrap(&bootstrap).await.unwrap();
    let budget = service.status(tenant()).await.budget.unwrap();
    assert_eq!((budget.limit_nano_usd, budget.warning_percent), (100 * USD, 50));
    let both = r#"{"budgets": [{"tenant_id": "t", "key_id": "k", "limit_usd": 1}]}"#;
    let failure = service.budget.bootstrap(&serde_json::from_str(both).unwrap()).await.unwrap_err();
    assert_eq!(failure.reason, ErrorReason::InvalidRequest);
    assert!(serde_json::from_str::<Bootstrap>(r#"{"budget": []}"#).is_err());
}

async fn a_bootstrap_speaks_of_keys_tenants_and_all_others(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    let text = r#"{"tenant_limits": {"tenant": {"requests_per_minute": 60}},
                   "tenant_budgets": {"tenant": {"limit_usd": "2.00", "warning_percent": 50}},
                   "default_budget": {"limit_usd": "1.00"}}"#;
    let mut bootstrap: Bootstrap = serde_json::from_str(text).unwrap();
    let limits = Some(crate::config::Limits { parallel_requests: Some(3), ..Default::default() });
    let budget = bootstrap.default_budget.clone();
    bootstrap.keys = vec![KeyEntry { at: "here".into(), id: "key".into(), limits, budget }];
    service.budget.bootstrap(&bootstrap).await.unwrap();
    let set = async |service: &Service| {
        let limits = async |scope| {
            let request = pb::GetLimitsRequest { scope: Some(scope), ..Default::default() };
            service.budgets().get_limits(request).await.unwrap().into_inner()
        };
        let default = service.budgets().get_default_budget(pb::GetDefaultBudgetRequest {}).await.unwrap();
        let (key, tenant) = (service.status(key()).await, service.status(tenant()).await);
        ([limits(self::key()).await, limits(self::tenant()).await], [key, tenant], default.into_inner())
    };
    let first = set(&service).await;
    let ([key, tenant], [key_budget, tenant_budget], default) = &first;
    assert_eq!(key.limits.unwrap().parallel_requests, Some(3));
    assert_eq!(tenant.limits.unwrap().requests_per_minute, Some(60));
    let terms = |budget: &Option<pb::Budget>| {
        let budget = budget.as_ref().unwrap();
        (budget.limit_nano_usd, budget.warning_percent)
    };
    assert_eq!((terms(&key_budget.budget), terms(&tenant_budget.budget)), ((USD, 80), (2 * USD, 50)));
    assert_eq!(terms(&default.budget), (USD, 80));
    service.stop().await;

    let service = Service::start(&db, &clock).await;
    service.budget.bootstrap(&bootstrap).await.unwrap();
    assert_eq!(set(&service).await, first, "not even an etag changes");
}
