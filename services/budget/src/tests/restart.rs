//! What requests of other processes hold outlives the process that counts it.

use super::*;
use crate::engine::admit::{Ask, Decision as Decided};
use crate::engine::lease::Idempotency;
use crate::replays::IdempotencyKey;

on_both_engines!(
    what_others_hold_is_known_again_after_a_restart,
    what_was_booked_before_a_restart_is_not_held_after_it,
    a_lease_that_expires_after_a_restart_is_accounted_for,
    without_a_place_to_write_it_down_nothing_is_admitted,
    a_stream_of_another_process_keeps_its_slot,
);

/// Decides as if another process asked.
async fn decide(service: &Service, n: u128) -> Decided {
    let intent = Box::new(service.request(n, CENT).intent.unwrap());
    let key = IdempotencyKey { key_id: "key".into(), key: format!("idempotency {n}") };
    let idempotency = Some(Idempotency { key, request_sha256: [7; 32] });
    let (lease, cap_terms) = (Uuid::from_u128(n), None);
    let ask = Ask { lease, intent, limit_tokens: 0, cap_terms, idempotency, from_elsewhere: true };
    service.budget.engine.admit(ask).await.unwrap().decision
}

async fn admit(service: &Service, which: impl IntoIterator<Item = u128>) {
    for n in which {
        assert!(matches!(decide(service, n).await, Decided::Admitted { .. }), "{n}");
    }
}

async fn restarted(service: Service, db: &TestDb) -> Service {
    let clock = service.clock.clone();
    service.stop().await;
    Service::start(db, &clock).await
}

async fn what_others_hold_is_known_again_after_a_restart(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_budget(key(), 10 * CENT).await;
    admit(&service, 0..6).await;
    service.settle(0, CENT / 2, None).await;
    service.budget.engine.release(Uuid::from_u128(1), "tenant").await.unwrap();
    service.apply(&[service.record(2, CENT, Outcome::Succeeded)]).await;
    // One of this process ends with it.
    assert!(matches!(service.admit(service.request(9, CENT)).await, Decision::Admitted(_)));
    assert_eq!(sums(&service.status(key()).await), (CENT + CENT / 2, 4 * CENT));

    let service = restarted(service, &db).await;
    assert_eq!(sums(&service.status(key()).await), (CENT + CENT / 2, 3 * CENT));
    assert_eq!(service.budget.engine.metrics().open_leases.get(), 3);
    let Decided::Refused(refused) = decide_again(&service, 3).await else { panic!() };
    assert_eq!(refused.reason, ErrorReason::IdempotencyInProgress);
    // Admission is open, for what is left: 5.5 cents.
    admit(&service, 20..25).await;
    assert!(!matches!(decide(&service, 25).await, Decided::Admitted { .. }));

    let extend = pb::ExtendRequest { lease_id: id(3), tenant_id: "tenant".into() };
    service.admission().extend(extend).await.unwrap();
    service.settle(3, CENT, None).await;
    service.apply(&[0, 3].map(|n| service.record(n, CENT, Outcome::Succeeded))).await;
    assert_eq!(sums(&service.status(key()).await), (3 * CENT, 7 * CENT));
    let service = restarted(service, &db).await;
    assert_eq!(sums(&service.status(key()).await), (3 * CENT, 7 * CENT), "however often");
    service.stop().await;
}

/// Another request with the idempotency key of lease `n`.
async fn decide_again(service: &Service, n: u128) -> Decided {
    let mut request = service.request(n + 1000, CENT);
    let (key, request_sha256) = (format!("idempotency {n}"), vec![7; 32].into());
    request.idempotency = Some(pb::Idempotency { key, request_sha256 });
    match service.admit(request).await {
        Decision::Refused(refused) => Decided::Refused(crate::limits::Refusal::new(refused.reason(), "")),
        other => panic!("{other:?}"),
    }
}

async fn what_was_booked_before_a_restart_is_not_held_after_it(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_budget(key(), 10 * CENT).await;
    admit(&service, 0..2).await;
    service.settle(0, CENT, None).await;
    // It dies between the database and its own memory.
    let records = [0, 1].map(|n| service.record(n, CENT, Outcome::Succeeded));
    let ended = records.clone().map(|record| Ended::decode(record.encode_to_vec().into()).unwrap());
    let window_start = service.status(key()).await.window_start_unix_ms;
    let rows = ended.each_ref().map(|ended| LeaseSpend { ended, window_start });
    let writer = service.budget.store.writer().await;
    spend::book(&writer, &rows, service.clock.unix_millis()).await.unwrap();
    drop(writer);
    let service = restarted(service, &db).await;
    assert_eq!(sums(&service.status(key()).await), (2 * CENT, 0));
    service.apply(&records).await;
    assert_eq!(sums(&service.status(key()).await), (2 * CENT, 0), "it comes again, and changes nothing");
    assert_eq!(service.outbox.open_entries(), 0);
    service.stop().await;
}

async fn a_lease_that_expires_after_a_restart_is_accounted_for(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_budget(key(), 10 * CENT).await;
    admit(&service, 0..1).await;
    service.clock.advance(Duration::from_secs(100));
    let service = restarted(service, &db).await;
    service.clock.advance(Duration::from_millis(119_999));
    upkeep::reap_once(&service.budget.engine, &service.outbox).await.unwrap();
    assert_eq!(service.outbox.open_entries(), 1, "it has a whole lease's time to be extended");
    service.clock.advance(Duration::from_millis(1));
    upkeep::reap_once(&service.budget.engine, &service.outbox).await.unwrap();
    assert_eq!(service.outbox.open_entries(), 0);
    let (records, _) = service.outbox.reader("budget").unwrap().next(10).await.unwrap();
    let record = UsageRecord::decode(records[0].clone()).unwrap();
    assert_eq!((record.outcome(), &record.lease_id), (Outcome::Abandoned, &id(0)));
    service.stop().await;
}

async fn without_a_place_to_write_it_down_nothing_is_admitted(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    service.set_budget(key(), 10 * CENT).await;
    let full = vec![0; 1 << 24];
    service.outbox.end(Uuid::from_u128(99), &full[..(1 << 24) - 100]).unwrap();
    let intent = Box::new(service.request(1, CENT).intent.unwrap());
    let (lease, cap_terms, idempotency) = (Uuid::from_u128(1), None, None);
    let ask = Ask { lease, intent, limit_tokens: 0, cap_terms, idempotency, from_elsewhere: true };
    let failure = service.budget.engine.admit(ask).await.unwrap_err();
    assert_eq!(failure.reason, ErrorReason::Unavailable);
    assert_eq!(sums(&service.status(key()).await), (0, 0));
    service.stop().await;
}

async fn a_stream_of_another_process_keeps_its_slot(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let limits = pb::Limits { parallel_streams: Some(1), ..pb::Limits::default() };
    let set = pb::SetLimitsRequest { scope: Some(key()), limits: Some(limits), ..Default::default() };
    service.budgets().set_limits(set).await.unwrap();
    let stream = async |service: &Service, n: u128| {
        let mut intent = Box::new(service.request(n, 0).intent.unwrap());
        intent.streamed = true;
        let (lease, cap_terms, idempotency) = (Uuid::from_u128(n), None, None);
        let ask = Ask { lease, intent, limit_tokens: 0, cap_terms, idempotency, from_elsewhere: true };
        matches!(service.budget.engine.admit(ask).await.unwrap().decision, Decided::Admitted { .. })
    };
    assert!(stream(&service, 1).await);
    let service = restarted(service, &db).await;
    assert!(!stream(&service, 2).await);
    assert!(matches!(service.admit(service.request(3, 0)).await, Decision::Admitted(_)), "that is none");
    service.settle(3, 0, None).await;
    assert!(!stream(&service, 4).await);
    service.settle(1, 0, None).await;
    assert!(stream(&service, 5).await);
    service.stop().await;
}
