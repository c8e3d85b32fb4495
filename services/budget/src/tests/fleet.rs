//! Several replicas of the service over one Redis and one database.

use std::sync::atomic::Ordering;

use super::*;
use crate::servers::{self, RedisServer};
use crate::store::spend::{self, LeaseSpend};

on_both_engines!(
    five_replicas_let_exactly_a_hundred_of_five_hundred_cents_into_a_dollar,
    a_cluster_keeps_many_tenants_exactly,
    five_replicas_share_one_limit_and_its_refill,
    what_one_replica_began_another_may_extend_repeat_and_end,
    what_a_dead_replica_held_comes_back_through_the_outbox_of_another,
    a_replica_that_dies_between_database_and_redis_leaves_nothing_counted_twice,
    a_policy_that_is_deleted_is_gone_everywhere,
    no_replica_lets_a_key_in_without_what_it_was_made_with,
    while_the_database_is_away_only_keys_that_were_met_are_let_in,
    scripts_that_the_server_forgot_are_sent_again,
    counters_that_are_lost_are_rebuilt_and_budgets_stay_closed_for_one_lease,
    an_old_copy_of_the_counters_is_as_good_as_none,
    a_tenant_that_is_new_need_not_wait,
    a_replica_that_has_a_backlog_rebuilds_nothing_and_goes_on_with_what_redis_knows,
    while_redis_is_away_only_keys_without_a_budget_go_on_and_nothing_is_lost,
    a_request_that_nobody_answered_in_time_holds_nothing_afterwards,
);

/// Replicas with a clock in common, their database, and their folders.
struct Fleet {
    replicas: Vec<Arc<Service>>,
    clock: Clock,
    /// Of their outboxes.
    _dirs: Vec<tempfile::TempDir>,
}

impl Fleet {
    async fn start(db: &TestDb, redis: RedisConfig, size: usize) -> Self {
        let (clock, mut dirs, mut replicas) = (clock(), Vec::new(), Vec::new());
        for _ in 0..size {
            let dir = tempfile::tempdir().unwrap();
            replicas.push(Arc::new(Service::start_on(redis.clone(), db, dir.path(), &clock).await));
            dirs.push(dir);
        }
        Self { replicas, clock, _dirs: dirs }
    }

    fn one(&self) -> &Service {
        &self.replicas[0]
    }

    /// Sets a budget at one replica, and waits until every replica knows it.
    async fn set_budget(&self, scope: pb::Scope, limit: i64) {
        self.one().set_budget(scope.clone(), limit).await;
        for replica in &self.replicas {
            until(async || {
                let get = pb::GetBudgetRequest { scope: Some(scope.clone()), ..Default::default() };
                let answer = replica.budgets().get_budget(get).await.ok();
                let status = answer.and_then(|answer| answer.into_inner().status);
                status.is_some_and(|s| s.budget.is_some_and(|b| b.limit_nano_usd == limit))
            })
            .await;
        }
    }

    /// How many of these are admitted, all at once, each by the next replica.
    async fn admit_at_once(&self, which: std::ops::Range<u128>, hold: i64) -> usize {
        let mut calls = tokio::task::JoinSet::new();
        for (n, replica) in which.zip(self.replicas.iter().cycle()) {
            let replica = replica.clone();
            calls.spawn(async move { is_admitted(&replica.admit(replica.request(n, hold)).await) });
        }
        calls.join_all().await.into_iter().filter(|admitted| *admitted).count()
    }
}

fn is_admitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted(_))
}

/// Why a request was not even decided.
async fn failure(service: &Service, request: pb::AdmitRequest) -> Failure {
    Failure::from_status(&service.admission().admit(request).await.unwrap_err())
}

fn of_key(mut request: pb::AdmitRequest, key_id: &str, tenant_id: &str) -> pb::AdmitRequest {
    let intent = request.intent.as_mut().unwrap();
    (intent.key_id, intent.tenant_id) = (key_id.into(), tenant_id.into());
    request
}

async fn five_replicas_let_exactly_a_hundred_of_five_hundred_cents_into_a_dollar(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 5).await;
    fleet.set_budget(tenant(), USD).await;
    assert_eq!(fleet.admit_at_once(0..500, CENT).await, 100);
    for replica in &fleet.replicas {
        assert_eq!(sums(&replica.status(tenant()).await), (0, USD));
    }
    // Settled by another replica than the one that admitted it.
    for n in 0..500 {
        fleet.replicas[2].settle(n, CENT / 2, None).await;
    }
    assert_eq!(sums(&fleet.one().status(tenant()).await), (50 * CENT, 0));
    assert_eq!(fleet.admit_at_once(500..1000, CENT).await, 50);
}

async fn a_cluster_keeps_many_tenants_exactly(db: TestDb) {
    let fleet = Fleet::start(&db, servers::cluster(), 2).await;
    let tenants: Vec<String> = (0..8).map(|_| Uuid::now_v7().to_string()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for (n, tenant_id) in (0u128..).zip(&tenants) {
        let scope = pb::Scope { scope: Some(pb::scope::Scope::TenantId(tenant_id.clone())) };
        fleet.set_budget(scope, 10 * CENT).await;
        for m in 0..30 {
            let replica = fleet.replicas[m % 2].clone();
            let request = of_key(replica.request(n * 100 + m as u128, CENT), &tenant_id[30..], tenant_id);
            calls.spawn(async move { is_admitted(&replica.admit(request).await) });
        }
    }
    let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 10 * tenants.len());
}

async fn five_replicas_share_one_limit_and_its_refill(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 5).await;
    let limits = pb::Limits { requests_per_minute: Some(60), ..pb::Limits::default() };
    let set = pb::SetLimitsRequest { scope: Some(key()), limits: Some(limits), ..Default::default() };
    fleet.one().budgets().set_limits(set).await.unwrap();
    for replica in &fleet.replicas {
        until(async || {
            let get = pb::GetLimitsRequest { scope: Some(key()), ..Default::default() };
            replica.budgets().get_limits(get).await.unwrap().into_inner().limits == Some(limits)
        })
        .await;
    }
    assert_eq!(fleet.admit_at_once(0..300, 0).await, 60);
    fleet.clock.advance(Duration::from_millis(2999));
    assert_eq!(fleet.admit_at_once(300..600, 0).await, 2);
}

async fn what_one_replica_began_another_may_extend_repeat_and_end(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 3).await;
    let [a, b, c] = [0, 1, 2].map(|n| &*fleet.replicas[n]);
    let request = |n, byte| {
        let idempotency = pb::Idempotency { key: "k".into(), request_sha256: vec![byte; 32].into() };
        pb::AdmitRequest { idempotency: Some(idempotency), ..a.request(n, 5) }
    };
    let first = a.admit(request(1, 1)).await;
    assert!(is_admitted(&first));
    assert_eq!(b.admit(request(1, 1)).await, first, "a repeat of the lease gets the same answer");
    let Decision::Refused(refused) = b.admit(request(2, 1)).await else { panic!() };
    assert_eq!(refused.reason(), ErrorReason::IdempotencyInProgress);
    fleet.clock.advance(Duration::from_secs(60));
    let extend = pb::ExtendRequest { lease_id: id(1), tenant_id: "tenant".into() };
    let until_ms = b.admission().extend(extend).await.unwrap().into_inner().expires_at_unix_ms;
    assert_eq!(until_ms, fleet.clock.unix_millis() + 120_000);
    c.settle(1, 5, Some(b"answer")).await;
    let replay = Decision::Replay(pb::Replay { response: Bytes::from_static(b"answer") });
    assert_eq!(b.admit(request(3, 1)).await, replay);
    let nobody = pb::ExtendRequest { lease_id: id(1), tenant_id: String::new() };
    let failure = Failure::from_status(&b.admission().extend(nobody).await.unwrap_err());
    assert_eq!(failure.metadata["field"], "tenant_id");
}

async fn what_a_dead_replica_held_comes_back_through_the_outbox_of_another(db: TestDb) {
    let mut fleet = Fleet::start(&db, servers::own_database(), 2).await;
    fleet.set_budget(key(), 10 * CENT).await;
    let dead = fleet.replicas.pop().unwrap();
    assert!(is_admitted(&dead.admit(dead.request(1, 10 * CENT)).await));
    assert!(dead.tasks.shutdown(Duration::from_secs(5)).await);
    drop(dead);
    let alive = fleet.one();
    assert!(!is_admitted(&alive.admit(alive.request(2, CENT)).await));
    fleet.clock.advance(Duration::from_millis(120_000));
    until(async || sums(&alive.status(key()).await) == (CENT / 4, 0)).await;
    let (records, _) = alive.outbox.reader("budget").unwrap().next(10).await.unwrap();
    let record = UsageRecord::decode(records[0].clone()).unwrap();
    assert_eq!((records.len(), record.outcome(), &record.lease_id), (1, Outcome::Abandoned, &id(1)));
    for _ in 0..2 {
        alive.apply(std::slice::from_ref(&record)).await;
    }
    assert_eq!(sums(&alive.status(key()).await), (CENT / 4, 0));
    // A late end supersedes it.
    alive.apply(&[alive.record(1, 9 * CENT, Outcome::Succeeded)]).await;
    assert_eq!(sums(&alive.status(key()).await), (9 * CENT, 0));
}

async fn a_replica_that_dies_between_database_and_redis_leaves_nothing_counted_twice(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 2).await;
    let (dies, lives) = (&*fleet.replicas[0], &*fleet.replicas[1]);
    fleet.set_budget(key(), USD).await;
    for n in 1..=2 {
        assert!(is_admitted(&dies.admit(dies.request(n, 10 * CENT)).await));
    }
    dies.settle(1, 4 * CENT, None).await;
    let records = [1, 2].map(|n| dies.record(n, 4 * CENT, Outcome::Succeeded));
    let ended = records.clone().map(|record| Ended::decode(record.encode_to_vec().into()).unwrap());
    let window_start = dies.status(key()).await.window_start_unix_ms;
    let rows = ended.each_ref().map(|ended| LeaseSpend { ended, window_start });
    let writer = dies.budget.store.writer().await;
    spend::book(&writer, &rows, fleet.clock.unix_millis()).await.unwrap();
    drop(writer);
    assert_eq!(sums(&lives.status(key()).await), (4 * CENT, 10 * CENT), "never too little meanwhile");
    lives.apply(&records).await;
    assert_eq!(sums(&lives.status(key()).await), (8 * CENT, 0));
}

async fn a_policy_that_is_deleted_is_gone_everywhere(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 2).await;
    fleet.set_budget(key(), 0).await;
    let other = &fleet.replicas[1];
    assert!(!is_admitted(&other.admit(other.request(1, 1)).await));
    let delete = pb::DeleteBudgetRequest { scope: Some(key()), ..Default::default() };
    fleet.one().budgets().delete_budget(delete).await.unwrap();
    until(async || is_admitted(&other.admit(other.request(1, 1)).await)).await;
}

async fn scripts_that_the_server_forgot_are_sent_again(db: TestDb) {
    for redis in [servers::own_database(), servers::cluster()] {
        let fleet = Fleet::start(&db, redis.clone(), 1).await;
        let (service, tenant_id) = (fleet.one(), Uuid::now_v7().to_string());
        let request = |n| of_key(service.request(n, 1), &tenant_id, &tenant_id);
        assert!(is_admitted(&service.admit(request(701)).await));
        servers::run_everywhere(&redis, &["script", "flush", "sync"]);
        assert!(is_admitted(&service.admit(request(702)).await));
    }
}

async fn counters_that_are_lost_are_rebuilt_and_budgets_stay_closed_for_one_lease(db: TestDb) {
    let mut server = RedisServer::start(&[]);
    let fleet = Fleet::start(&db, server.config(), 2).await;
    fleet.set_budget(key(), USD).await;
    let (a, b) = (&*fleet.replicas[0], &*fleet.replicas[1]);
    assert_eq!(fleet.admit_at_once(0..50, CENT).await, 50);
    a.apply(&[a.record(0, 30 * CENT, Outcome::Succeeded), a.record(1, CENT, Outcome::Succeeded)]).await;
    assert_eq!(sums(&b.status(key()).await), (31 * CENT, 48 * CENT));
    server.kill();
    assert_eq!(failure(b, b.request(100, CENT)).await.reason, ErrorReason::Unavailable);
    server.restart();

    // Back, but what 48 leases hold is forgotten: nobody may spend it a second time.
    for replica in &fleet.replicas {
        until(async || sums_if_known(replica).await == Some((31 * CENT, 0))).await;
        let refused = failure(replica, replica.request(101, CENT)).await;
        assert_eq!(refused.reason, ErrorReason::Unavailable);
        assert!(refused.retry_after.is_some());
    }
    let free = of_key(b.request(102, CENT), "free", "tenant");
    assert!(is_admitted(&b.admit(free).await), "a key without a budget goes on");
    // The running requests end meanwhile, as they would have.
    a.apply(&(2..50).map(|n| a.record(n, CENT, Outcome::Succeeded)).collect::<Vec<_>>()).await;
    fleet.clock.advance(Duration::from_millis(119_999));
    assert_eq!(failure(a, a.request(103, CENT)).await.reason, ErrorReason::Unavailable);
    fleet.clock.advance(Duration::from_millis(1));
    assert_eq!(fleet.admit_at_once(200..300, CENT).await, 21);
    assert_eq!(sums(&a.status(key()).await), (79 * CENT, 21 * CENT));

    // The same without a restart.
    server.run(&["flushall"]);
    assert_eq!(failure(a, a.request(301, CENT)).await.reason, ErrorReason::Unavailable);
    fleet.clock.advance(Duration::from_millis(120_000));
    assert_eq!(sums(&b.status(key()).await), (79 * CENT, 0));
    assert_eq!(
        b.budget.engine.metrics().rebuilt_tenants.get() + a.budget.engine.metrics().rebuilt_tenants.get(),
        2
    );
}

async fn an_old_copy_of_the_counters_is_as_good_as_none(db: TestDb) {
    let mut server = RedisServer::start(&[]);
    let fleet = Fleet::start(&db, server.config(), 2).await;
    fleet.set_budget(key(), USD).await;
    let (a, b) = (&*fleet.replicas[0], &*fleet.replicas[1]);
    assert_eq!(fleet.admit_at_once(0..40, CENT).await, 40);
    let old = server.copy();
    assert_eq!(fleet.admit_at_once(40..200, CENT).await, 60);
    server.kill();
    server.restart_from(&old);

    // It says that 60 cents are left, which are held.
    until(async || sums_if_known(b).await == Some((0, 40 * CENT))).await;
    for replica in &fleet.replicas {
        let refused = failure(replica, replica.request(200, CENT)).await;
        assert_eq!((refused.reason, refused.retry_after.is_some()), (ErrorReason::Unavailable, true));
    }
    fleet.clock.advance(Duration::from_secs(60));
    // Ten leases that the copy has run on, and five of those that it lacks died.
    for n in 30..40 {
        let extend = pb::ExtendRequest { lease_id: id(n), tenant_id: "tenant".into() };
        a.admission().extend(extend).await.unwrap();
    }
    let ended = (0..30).chain(40..95).map(|n| a.record(n, CENT, Outcome::Succeeded));
    a.apply(&ended.collect::<Vec<_>>()).await;
    assert_eq!(failure(b, b.request(201, CENT)).await.reason, ErrorReason::Unavailable);
    fleet.clock.advance(Duration::from_secs(60));
    assert_eq!(fleet.admit_at_once(300..400, CENT).await, 5);
    assert_eq!(sums(&b.status(key()).await), (85 * CENT, 15 * CENT));

    // What the present run of the server has kept is sure.
    fleet.clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(a, a.request(500, CENT)).await, ErrorReason::BudgetExceeded);
}

async fn refusal(service: &Service, request: pb::AdmitRequest) -> ErrorReason {
    match service.admit(request).await {
        Decision::Refused(refused) => refused.reason(),
        other => panic!("{other:?}"),
    }
}

async fn sums_if_known(service: &Service) -> Option<(i64, i64)> {
    let answer = service
        .budgets()
        .get_budget(pb::GetBudgetRequest { scope: Some(key()), ..Default::default() })
        .await
        .ok()?;
    answer.into_inner().status.as_ref().map(sums)
}

async fn a_tenant_that_is_new_need_not_wait(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 3).await;
    fleet.set_budget(key(), USD).await;
    // Nobody has asked Redis before, and all do at once.
    assert_eq!(fleet.admit_at_once(0..30, 1).await, 30);
}

async fn while_redis_is_away_only_keys_without_a_budget_go_on_and_nothing_is_lost(db: TestDb) {
    let mut server = RedisServer::start(&[]);
    let fleet = Fleet::start(&db, server.config(), 1).await;
    let service = fleet.one();
    fleet.set_budget(key(), USD).await;
    let limits = pb::Limits { requests_per_minute: Some(1), ..pb::Limits::default() };
    let scope = pb::Scope { scope: Some(pb::scope::Scope::KeyId("free".into())) };
    let set = pb::SetLimitsRequest { scope: Some(scope), limits: Some(limits), ..Default::default() };
    service.budgets().set_limits(set).await.unwrap();
    assert!(is_admitted(&service.admit(service.request(1, CENT)).await));
    server.kill();
    let refused = failure(service, service.request(2, CENT)).await;
    assert_eq!((refused.reason, refused.http_status()), (ErrorReason::Unavailable, 503));
    assert!(refused.retry_after.is_some());
    assert!(!refused.message.contains("127.0.0.1"), "{}", refused.message);
    let free = |n| of_key(service.request(n, CENT), "free", "other");
    for n in 10..15 {
        assert!(is_admitted(&service.admit(free(n)).await));
    }
    assert_eq!(service.budget.engine.metrics().ungoverned_requests.get(), 5);
    let once = pb::Idempotency { key: "k".into(), request_sha256: vec![1; 32].into() };
    let once = pb::AdmitRequest { idempotency: Some(once), ..free(15) };
    assert_eq!(
        failure(service, once).await.reason,
        ErrorReason::Unavailable,
        "nobody could keep that promise"
    );
    let settle = pb::SettleRequest { lease_id: id(1), tenant_id: "tenant".into(), ..Default::default() };
    let unsettled = Failure::from_status(&service.admission().settle(settle).await.unwrap_err());
    assert_eq!(unsettled.reason, ErrorReason::Unavailable);

    // Its record waits, and is booked once all is back.
    let record = service.record(1, CENT / 2, Outcome::Succeeded).encode_to_vec();
    service.outbox.end(Uuid::from_u128(1), &record).unwrap();
    service.budget.consume(RecordSource::spool(service.outbox.reader("budget").unwrap()));
    server.restart();
    until(async || sums_if_known(service).await == Some((CENT / 2, 0))).await;
    until(async || service.outbox.reader("budget").unwrap().lag() == 0).await;
    assert!(is_admitted(&service.admit(free(20)).await));
    assert!(!is_admitted(&service.admit(free(21)).await), "limits hold again");
}

async fn a_request_that_nobody_answered_in_time_holds_nothing_afterwards(db: TestDb) {
    let server = RedisServer::start(&[]);
    let hasty = RedisConfig { response_timeout_ms: 1500, ..server.config() };
    let fleet = Fleet::start(&db, hasty, 1).await;
    let service = fleet.one();
    fleet.set_budget(key(), USD).await;
    assert!(is_admitted(&service.admit(service.request(1, CENT)).await));
    // The server takes the request, and answers it long after it was given up.
    server.run(&["client", "pause", "4000", "ALL"]);
    assert_eq!(failure(service, service.request(2, CENT)).await.reason, ErrorReason::Unavailable);
    until(async || sums_if_known(service).await.is_some()).await;
    until(async || sums_if_known(service).await == Some((0, CENT))).await;
    let again = failure(service, service.request(2, CENT)).await;
    assert_eq!(again.reason, ErrorReason::Conflict, "the lease was taken back for good");
}

async fn a_replica_that_has_a_backlog_rebuilds_nothing_and_goes_on_with_what_redis_knows(db: TestDb) {
    let mut redis = RedisServer::start(&[]);
    let fleet = Fleet::start(&db, redis.config(), 1).await;
    let one = fleet.one();
    fleet.set_budget(tenant(), USD).await;
    assert!(is_admitted(&one.admit(one.request(1, CENT)).await));

    one.budget.behind.store(1, Ordering::Release);
    assert!(is_admitted(&one.admit(one.request(2, CENT)).await), "redis has what was spent");
    redis.kill();
    redis.restart();
    // Redis is let rest for a moment after a failure.
    until(async || {
        let early = failure(one, one.request(3, CENT)).await;
        early.reason == ErrorReason::Unavailable && redis.run(&["dbsize"]).starts_with('0')
    })
    .await;
    let uncovered = of_key(one.request(4, CENT), "k", "another");
    assert!(is_admitted(&one.admit(uncovered).await), "it goes on without limits");
    assert_eq!(one.budget.engine.metrics().rebuilt_tenants.get(), 0);

    one.budget.behind.store(0, Ordering::Release);
    until(async || {
        one.admission().admit(one.request(5, CENT)).await.is_err()
            && one.budget.engine.metrics().rebuilt_tenants.get() == 1
    })
    .await;
}

async fn no_replica_lets_a_key_in_without_what_it_was_made_with(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 3).await;
    let [told, others @ ..] = [0, 1, 2].map(|n| &*fleet.replicas[n]);
    for n in 0..20 {
        let key_id = format!("key-{n}");
        let budget = pb::Budget { limit_nano_usd: CENT, ..Default::default() };
        told.set_quota(super::quotas::of_key(&key_id, budget)).await.unwrap();
        for (other, replica) in (0..).zip(others) {
            let dear = of_key(replica.request(2 * n + other, 2 * CENT), &key_id, "tenant");
            let Decision::Refused(refused) = replica.admit(dear).await else { panic!("{key_id} at {other}") };
            assert_eq!(refused.reason(), ErrorReason::BudgetExceeded);
        }
    }
}

async fn while_the_database_is_away_only_keys_that_were_met_are_let_in(db: TestDb) {
    let fleet = Fleet::start(&db, servers::own_database(), 1).await;
    let replica = fleet.one();
    let ask = |n, key_id| of_key(replica.request(n, CENT), key_id, "tenant");
    assert!(is_admitted(&replica.admit(ask(1, "met")).await));
    fleet.set_budget(key(), USD).await;
    replica.budget.store.db.close().await;
    assert_eq!(failure(replica, ask(2, "new")).await.reason, ErrorReason::Unavailable);
    for (n, known) in [(3, "met"), (4, "key")] {
        assert!(is_admitted(&replica.admit(ask(n, known)).await), "{known}");
    }
}
