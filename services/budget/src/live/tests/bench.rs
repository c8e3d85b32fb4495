//! One kind of live counters with a clock that is set by hand, and a real database behind it.

use std::time::Duration;

use bytes::Bytes;
use headgate_kit::clock::Clock;
use headgate_kit::db::Source;
use headgate_kit::execute;
use headgate_kit::spool::{Options, Spool};
use headgate_proto::catalog::v1::Price;
use headgate_proto::record::v1::{IntentRecord, Outcome, UsageRecord};
use prometheus::Registry;
use prost::Message as _;
use tempfile::TempDir;
use uuid::Uuid;

use crate::engine::admit::{Answer, Ask, Decision};
use crate::engine::finish::{Booking, Settlement};
use crate::engine::journal::Journal;
use crate::engine::lease::Idempotency;
use crate::engine::{Engine, Overdue};
use crate::limits::Refusal;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::policy::{Budget, Limits, Policies, Scope};
use crate::record::Ended;
use crate::replays::{IdempotencyKey, Replays};
use crate::schedule::Schedule;
use crate::servers;
use crate::shared::{Link, Parts, Shared};
use crate::store::Store;
use crate::store::spend::LeaseSpend;
use crate::window::Months;

pub(super) const USD: i64 = 1_000_000_000;
pub(super) const CENT: i64 = USD / 100;
pub(super) const TTL_MS: i64 = 120_000;

/// Which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Memory,
    Redis,
    Cluster,
}

pub(super) struct Bench {
    pub(super) live: Live,
    store: Store,
    _dir: TempDir,
}

impl Bench {
    /// 2026-11-21 in Los Angeles.
    pub(super) async fn new(on: On) -> Self {
        let clock = Clock::manual(1_795_237_200_000_000);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Source::file(dir.path().join("budget.db"))).await.unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let policies = Policies::new(Limits::default(), Limits::default());
        let months = Months::of("America/Los_Angeles").unwrap();
        let config = match on {
            On::Memory => {
                // Without its reader the queue is closed: nothing is written behind here.
                let (replays, _) = Replays::new(metrics.unpersisted_responses.clone());
                let engine = Engine::new(policies, months, clock, metrics, replays, journal(&dir), TTL_MS);
                return Self { live: Live::Memory(Box::new(engine)), store, _dir: dir };
            }
            On::Redis => servers::common(),
            On::Cluster => servers::cluster(),
        };
        let link = Link::open(&config, config.url.as_ref().unwrap()).unwrap();
        let parts = Parts {
            policies,
            months,
            clock,
            metrics,
            store: store.clone(),
            link,
            ttl_ms: TTL_MS,
            behind: std::sync::Arc::default(),
        };
        let (shared, _) = Shared::new(parts, &Uuid::now_v7().to_string());
        Self { live: Live::Shared(Box::new(shared)), store, _dir: dir }
    }

    pub(super) fn budget(&self, scope: &Scope, limit: i64) {
        self.live
            .policies()
            .set_budget(scope, Some(Budget { limit, warning_percent: 80, schedule: Schedule::default() }));
    }

    pub(super) fn ask(&self, n: u128, hold: i64) -> Ask {
        let intent = IntentRecord {
            lease_id: Uuid::from_u128(n).to_string(),
            tenant_id: "tenant".into(),
            key_id: "key".into(),
            started_at_unix_ms: self.now_ms(),
            hold_nano_usd: hold,
            prompt_tokens_estimate: 100,
            price: Some(Price { input_nano_usd_per_1k_tokens: 20_000, ..Price::default() }),
            ..IntentRecord::default()
        };
        let intent = Box::new(intent);
        let (cap_terms, idempotency, from_elsewhere) = (None, None, true);
        let lease = Uuid::from_u128(n);
        Ask { lease, intent, limit_tokens: 0, cap_terms, idempotency, from_elsewhere }
    }

    /// A request for a stream.
    pub(super) fn stream(&self, n: u128) -> Ask {
        let mut ask = self.ask(n, 0);
        ask.intent.streamed = true;
        ask
    }

    pub(super) async fn decide(&self, ask: Ask) -> Answer {
        self.live.admit(ask).await.unwrap()
    }

    pub(super) async fn admit(&self, n: u128, hold: i64) -> Decision {
        self.decide(self.ask(n, hold)).await.decision
    }

    /// How many of these are admitted, each with that hold.
    pub(super) async fn admit_all(&self, which: impl IntoIterator<Item = u128>, hold: i64) -> usize {
        let mut count = 0;
        for n in which {
            count += usize::from(admitted(&self.admit(n, hold).await));
        }
        count
    }

    pub(super) async fn extend(&self, n: u128) -> Option<i64> {
        self.live.extend(Uuid::from_u128(n), "tenant").await.unwrap()
    }

    pub(super) async fn settle(&self, n: u128, cost: i64, response: Option<&'static [u8]>) {
        self.settle_with(n, cost, 0, response.map(Bytes::from_static)).await;
    }

    pub(super) async fn settle_with(&self, n: u128, cost: i64, tokens: u32, response: Option<Bytes>) {
        let settlement = Settlement { cost, tokens, response };
        self.live.settle(Uuid::from_u128(n), "tenant", settlement).await.unwrap();
    }

    pub(super) async fn release(&self, n: u128) {
        self.live.release(Uuid::from_u128(n), "tenant").await.unwrap();
    }

    pub(super) fn record(&self, n: u128, cost: i64, outcome: Outcome) -> Ended {
        read(&UsageRecord {
            lease_id: Uuid::from_u128(n).to_string(),
            tenant_id: "tenant".into(),
            key_id: "key".into(),
            cost_nano_usd: cost,
            outcome: outcome.into(),
            started_at_unix_ms: self.now_ms(),
            ..UsageRecord::default()
        })
    }

    pub(super) async fn book(&self, n: u128, cost: i64) {
        let booking = Some(Booking { delta: cost, window_start: self.window_start() });
        self.recorded(&self.record(n, cost, Outcome::Succeeded), booking).await;
    }

    /// A record was stored: the database first, then the counters.
    pub(super) async fn recorded(&self, ended: &Ended, booking: Option<Booking>) {
        if let Some(booking) = booking {
            self.store(ended, booking).await;
        }
        let row = LeaseSpend { ended, window_start: self.window_start() };
        let change = booking.map(|booking| (booking.delta, booking.window_start));
        self.live.recorded(&[row], &[change]).await.unwrap();
    }

    /// A record was stored, but nobody heard so; it comes again, and the database says that it is known.
    pub(super) async fn stored_unheard(&self, ended: &Ended) {
        let window_start = self.live.months().at(ended.started_at).start;
        self.store(ended, Booking { delta: ended.cost, window_start }).await;
        self.live.recorded(&[LeaseSpend { ended, window_start }], &[None]).await.unwrap();
    }

    async fn store(&self, ended: &Ended, booking: Booking) {
        for (kind, id) in [("key", &ended.key_id), ("tenant", &ended.tenant_id)] {
            execute!(self.store.db.write(), pool => {
                sqlx::query(
                    "INSERT INTO spend
                         (window_start_unix_ms, scope_kind, scope_id, tenant_id, spent_nano_usd)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (window_start_unix_ms, scope_kind, scope_id)
                     DO UPDATE SET spent_nano_usd = spend.spent_nano_usd + excluded.spent_nano_usd,
                                   version = spend.version + 1",
                )
                .bind(booking.window_start)
                .bind(kind)
                .bind(id)
                .bind(&ended.tenant_id)
                .bind(booking.delta)
                .execute(pool)
            })
            .unwrap();
        }
    }

    pub(super) async fn overdue(&self) -> Vec<Overdue> {
        let mut overdue = self.live.overdue().await.unwrap();
        overdue.sort_by_key(|overdue| overdue.id);
        overdue
    }

    /// What is spent and what is held.
    pub(super) async fn sums(&self, scope: &Scope) -> (i64, i64) {
        let budget = Budget { limit: 0, warning_percent: 80, schedule: Schedule::default() };
        let standing = self.live.standing(scope, budget).await.unwrap();
        (standing.spent, standing.held)
    }

    pub(super) fn advance(&self, ms: i64) {
        self.live.clock().advance(Duration::from_millis(ms.unsigned_abs()));
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.live.clock().unix_millis()
    }

    pub(super) fn window_start(&self) -> i64 {
        self.live.months().at(self.now_ms()).start
    }

    /// How much is left of leases and of idempotency keys that run.
    pub(super) async fn left(&self) -> usize {
        match &self.live {
            Live::Memory(engine) => engine.left("tenant"),
            Live::Shared(shared) => shared.left("tenant").await,
        }
    }
}

fn journal(dir: &TempDir) -> Journal {
    let options = Options {
        dir: dir.path().join("outbox"),
        segment_bytes: 1 << 20,
        cap_bytes: 1 << 24,
        consumers: Vec::new(),
    };
    Journal::new(Spool::open(options).unwrap().0)
}

pub(super) fn key() -> Scope {
    Scope::Key("key".into())
}

pub(super) fn tenant() -> Scope {
    Scope::Tenant("tenant".into())
}

pub(super) fn admitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

pub(super) fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn read(record: &UsageRecord) -> Ended {
    Ended::decode(record.encode_to_vec().into()).unwrap()
}

pub(super) fn idempotency(key: &str, request: u8) -> Idempotency {
    let key = IdempotencyKey { key_id: "key".into(), key: key.into() };
    Idempotency { key, request_sha256: [request; 32] }
}
