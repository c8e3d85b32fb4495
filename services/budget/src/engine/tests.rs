use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use headgate_proto::budget::v1::CapTerms;
use headgate_proto::catalog::v1::Price;
use headgate_proto::record::v1::{IntentRecord, Outcome, UsageRecord};
use prometheus::Registry;
use proptest::prelude::*;
use prost::Message as _;
use uuid::Uuid;

use super::admit::{Ask, Decision};
use super::finish::{Booking, Settlement};
use super::lease::Idempotency;
use super::{Engine, Overdue};
use crate::limits::Refusal;
use crate::metrics::Metrics;
use crate::policy::{Budget, Limits, Policies, Scope};
use crate::record::Ended;
use crate::replays::{IdempotencyKey, Replays};
use crate::window::Months;

const USD: i64 = 1_000_000_000;
const CENT: i64 = USD / 100;
const TTL_MS: i64 = 120_000;

/// 2026-11-21 in Los Angeles.
fn engine() -> Engine {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    // Without its reader the queue is closed: nothing is written behind here.
    let (replays, _) = Replays::new(metrics.unpersisted_responses.clone());
    let policies = Policies::new(Limits::default(), Limits::default());
    let months = Months::of("America/Los_Angeles").unwrap();
    Engine::new(policies, months, Clock::manual(1_795_237_200_000_000), metrics, replays, TTL_MS)
}

fn key() -> Scope {
    Scope::Key("key".into())
}

fn tenant() -> Scope {
    Scope::Tenant("tenant".into())
}

fn budget(engine: &Engine, scope: &Scope, limit: i64) {
    engine.policies.set_budget(scope, Some(Budget { limit, warning_percent: 80 }));
}

fn ask(engine: &Engine, n: u128, hold: i64) -> Ask {
    let intent = IntentRecord {
        lease_id: Uuid::from_u128(n).to_string(),
        tenant_id: "tenant".into(),
        key_id: "key".into(),
        started_at_unix_ms: engine.clock.unix_millis(),
        hold_nano_usd: hold,
        prompt_tokens_estimate: 100,
        price: Some(Price { input_nano_usd_per_1k_tokens: 20_000, ..Price::default() }),
        ..IntentRecord::default()
    };
    let intent = Box::new(intent);
    Ask { lease: Uuid::from_u128(n), intent, limit_tokens: 0, cap_terms: None, idempotency: None }
}

fn admit(engine: &Engine, n: u128, hold: i64) -> Decision {
    engine.admit(ask(engine, n, hold)).decision
}

fn admitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn settle(engine: &Engine, n: u128, cost: i64, response: Option<&'static [u8]>) {
    let response = response.map(Bytes::from_static);
    engine.settle(Uuid::from_u128(n), Settlement { cost, tokens: 0, response });
}

fn record(engine: &Engine, n: u128, cost: i64, outcome: Outcome) -> Ended {
    read(&UsageRecord {
        lease_id: Uuid::from_u128(n).to_string(),
        tenant_id: "tenant".into(),
        key_id: "key".into(),
        cost_nano_usd: cost,
        outcome: outcome.into(),
        started_at_unix_ms: engine.clock.unix_millis(),
        ..UsageRecord::default()
    })
}

fn read(record: &UsageRecord) -> Ended {
    Ended::decode(record.encode_to_vec().into()).unwrap()
}

fn book(engine: &Engine, n: u128, cost: i64) {
    let window_start = engine.months.at(engine.clock.unix_millis()).start;
    let booking = Some(Booking { delta: cost, window_start });
    engine.recorded(&record(engine, n, cost, Outcome::Succeeded), booking);
}

/// What is spent and what is held.
fn sums(engine: &Engine, scope: &Scope) -> (i64, i64) {
    let standing = engine.standing(scope, Budget { limit: 0, warning_percent: 80 });
    (standing.spent, standing.held)
}

fn advance(engine: &Engine, ms: i64) {
    engine.clock.advance(Duration::from_millis(ms.unsigned_abs()));
}

#[test]
fn exactly_a_hundred_of_five_hundred_at_once_fit_into_a_dollar() {
    let engine = engine();
    budget(&engine, &key(), USD);
    let passed: usize = std::thread::scope(|threads| {
        let run = |from: u128| {
            let engine = &engine;
            move || (from..from + 50).filter(|n| admitted(&admit(engine, *n, CENT))).count()
        };
        let running: Vec<_> = (0..10).map(|i| threads.spawn(run(i * 50))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
    assert_eq!(sums(&engine, &key()), (0, USD));
    let refused = refusal(admit(&engine, 1000, 1));
    assert_eq!((refused.reason, refused.retry_after_ms), (ErrorReason::BudgetExceeded, 0));
    assert!(refused.message.contains("$1.00 for this key"), "{}", refused.message);
    assert!(admitted(&admit(&engine, 1001, 0)), "what costs nothing runs on");
}

#[test]
fn a_hold_that_does_not_fit_is_capped_where_that_is_agreed() {
    let engine = engine();
    budget(&engine, &key(), USD);
    budget(&engine, &tenant(), 1_000);
    let terms = CapTerms { prompt_nano_usd: 100, output_nano_usd_per_1k_tokens: 7_000 };
    let answer = engine.admit(Ask { cap_terms: Some(terms), ..ask(&engine, 1, USD) });
    assert!(matches!(answer.decision, Decision::Admitted { cap: Some(128), .. }), "{:?}", answer.decision);
    let standing = answer.budget.unwrap();
    assert_eq!((standing.scope, standing.spent, standing.held), (tenant(), 0, 996));
    let refused = engine.admit(Ask { cap_terms: Some(terms), ..ask(&engine, 2, USD) });
    assert_eq!(refusal(refused.decision).reason, ErrorReason::BudgetExceeded);
    assert_eq!(refused.budget.unwrap().held, 996, "a refusal tells where the budget stands, too");
}

#[test]
fn a_refusal_leaves_every_counter_as_it_was() {
    let engine = engine();
    let one = Limits { requests_per_minute: Some(1), parallel_requests: Some(1), ..Limits::default() };
    engine.policies.set_limits(&key(), one);
    engine.policies.set_limits(&tenant(), Limits { tokens_per_minute: Some(10), ..Limits::default() });
    budget(&engine, &tenant(), 5);
    let idempotency = idempotency("again", 1);
    let over = Ask { idempotency: Some(idempotency), limit_tokens: 10, ..ask(&engine, 1, 6) };
    assert_eq!(refusal(engine.admit(over).decision).reason, ErrorReason::BudgetExceeded);
    assert_eq!(sums(&engine, &tenant()), (0, 0));
    // The same slot, rate, tokens and idempotency key are all still free.
    let idempotency = self::idempotency("again", 2);
    let fits = Ask { idempotency: Some(idempotency), limit_tokens: 10, ..ask(&engine, 2, 5) };
    assert!(admitted(&engine.admit(fits).decision));
}

#[test]
fn the_refusal_names_the_limit_and_the_exact_wait() {
    let engine = engine();
    let key_limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
    engine.policies.set_limits(&key(), key_limits);
    engine.policies.set_limits(&tenant(), Limits { requests_per_minute: Some(60_000), ..Limits::default() });
    assert_eq!((0..100).filter(|n| admitted(&admit(&engine, *n, 0))).count(), 60);
    let refused = refusal(admit(&engine, 200, 0));
    assert_eq!(refused.message, "limit of 60 requests per minute for this key is reached");
    assert_eq!((refused.reason, refused.retry_after_ms), (ErrorReason::RateLimited, 1000));
    advance(&engine, 999);
    assert_eq!(refusal(admit(&engine, 200, 0)).retry_after_ms, 1);
    advance(&engine, 1);
    assert!(admitted(&admit(&engine, 200, 0)));
}

#[test]
fn parallel_slots_come_back_by_settlement_record_or_expiry() {
    let engine = engine();
    engine.policies.set_limits(&tenant(), Limits { parallel_requests: Some(3), ..Limits::default() });
    for n in 0..3 {
        assert!(admitted(&admit(&engine, n, 0)));
    }
    let refused = refusal(admit(&engine, 9, 0));
    assert_eq!(refused.message, "limit of 3 parallel requests for this tenant is reached");
    assert!(refused.retry_after_ms > 0);
    settle(&engine, 0, 0, None);
    settle(&engine, 0, 0, None);
    book(&engine, 0, 0);
    assert!(admitted(&admit(&engine, 3, 0)));
    assert!(!admitted(&admit(&engine, 4, 0)), "one end frees one slot, however often it is told");
    book(&engine, 1, 0);
    assert!(admitted(&admit(&engine, 5, 0)));
    advance(&engine, TTL_MS);
    assert_eq!(engine.overdue().len(), 3);
    assert_eq!((6..20).filter(|n| admitted(&admit(&engine, *n, 0))).count(), 3);
}

#[test]
fn tokens_are_corrected_to_what_was_used() {
    for (scope, whom) in [(key(), "key"), (tenant(), "tenant")] {
        let engine = engine();
        engine.policies.set_limits(&scope, Limits { tokens_per_minute: Some(1000), ..Limits::default() });
        let tokens = |n, limit_tokens| Ask { limit_tokens, ..ask(&engine, n, 0) };
        let decided = engine.admit(tokens(1, 5000)).decision;
        assert!(admitted(&decided), "more than the bucket is never impossible");
        assert!(!admitted(&engine.admit(tokens(2, 1)).decision));
        engine.settle(Uuid::from_u128(1), Settlement { cost: 0, tokens: 400, response: None });
        assert!(admitted(&engine.admit(tokens(3, 600)).decision));
        engine.settle(Uuid::from_u128(3), Settlement { cost: 0, tokens: 1600, response: None });
        let refused = refusal(engine.admit(tokens(4, 1)).decision);
        assert_eq!(refused.message, format!("limit of 1000 tokens per minute for this {whom} is reached"));
        assert_eq!(refused.retry_after_ms, 60_060, "1001 tokens too many at 1000 a minute");
    }
}

#[test]
fn a_repeat_gets_the_same_answer_and_holds_nothing_more() {
    let engine = engine();
    let first = admit(&engine, 1, CENT);
    advance(&engine, 500);
    let second = admit(&engine, 1, CENT);
    let Decision::Admitted { expires_at, is_new: true, .. } = first else { panic!("{first:?}") };
    assert_eq!(second, Decision::Admitted { expires_at, cap: None, is_new: false });
    assert_eq!(sums(&engine, &key()), (0, CENT));
    settle(&engine, 1, 1, None);
    assert_eq!(admit(&engine, 1, CENT), Decision::Ended);
    let mut foreign = ask(&engine, 1, CENT);
    foreign.intent.tenant_id = "other".into();
    assert_eq!(engine.admit(foreign).decision, Decision::Ended);
}

#[test]
fn an_extended_lease_lives_on_and_an_expired_one_ends_in_a_record() {
    let engine = engine();
    budget(&engine, &key(), USD);
    assert!(admitted(&admit(&engine, 1, CENT)) && admitted(&admit(&engine, 2, 1500)));
    advance(&engine, TTL_MS - 1);
    assert!(engine.overdue().is_empty());
    let expires = engine.extend(Uuid::from_u128(2)).unwrap();
    assert_eq!(expires, engine.clock.unix_millis() + TTL_MS);
    advance(&engine, 1);
    assert_eq!(engine.extend(Uuid::from_u128(1)), None);
    let overdue = engine.overdue();
    let [Overdue { id, record }] = &overdue[..] else { panic!("{overdue:?}") };
    assert_eq!((*id, record.outcome()), (Uuid::from_u128(1), Outcome::Abandoned));
    // 100 prompt tokens at 20,000 nano-USD per 1,000.
    assert_eq!((record.cost_nano_usd, record.prompt_tokens, record.estimated), (2000, 100, true));
    assert_eq!(sums(&engine, &key()), (2000, 1500), "the rest of the hold is back");
    assert_eq!(engine.overdue().len(), 1, "until it is written it comes again");
    engine.written(*id);
    assert!(engine.overdue().is_empty());
    settle(&engine, 1, CENT, None);
    engine.recorded(&read(record), Some(Booking { delta: 2000, window_start: window_start(&engine) }));
    assert_eq!(sums(&engine, &key()), (2000, 1500));
    advance(&engine, TTL_MS);
    assert_eq!(engine.overdue()[0].record.cost_nano_usd, 1500, "an estimate never exceeds the hold");
    assert_eq!(engine.metrics.open_leases.get(), 0);
    assert_eq!(engine.metrics.expired_leases.get(), 2);
}

fn window_start(engine: &Engine) -> i64 {
    engine.months.at(engine.clock.unix_millis()).start
}

#[test]
fn a_settled_lease_whose_record_never_comes_is_accounted_for() {
    let engine = engine();
    assert!(admitted(&admit(&engine, 1, CENT)));
    settle(&engine, 1, 777, None);
    advance(&engine, TTL_MS);
    assert!(engine.overdue().is_empty());
    advance(&engine, 3_600_000);
    assert_eq!(engine.overdue()[0].record.cost_nano_usd, 777);
    assert_eq!(sums(&engine, &key()), (777, 0));
}

#[test]
fn a_new_month_starts_from_nothing_and_old_leases_stay_in_theirs() {
    let engine = engine();
    budget(&engine, &key(), USD);
    assert!(admitted(&admit(&engine, 1, CENT)) && admitted(&admit(&engine, 2, CENT)));
    settle(&engine, 2, CENT, None);
    let old = engine.standing(&key(), Budget { limit: USD, warning_percent: 80 });
    assert_eq!((old.spent, old.held), (CENT, CENT));
    // November ends in standard time: 2026-12-01 00:00 in Los Angeles is 08:00 UTC.
    assert_eq!(old.window.end, 1_796_112_000_000);
    advance(&engine, old.window.end - engine.clock.unix_millis() - 1);
    assert_eq!(sums(&engine, &key()), (CENT, CENT));
    advance(&engine, 1);
    assert_eq!(sums(&engine, &key()), (0, 0));
    settle(&engine, 1, CENT, None);
    let old_window = Some(Booking { delta: CENT, window_start: old.window.start });
    engine.recorded(&record(&engine, 2, CENT, Outcome::Succeeded), old_window);
    assert_eq!(sums(&engine, &key()), (0, 0));
    assert!(admitted(&admit(&engine, 3, USD)));
}

fn idempotency(key: &str, request: u8) -> Idempotency {
    let key = IdempotencyKey { key_id: "key".into(), key: key.into() };
    Idempotency { key, request_sha256: [request; 32] }
}

#[test]
fn an_idempotency_key_is_in_progress_then_replayed_or_free() {
    let engine = engine();
    let ask = |n, request| Ask { idempotency: Some(idempotency("k", request)), ..ask(&engine, n, 0) };
    let reason = |n, request| refusal(engine.admit(ask(n, request)).decision).reason;
    assert!(admitted(&engine.admit(ask(1, 7)).decision));
    assert_eq!(reason(2, 7), ErrorReason::IdempotencyInProgress);
    assert_eq!(reason(2, 8), ErrorReason::IdempotencyMismatch);
    settle(&engine, 1, 0, None);
    book(&engine, 1, 0);
    assert!(admitted(&engine.admit(ask(2, 8)).decision), "settled without a response frees the key");
    // The record overtakes the settlement: the key still waits for the response.
    book(&engine, 2, 0);
    assert_eq!(reason(3, 8), ErrorReason::IdempotencyInProgress);
    settle(&engine, 2, 0, Some(b"answer"));
    assert_eq!(engine.admit(ask(3, 8)).decision, Decision::Replay(Bytes::from_static(b"answer")));
    assert_eq!(reason(3, 9), ErrorReason::IdempotencyMismatch);
    advance(&engine, 24 * 3_600_000);
    assert!(admitted(&engine.admit(ask(3, 9)).decision), "a response is kept for a day");
    advance(&engine, TTL_MS);
    assert_eq!(engine.overdue().len(), 1);
    assert!(admitted(&engine.admit(ask(4, 9)).decision), "expiry frees the key");
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    engine.settle(Uuid::from_u128(4), Settlement { cost: 0, tokens: 0, response: Some(large) });
    assert!(admitted(&engine.admit(ask(5, 9)).decision), "a response over 1 MiB is not kept");
}

#[test]
fn nothing_is_left_of_leases_that_ended() {
    let engine = engine();
    for n in 0..100 {
        let idempotency = Some(idempotency(&n.to_string(), 1));
        assert!(admitted(&engine.admit(Ask { idempotency, ..ask(&engine, n, CENT) }).decision));
        book(&engine, n, 1);
        settle(&engine, n, 1, None);
    }
    assert!(engine.leases.is_empty());
    let cell = engine.cell("tenant");
    assert!(cell.lock().leases.is_empty() && cell.lock().running.is_empty());
    assert_eq!(engine.metrics.open_leases.get(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Admit(u128, i64),
    Settle(u128),
    Record(u128),
    Wait(i64),
    Extend(u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u128..40, 0i64..30).prop_map(|(n, hold)| Step::Admit(n, hold)),
        (0u128..40).prop_map(Step::Settle),
        (0u128..40).prop_map(Step::Record),
        (0i64..TTL_MS).prop_map(Step::Wait),
        (0u128..40).prop_map(Step::Extend),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Whatever comes in whatever order, and however often: a budget is never exceeded by an admission, and in the
    /// end what is spent is the sum of the records, each counted once.
    #[test]
    fn any_interleaving_adds_up(steps in steps()) {
        let engine = engine();
        budget(&engine, &key(), 100);
        budget(&engine, &tenant(), 120);
        let mut costs: HashMap<u128, i64> = HashMap::new();
        let mut records: HashMap<u128, i64> = HashMap::new();
        for step in steps {
            match step {
                Step::Admit(n, hold) if !records.contains_key(&n) => {
                    if matches!(admit(&engine, n, hold), Decision::Admitted { is_new: true, .. }) {
                        costs.insert(n, hold / 2);
                    }
                }
                Step::Settle(n) => settle(&engine, n, costs.get(&n).copied().unwrap_or(5), None),
                Step::Record(n) => {
                    if let Some(cost) = costs.get(&n) {
                        let before = records.insert(n, *cost);
                        let delta = cost - before.unwrap_or(0);
                        let changed = (delta != 0).then(|| {
                            Booking { delta, window_start: window_start(&engine) }
                        });
                        engine.recorded(&record(&engine, n, *cost, Outcome::Succeeded), changed);
                    }
                }
                Step::Wait(ms) => {
                    advance(&engine, ms);
                    for overdue in engine.overdue() {
                        let n = overdue.id.as_u128();
                        records.insert(n, overdue.record.cost_nano_usd);
                        let window_start = window_start(&engine);
                        let delta = overdue.record.cost_nano_usd;
                        engine.written(overdue.id);
                        engine.recorded(&read(&overdue.record), Some(Booking { delta, window_start }));
                    }
                }
                Step::Extend(n) => { engine.extend(Uuid::from_u128(n)); }
                Step::Admit(..) => {}
            }
            for scope in [key(), tenant()] {
                let (spent, held) = sums(&engine, &scope);
                prop_assert!(spent >= 0 && held >= 0 && spent + held <= 100, "{spent} {held}");
            }
        }
        for (n, cost) in costs {
            records.entry(n).or_insert_with(|| {
                book(&engine, n, cost);
                cost
            });
        }
        let total: i64 = records.values().sum();
        prop_assert_eq!(sums(&engine, &key()), (total, 0));
        prop_assert_eq!(sums(&engine, &tenant()), (total, 0));
        prop_assert!(engine.leases.is_empty());
    }
}
