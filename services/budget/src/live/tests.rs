//! What live counters promise, shown on each kind of them.

mod bench;
mod same;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use headgate_kit::error::ErrorReason;
use headgate_proto::budget::v1::CapTerms;
use headgate_proto::record::v1::Outcome;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::Overdue;
use crate::engine::admit::{Ask, Decision};
use crate::engine::finish::Booking;
use crate::policy::{Budget, Limits, SlidingWindow};
use crate::schedule::Schedule;
use bench::{Bench, CENT, On, TTL_MS, USD, admitted, idempotency, key, read, refusal, tenant};

macro_rules! on_each {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::On::Memory).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::On::Redis).await;
            })*
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::On::Cluster).await;
            })*
        }
    };
}

async fn exactly_a_hundred_of_five_hundred_at_once_fit_into_a_dollar(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    let bench = Arc::new(bench);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..500 {
        let bench = bench.clone();
        calls.spawn(async move { admitted(&bench.admit(n, CENT).await) });
    }
    let passed = calls.join_all().await.into_iter().filter(|passed| *passed).count();
    assert_eq!(passed, 100);
    assert_eq!(bench.sums(&key()).await, (0, USD));
    let refused = refusal(bench.admit(1000, 1).await);
    assert_eq!((refused.reason, refused.retry_after_ms), (ErrorReason::BudgetExceeded, 0));
    assert!(refused.message.contains("$1.00 for this key"), "{}", refused.message);
    assert!(admitted(&bench.admit(1001, 0).await), "what costs nothing runs on");
}

async fn what_a_request_cost_never_counts_twice_while_it_is_booked(on: On) {
    let bench = Arc::new(Bench::new(on).await);
    bench.budget(&key(), USD);
    let (asked, done) = (Arc::new(AtomicI64::new(0)), CancellationToken::new());
    let watch = tokio::spawn({
        let (bench, asked, done) = (bench.clone(), asked.clone(), done.clone());
        async move {
            while !done.is_cancelled() {
                for scope in [key(), tenant()] {
                    let (spent, held) = bench.sums(&scope).await;
                    assert!(spent + held <= asked.load(Ordering::SeqCst), "{spent} spent, {held} held");
                }
            }
        }
    });
    for n in 0..100 {
        asked.fetch_add(CENT, Ordering::SeqCst);
        assert!(admitted(&bench.admit(n, CENT).await), "request {n}");
        bench.settle(n, CENT, None).await;
        bench.book(n, CENT).await;
    }
    done.cancel();
    watch.await.unwrap();
    assert_eq!(bench.sums(&key()).await, (USD, 0));
}

async fn a_hold_that_does_not_fit_is_capped_where_that_is_agreed(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    bench.budget(&tenant(), 1_000);
    let terms = CapTerms { prompt_nano_usd: 100, output_nano_usd_per_1k_tokens: 7_000 };
    let answer = bench.decide(Ask { cap_terms: Some(terms), ..bench.ask(1, USD) }).await;
    assert!(matches!(answer.decision, Decision::Admitted { cap: Some(128), .. }), "{:?}", answer.decision);
    let standing = answer.budget.unwrap();
    assert_eq!((standing.scope, standing.spent, standing.held), (tenant(), 0, 996));
    let refused = bench.decide(Ask { cap_terms: Some(terms), ..bench.ask(2, USD) }).await;
    assert_eq!(refusal(refused.decision).reason, ErrorReason::BudgetExceeded);
    assert_eq!(refused.budget.unwrap().held, 996, "a refusal tells where the budget stands, too");
}

async fn a_refusal_leaves_every_counter_as_it_was(on: On) {
    let bench = Bench::new(on).await;
    let one = Limits { requests_per_minute: Some(1), parallel_requests: Some(1), ..Limits::default() };
    bench.live.policies().set_limits(&key(), one);
    bench.live.policies().set_limits(&tenant(), Limits { tokens_per_minute: Some(10), ..Limits::default() });
    bench.budget(&tenant(), 5);
    let idempotency = idempotency("again", 1);
    let over = Ask { idempotency: Some(idempotency), limit_tokens: 10, ..bench.ask(1, 6) };
    assert_eq!(refusal(bench.decide(over).await.decision).reason, ErrorReason::BudgetExceeded);
    assert_eq!(bench.sums(&tenant()).await, (0, 0));
    // The same slot, rate, tokens and idempotency key are all still free.
    let idempotency = self::idempotency("again", 2);
    let fits = Ask { idempotency: Some(idempotency), limit_tokens: 10, ..bench.ask(2, 5) };
    assert!(admitted(&bench.decide(fits).await.decision));
}

async fn the_refusal_names_the_limit_and_the_exact_wait(on: On) {
    let bench = Bench::new(on).await;
    let key_limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
    bench.live.policies().set_limits(&key(), key_limits);
    bench
        .live
        .policies()
        .set_limits(&tenant(), Limits { requests_per_minute: Some(60_000), ..Limits::default() });
    assert_eq!(bench.admit_all(0..100, 0).await, 60);
    let refused = refusal(bench.admit(200, 0).await);
    assert_eq!(refused.message, "limit of 60 requests per minute for this key is reached");
    assert_eq!((refused.reason, refused.retry_after_ms), (ErrorReason::RateLimited, 1000));
    bench.advance(999);
    assert_eq!(refusal(bench.admit(200, 0).await).retry_after_ms, 1);
    bench.advance(1);
    assert!(admitted(&bench.admit(200, 0).await));
}

async fn parallel_slots_come_back_by_settlement_record_or_expiry(on: On) {
    let bench = Bench::new(on).await;
    bench.live.policies().set_limits(&tenant(), Limits { parallel_requests: Some(3), ..Limits::default() });
    for n in 0..3 {
        assert!(admitted(&bench.admit(n, 0).await));
    }
    let refused = refusal(bench.admit(9, 0).await);
    assert_eq!(refused.message, "limit of 3 parallel requests for this tenant is reached");
    assert!(refused.retry_after_ms > 0);
    bench.settle(0, 0, None).await;
    bench.settle(0, 0, None).await;
    bench.book(0, 0).await;
    assert!(admitted(&bench.admit(3, 0).await));
    assert!(!admitted(&bench.admit(4, 0).await), "one end frees one slot, however often it is told");
    bench.book(1, 0).await;
    assert!(admitted(&bench.admit(5, 0).await));
    bench.advance(TTL_MS);
    assert_eq!(bench.overdue().await.len(), 3);
    assert_eq!(bench.admit_all(6..20, 0).await, 3);
}

async fn a_burst_is_let_through_at_once_and_then_the_rate(on: On) {
    let bench = Bench::new(on).await;
    let limits = Limits { requests_per_second: Some(10), request_burst: Some(20), ..Limits::default() };
    bench.live.policies().set_limits(&key(), limits);
    assert_eq!(bench.admit_all(0..50, 0).await, 20);
    let refused = refusal(bench.admit(50, 0).await);
    assert_eq!(refused.message, "limit of 10 requests per second for this key is reached");
    assert_eq!(refused.retry_after_ms, 100);
    bench.advance(1000);
    assert_eq!(bench.admit_all(100..150, 0).await, 10);
    bench.live.policies().set_limits(&key(), Limits { request_burst: Some(2), ..limits });
    bench.advance(10_000);
    assert_eq!(bench.admit_all(200..250, 0).await, 2);
}

async fn no_span_as_long_as_a_sliding_window_has_more_requests_than_it_says(on: On) {
    for (scope, whom) in [(key(), "key"), (tenant(), "tenant")] {
        let bench = Bench::new(on).await;
        let window = SlidingWindow { requests: 5, seconds: 10 };
        let limits = Limits { sliding_window: Some(window), ..Limits::default() };
        bench.live.policies().set_limits(&scope, limits);
        assert_eq!(bench.admit_all(0..2, 0).await, 2);
        bench.advance(9_999);
        assert_eq!(bench.admit_all(10..20, 0).await, 3);
        let refused = refusal(bench.admit(20, 0).await);
        assert_eq!(
            refused.message,
            format!("limit of 5 requests in any 10 seconds for this {whom} is reached")
        );
        assert_eq!((refused.reason, refused.retry_after_ms), (ErrorReason::RateLimited, 1));
        // The two of the beginning leave, and nothing refills before the next ones do.
        bench.advance(1);
        assert_eq!(bench.admit_all(30..40, 0).await, 2);
        bench.advance(9_998);
        assert_eq!(bench.admit_all(40..50, 0).await, 0);
        bench.advance(1);
        assert_eq!(bench.admit_all(50..60, 0).await, 3);
        let narrower = SlidingWindow { requests: 1, ..window };
        bench.live.policies().set_limits(&scope, Limits { sliding_window: Some(narrower), ..limits });
        bench.advance(9_999);
        assert_eq!(bench.admit_all(60..70, 0).await, 0);
        bench.advance(1);
        assert_eq!(bench.admit_all(70..80, 0).await, 1);
        bench.advance(5_000);
        bench.release(70).await;
        assert_eq!(bench.admit_all(80..90, 0).await, 1, "what did not run does not count");
        bench.settle(80, 0, None).await;
        bench.release(80).await;
        assert_eq!(refusal(bench.admit(90, 0).await).retry_after_ms, 10_000);
    }
}

async fn streams_have_slots_of_their_own_until_they_end_in_whatever_way(on: On) {
    for (scope, whom) in [(key(), "key"), (tenant(), "tenant")] {
        let bench = Bench::new(on).await;
        // What ran before there was a limit counts, too.
        assert!(admitted(&bench.decide(bench.stream(0)).await.decision));
        let limits = Limits { parallel_streams: Some(3), ..Limits::default() };
        bench.live.policies().set_limits(&scope, limits);
        let streams = async |which: std::ops::Range<u128>| {
            let mut count = 0;
            for n in which {
                count += usize::from(admitted(&bench.decide(bench.stream(n)).await.decision));
            }
            count
        };
        assert_eq!(streams(1..9).await, 2);
        let refused = refusal(bench.decide(bench.stream(9)).await.decision);
        assert_eq!(refused.message, format!("limit of 3 parallel streams for this {whom} is reached"));
        assert_eq!(refused.reason, ErrorReason::RateLimited);
        assert!(refused.retry_after_ms > 0);
        assert_eq!(bench.admit_all(10..20, 0).await, 10, "what is no stream needs no slot");
        bench.settle(10, 0, None).await;
        assert_eq!(streams(20..29).await, 0, "and gives none back");
        bench.settle(0, 0, None).await;
        bench.settle(0, 0, None).await;
        bench.book(1, 0).await;
        assert_eq!(streams(30..39).await, 2);
        bench.advance(TTL_MS);
        assert_eq!(bench.overdue().await.len(), 3 + 9, "nobody ended them: their holders are gone");
        assert_eq!(streams(40..49).await, 3);
        bench.release(40).await;
        assert_eq!(streams(50..59).await, 1);
    }
}

async fn tokens_are_corrected_to_what_was_used(on: On) {
    for (scope, whom) in [(key(), "key"), (tenant(), "tenant")] {
        let bench = Bench::new(on).await;
        bench
            .live
            .policies()
            .set_limits(&scope, Limits { tokens_per_minute: Some(1000), ..Limits::default() });
        let tokens = |n, limit_tokens| Ask { limit_tokens, ..bench.ask(n, 0) };
        let decided = bench.decide(tokens(1, 5000)).await.decision;
        assert!(admitted(&decided), "more than the bucket is never impossible");
        assert!(!admitted(&bench.decide(tokens(2, 1)).await.decision));
        bench.settle_with(1, 0, 400, None).await;
        assert!(admitted(&bench.decide(tokens(3, 600)).await.decision));
        bench.settle_with(3, 0, 1600, None).await;
        let refused = refusal(bench.decide(tokens(4, 1)).await.decision);
        assert_eq!(refused.message, format!("limit of 1000 tokens per minute for this {whom} is reached"));
        assert_eq!(refused.retry_after_ms, 60_060, "1001 tokens too many at 1000 a minute");
    }
}

async fn a_repeat_gets_the_same_answer_and_holds_nothing_more(on: On) {
    let bench = Bench::new(on).await;
    let first = bench.admit(1, CENT).await;
    bench.advance(500);
    let second = bench.admit(1, CENT).await;
    let Decision::Admitted { expires_at, is_new: true, .. } = first else { panic!("{first:?}") };
    assert_eq!(second, Decision::Admitted { expires_at, cap: None, is_new: false });
    assert_eq!(bench.sums(&key()).await, (0, CENT));
    bench.settle(1, 1, None).await;
    assert_eq!(bench.admit(1, CENT).await, Decision::Ended);
    if on != On::Memory {
        // Elsewhere the leases of tenants lie apart, and an id is the caller's promise.
        return;
    }
    let mut foreign = bench.ask(1, CENT);
    foreign.intent.tenant_id = "other".into();
    assert_eq!(bench.decide(foreign).await.decision, Decision::Ended);
}

async fn an_extended_lease_lives_on_and_an_expired_one_ends_in_a_record(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    assert!(admitted(&bench.admit(1, CENT).await) && admitted(&bench.admit(2, 1500).await));
    bench.advance(TTL_MS - 1);
    assert!(bench.overdue().await.is_empty());
    let expires = bench.extend(2).await.unwrap();
    assert_eq!(expires, bench.now_ms() + TTL_MS);
    bench.advance(1);
    assert_eq!(bench.extend(1).await, None);
    let overdue = bench.overdue().await;
    let [Overdue { id, record }] = &overdue[..] else { panic!("{overdue:?}") };
    assert_eq!((*id, record.outcome()), (Uuid::from_u128(1), Outcome::Abandoned));
    // 100 prompt tokens at 20,000 nano-USD per 1,000.
    assert_eq!((record.cost_nano_usd, record.prompt_tokens, record.estimated), (2000, 100, true));
    assert_eq!(bench.sums(&key()).await, (2000, 1500), "the rest of the hold is back");
    assert_eq!(bench.overdue().await.len(), 1, "until it is written it comes again");
    bench.live.written(&overdue[0]).await.unwrap();
    assert!(bench.overdue().await.is_empty());
    bench.settle(1, CENT, None).await;
    let window_start = bench.window_start();
    bench.recorded(&read(record), Some(Booking { delta: 2000, window_start })).await;
    assert_eq!(bench.sums(&key()).await, (2000, 1500));
    bench.advance(TTL_MS);
    assert_eq!(bench.overdue().await[0].record.cost_nano_usd, 1500, "an estimate never exceeds the hold");
    assert_eq!(bench.live.metrics().open_leases.get(), 0);
    assert_eq!(bench.live.metrics().expired_leases.get(), 2);
}

async fn a_settled_lease_whose_record_never_comes_is_accounted_for(on: On) {
    let bench = Bench::new(on).await;
    assert!(admitted(&bench.admit(1, CENT).await));
    bench.settle(1, 777, None).await;
    bench.advance(TTL_MS);
    assert!(bench.overdue().await.is_empty());
    bench.advance(3_600_000);
    assert_eq!(bench.overdue().await[0].record.cost_nano_usd, 777);
    assert_eq!(bench.sums(&key()).await, (777, 0));
}

async fn a_new_month_starts_from_nothing_and_old_leases_stay_in_theirs(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    assert!(admitted(&bench.admit(1, CENT).await) && admitted(&bench.admit(2, CENT).await));
    bench.settle(2, CENT, None).await;
    let old = bench
        .live
        .standing(&key(), Budget { limit: USD, warning_percent: 80, schedule: Schedule::default() })
        .await
        .unwrap();
    assert_eq!((old.spent, old.held), (CENT, CENT));
    // November ends in standard time: 2026-12-01 00:00 in Los Angeles is 08:00 UTC.
    assert_eq!(old.window.end, 1_796_112_000_000);
    bench.advance(old.window.end - bench.now_ms() - 1);
    assert_eq!(bench.sums(&key()).await, (CENT, CENT));
    bench.advance(1);
    assert_eq!(bench.sums(&key()).await, (0, 0));
    bench.settle(1, CENT, None).await;
    let old_window = Some(Booking { delta: CENT, window_start: old.window.start });
    bench.recorded(&bench.record(2, CENT, Outcome::Succeeded), old_window).await;
    assert_eq!(bench.sums(&key()).await, (0, 0));
    assert!(admitted(&bench.admit(3, USD).await));
}

async fn an_idempotency_key_is_in_progress_then_replayed_or_free(on: On) {
    let bench = Bench::new(on).await;
    let ask = |n, request| Ask { idempotency: Some(idempotency("k", request)), ..bench.ask(n, 0) };
    let reason = async |n, request| refusal(bench.decide(ask(n, request)).await.decision).reason;
    assert!(admitted(&bench.decide(ask(1, 7)).await.decision));
    assert_eq!(reason(2, 7).await, ErrorReason::IdempotencyInProgress);
    assert_eq!(reason(2, 8).await, ErrorReason::IdempotencyMismatch);
    bench.settle(1, 0, None).await;
    bench.book(1, 0).await;
    assert!(admitted(&bench.decide(ask(2, 8)).await.decision), "settled without a response frees the key");
    // The record overtakes the settlement: the key still waits for the response.
    bench.book(2, 0).await;
    assert_eq!(reason(3, 8).await, ErrorReason::IdempotencyInProgress);
    bench.settle(2, 0, Some(b"answer")).await;
    assert_eq!(bench.decide(ask(3, 8)).await.decision, Decision::Replay(Bytes::from_static(b"answer")));
    assert_eq!(reason(3, 9).await, ErrorReason::IdempotencyMismatch);
    bench.advance(24 * 3_600_000);
    assert!(admitted(&bench.decide(ask(3, 9)).await.decision), "a response is kept for a day");
    bench.advance(TTL_MS);
    assert_eq!(bench.overdue().await.len(), 1);
    assert!(admitted(&bench.decide(ask(4, 9)).await.decision), "expiry frees the key");
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    bench.settle_with(4, 0, 0, Some(large)).await;
    assert!(admitted(&bench.decide(ask(5, 9)).await.decision), "a response over 1 MiB is not kept");
}

async fn an_unused_admission_gives_back_all_that_it_took(on: On) {
    let bench = Bench::new(on).await;
    let one = Limits { requests_per_second: Some(1), requests_per_minute: Some(1), ..Limits::default() };
    let ten = Limits { tokens_per_minute: Some(10), parallel_requests: Some(1), ..Limits::default() };
    bench.budget(&key(), CENT);
    bench.budget(&tenant(), CENT);
    let ask = |n| Ask { idempotency: Some(idempotency("k", 1)), limit_tokens: 10, ..bench.ask(n, CENT) };
    for (of_key, of_tenant) in [(one, ten), (ten, one)] {
        bench.live.policies().set_limits(&key(), of_key);
        bench.live.policies().set_limits(&tenant(), of_tenant);
        let from = bench.now_ms().unsigned_abs().into();
        for n in from..from + 3 {
            assert!(admitted(&bench.decide(ask(n)).await.decision), "all is free again, and the key too");
            bench.advance(100);
            bench.release(n).await;
            bench.release(n).await;
            assert_eq!(bench.sums(&key()).await, (0, 0));
            assert_eq!(bench.sums(&tenant()).await, (0, 0));
            assert_eq!(bench.decide(ask(n)).await.decision, Decision::Ended, "given back for good");
            bench.settle(n, CENT, None).await;
        }
        bench.advance(60_000);
    }
    assert_eq!(bench.left().await, 0);
    assert_eq!(bench.live.metrics().open_leases.get(), 0);
    bench.advance(TTL_MS);
    assert!(bench.overdue().await.is_empty(), "no record comes of it");
}

async fn an_admission_that_comes_after_it_was_given_back_holds_nothing(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    bench.release(1).await;
    assert_eq!(bench.admit(1, CENT).await, Decision::Ended);
    bench.advance(TTL_MS - 1);
    bench.release(1).await;
    assert_eq!(bench.admit(1, CENT).await, Decision::Ended);
    assert_eq!(bench.sums(&key()).await, (0, 0));
    bench.advance(1);
    assert!(admitted(&bench.admit(1, CENT).await), "it is remembered for as long as a lease lives");
    assert!(admitted(&bench.admit(2, CENT).await));
    assert!(bench.extend(1).await.is_some());
}

async fn a_lease_that_ended_is_not_given_back(on: On) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), USD);
    bench.live.policies().set_limits(&key(), Limits { requests_per_minute: Some(3), ..Limits::default() });
    assert_eq!(bench.admit_all(0..3, CENT).await, 3);
    bench.settle(0, 7, None).await;
    bench.release(0).await;
    bench.book(1, 8).await;
    bench.release(1).await;
    bench.book(0, 7).await;
    bench.advance(TTL_MS);
    let overdue = bench.overdue().await;
    bench.release(2).await;
    assert_eq!(bench.overdue().await.len(), 1, "its record is on its way");
    bench
        .recorded(&read(&overdue[0].record), Some(Booking { delta: 9, window_start: bench.window_start() }))
        .await;
    assert_eq!(bench.sums(&key()).await, (7 + 8 + 9, 0));
    assert_eq!(bench.live.metrics().open_leases.get(), 0);
}

async fn rates_that_refilled_are_not_given_back_again(on: On) {
    let bench = Bench::new(on).await;
    let two = Limits { requests_per_second: Some(2), ..Limits::default() };
    bench.live.policies().set_limits(&tenant(), two);
    assert_eq!(bench.admit_all(0..3, 0).await, 2);
    bench.advance(1000);
    assert_eq!(bench.admit_all(3..6, 0).await, 2);
    bench.release(0).await;
    assert_eq!(bench.admit_all(6..9, 0).await, 0, "its second is over");
    bench.release(3).await;
    assert_eq!(bench.admit_all(9..12, 0).await, 1);
}

async fn nothing_is_left_of_leases_that_ended(on: On) {
    let bench = Bench::new(on).await;
    for n in 0..100 {
        let idempotency = Some(idempotency(&n.to_string(), 1));
        assert!(admitted(&bench.decide(Ask { idempotency, ..bench.ask(n, CENT) }).await.decision));
        bench.book(n, 1).await;
        bench.settle(n, 1, None).await;
    }
    assert_eq!(bench.left().await, 0);
    assert_eq!(bench.live.metrics().open_leases.get(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Admit(u128, i64),
    Settle(u128),
    Release(u128),
    Record(u128),
    Wait(i64),
    Extend(u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u128..40, 0i64..30).prop_map(|(n, hold)| Step::Admit(n, hold)),
        (0u128..40).prop_map(Step::Settle),
        (0u128..40).prop_map(Step::Release),
        (0u128..40).prop_map(Step::Record),
        (0i64..TTL_MS).prop_map(Step::Wait),
        (0u128..40).prop_map(Step::Extend),
    ];
    prop::collection::vec(step, 1..300)
}

/// Whatever comes in whatever order, and however often: a budget is never exceeded by an admission, and in the end what
/// is spent is the sum of the records, each counted once.
async fn adds_up(on: On, steps: Vec<Step>) {
    let bench = Bench::new(on).await;
    bench.budget(&key(), 100);
    bench.budget(&tenant(), 120);
    let mut costs: HashMap<u128, i64> = HashMap::new();
    let mut records: HashMap<u128, i64> = HashMap::new();
    let mut ended: HashSet<u128> = HashSet::new();
    for step in steps {
        match step {
            Step::Admit(n, hold) if !records.contains_key(&n) => {
                if matches!(bench.admit(n, hold).await, Decision::Admitted { is_new: true, .. }) {
                    costs.insert(n, hold / 2);
                }
            }
            Step::Admit(..) => {}
            Step::Settle(n) => {
                bench.settle(n, costs.get(&n).copied().unwrap_or(5), None).await;
                ended.extend(costs.get_key_value(&n).map(|(n, _)| *n));
            }
            Step::Release(n) => {
                bench.release(n).await;
                if !ended.contains(&n) {
                    costs.remove(&n);
                }
            }
            Step::Record(n) => {
                if let Some(cost) = costs.get(&n) {
                    ended.insert(n);
                    let delta = cost - records.insert(n, *cost).unwrap_or(0);
                    let window_start = bench.window_start();
                    let changed = (delta != 0).then_some(Booking { delta, window_start });
                    bench.recorded(&bench.record(n, *cost, Outcome::Succeeded), changed).await;
                }
            }
            Step::Wait(ms) => {
                bench.advance(ms);
                for overdue in bench.overdue().await {
                    let (delta, window_start) = (overdue.record.cost_nano_usd, bench.window_start());
                    ended.insert(overdue.id.as_u128());
                    records.insert(overdue.id.as_u128(), delta);
                    bench.live.written(&overdue).await.unwrap();
                    bench.recorded(&read(&overdue.record), Some(Booking { delta, window_start })).await;
                }
            }
            Step::Extend(n) => {
                bench.extend(n).await;
            }
        }
        for scope in [key(), tenant()] {
            let (spent, held) = bench.sums(&scope).await;
            assert!(spent >= 0 && held >= 0 && spent + held <= 100, "{spent} {held}");
        }
    }
    for (n, cost) in costs {
        if let Entry::Vacant(entry) = records.entry(n) {
            bench.book(n, cost).await;
            entry.insert(cost);
        }
    }
    let total: i64 = records.values().sum();
    assert_eq!(bench.sums(&key()).await, (total, 0));
    assert_eq!(bench.sums(&tenant()).await, (total, 0));
    assert_eq!(bench.left().await, 0);
}

fn check_adding_up(on: On, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    proptest!(config, |(steps in steps())| runtime.block_on(adds_up(on, steps)));
}

#[test]
fn any_interleaving_adds_up_in_memory() {
    check_adding_up(On::Memory, 64);
}

#[test]
fn any_interleaving_adds_up_in_redis() {
    check_adding_up(On::Redis, 12);
}

on_each! {
    exactly_a_hundred_of_five_hundred_at_once_fit_into_a_dollar
    what_a_request_cost_never_counts_twice_while_it_is_booked
    a_hold_that_does_not_fit_is_capped_where_that_is_agreed
    a_refusal_leaves_every_counter_as_it_was
    the_refusal_names_the_limit_and_the_exact_wait
    parallel_slots_come_back_by_settlement_record_or_expiry
    a_burst_is_let_through_at_once_and_then_the_rate
    streams_have_slots_of_their_own_until_they_end_in_whatever_way
    no_span_as_long_as_a_sliding_window_has_more_requests_than_it_says
    tokens_are_corrected_to_what_was_used
    a_repeat_gets_the_same_answer_and_holds_nothing_more
    an_extended_lease_lives_on_and_an_expired_one_ends_in_a_record
    a_settled_lease_whose_record_never_comes_is_accounted_for
    a_new_month_starts_from_nothing_and_old_leases_stay_in_theirs
    an_idempotency_key_is_in_progress_then_replayed_or_free
    an_unused_admission_gives_back_all_that_it_took
    an_admission_that_comes_after_it_was_given_back_holds_nothing
    a_lease_that_ended_is_not_given_back
    rates_that_refilled_are_not_given_back_again
    nothing_is_left_of_leases_that_ended
}
