//! Redis answers what memory answers: the same steps at the same times, and every answer compared.

use headgate_proto::budget::v1::CapTerms;
use headgate_proto::record::v1::Outcome;
use proptest::prelude::*;

use super::bench::{Bench, On, TTL_MS, idempotency, key, read, tenant};
use crate::engine::admit::Ask;
use crate::engine::finish::Booking;
use crate::policy::{Budget, Limits, SlidingWindow};
use crate::schedule::Schedule;

#[derive(Clone, Debug)]
enum Step {
    Admit {
        n: u128,
        hold: i64,
        tokens: u32,
        streamed: bool,
        terms: Option<(i64, i64)>,
        again: Option<(u8, u8)>,
    },
    Settle {
        n: u128,
        cost: i64,
        tokens: u32,
        response: bool,
    },
    Record {
        n: u128,
        cost: i64,
        abandoned: bool,
    },
    Release(u128),
    Extend(u128),
    Wait(i64),
    Reap,
    Limits {
        key: bool,
        rates: [Option<u32>; 3],
        parallel: [Option<u32>; 2],
        window: Option<(u32, u32)>,
    },
    Budget {
        key: bool,
        limit: Option<i64>,
    },
}

/// Amounts of every size, also such as no double can tell apart.
fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![0i64..2000, (1i64 << 53) - 2..(1i64 << 53) + 5, 8_999_999_999_999_999_000i64..i64::MAX]
}

fn rate() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(prop_oneof![1u32..6, 1u32..5000, Just(u32::MAX)])
}

fn count(end: u32) -> impl Strategy<Value = Option<u32>> {
    prop::option::of(1..end)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let terms = prop::option::of((amounts(), prop_oneof![amounts(), 0i64..9]));
    let tokens = || prop_oneof![0u32..3000, Just(u32::MAX)];
    let step = prop_oneof![
        6 => (0u128..30, amounts(), tokens(), any::<bool>(), terms, prop::option::of((0u8..4, 0u8..2))).prop_map(
            |(n, hold, tokens, streamed, terms, again)| Step::Admit { n, hold, tokens, streamed, terms, again }
        ),
        3 => (0u128..30, amounts(), tokens(), any::<bool>())
            .prop_map(|(n, cost, tokens, response)| Step::Settle { n, cost, tokens, response }),
        2 => (0u128..30, 0i64..1000, any::<bool>())
            .prop_map(|(n, cost, abandoned)| Step::Record { n, cost, abandoned }),
        2 => (0u128..30).prop_map(Step::Release),
        1 => (0u128..30).prop_map(Step::Extend),
        2 => prop_oneof![0i64..2000, 0i64..TTL_MS, Just(40 * 86_400_000)].prop_map(Step::Wait),
        1 => Just(Step::Reap),
        1 => (any::<bool>(), [rate(), rate(), rate()], [count(9), count(5)], prop::option::of((1u32..9, 1u32..100)))
            .prop_map(|(key, rates, parallel, window)| Step::Limits { key, rates, parallel, window }),
        1 => (any::<bool>(), prop::option::of(amounts())).prop_map(|(key, limit)| Step::Budget { key, limit }),
    ];
    prop::collection::vec(step, 1..120)
}

async fn run(bench: &Bench, step: &Step, tokens_per_minute: [Option<u32>; 2]) -> String {
    let policies = bench.live.policies();
    let scope = |is_key: bool| if is_key { key() } else { tenant() };
    match step {
        Step::Admit { n, hold, tokens, streamed, terms, again } => {
            let cap_terms = terms.map(|(prompt_nano_usd, output_nano_usd_per_1k_tokens)| CapTerms {
                prompt_nano_usd,
                output_nano_usd_per_1k_tokens,
            });
            let idempotency = again.map(|(name, request)| idempotency(&name.to_string(), request));
            let mut ask = Ask { limit_tokens: *tokens, cap_terms, idempotency, ..bench.ask(*n, *hold) };
            ask.intent.streamed = *streamed;
            format!("{:?}", bench.decide(ask).await)
        }
        Step::Settle { n, cost, tokens, response } => {
            let response = response.then(|| format!("response {n}").into());
            bench.settle_with(*n, *cost, *tokens, response).await;
            String::new()
        }
        Step::Record { n, cost, abandoned } => {
            let outcome = if *abandoned { Outcome::Abandoned } else { Outcome::Succeeded };
            let booking = Booking { delta: *cost, window_start: bench.window_start() };
            bench.recorded(&bench.record(*n, *cost, outcome), Some(booking)).await;
            String::new()
        }
        Step::Release(n) => {
            bench.release(*n).await;
            String::new()
        }
        Step::Extend(n) => format!("{:?}", bench.extend(*n).await),
        Step::Wait(ms) => {
            bench.advance(*ms);
            String::new()
        }
        Step::Reap => {
            let overdue = bench.overdue().await;
            for overdue in &overdue {
                bench.live.written(overdue).await.unwrap();
                // More than 64 bits of money cannot be stored, whoever counts it.
                let fits = overdue.record.cost_nano_usd < 1 << 55;
                if fits && overdue.id.as_u128().is_multiple_of(2) {
                    bench.stored_unheard(&read(&overdue.record)).await;
                }
            }
            format!("{overdue:?}")
        }
        Step::Limits { key, rates: [second, burst, minute], parallel: [requests, streams], window } => {
            let limits = Limits {
                requests_per_second: *second,
                requests_per_minute: *minute,
                tokens_per_minute: tokens_per_minute[usize::from(*key)],
                parallel_requests: *requests,
                request_burst: *burst,
                parallel_streams: *streams,
                sliding_window: window.map(|(requests, seconds)| SlidingWindow { requests, seconds }),
            };
            policies.set_limits(&scope(*key), limits);
            String::new()
        }
        Step::Budget { key, limit } => {
            let budget =
                limit.map(|limit| Budget { limit, warning_percent: 80, schedule: Schedule::default() });
            policies.set_budget(&scope(*key), budget);
            String::new()
        }
    }
}

async fn same(steps: Vec<Step>, tokens_per_minute: [Option<u32>; 2]) {
    let (memory, redis) = tokio::join!(Bench::new(On::Memory), Bench::new(On::Redis));
    for key in [true, false] {
        let limits = Step::Limits { key, rates: [None; 3], parallel: [None; 2], window: None };
        tokio::join!(run(&memory, &limits, tokens_per_minute), run(&redis, &limits, tokens_per_minute));
    }
    for (at, step) in steps.iter().enumerate() {
        let there = run(&redis, step, tokens_per_minute).await;
        let here = run(&memory, step, tokens_per_minute).await;
        assert_eq!(there, here, "step {at}: {step:?}");
        for scope in [key(), tenant()] {
            assert_eq!(redis.sums(&scope).await, memory.sums(&scope).await, "step {at}: {step:?}");
        }
    }
}

#[test]
fn redis_answers_what_memory_answers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config =
        ProptestConfig { max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::with_cases(40) };
    proptest!(config, |(steps in steps(), key in rate(), tenant in rate())| {
        runtime.block_on(same(steps, [tenant, key]));
    });
}
