//! The record path under load: a PostgreSQL with few connections goes away in the middle, requests do not notice, and
//! every one of them is booked once. `tests/bench/records.py` measures the same at 5,000 records a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::servers::postgres::Postgres;
use headgate_tests::setup::Setup;
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use serde_json::json;
use tokio::task::JoinSet;

/// For a slow machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the server, three of them the superuser's.
const CONNECTIONS: u16 = 20;
const CLIENTS: usize = 16;

/// Clients that ask one request after the other.
struct Load {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(headgate: &Headgate) -> Self {
        let (answered, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (client, answered, stop) = (headgate.client(), answered.clone(), stop.clone());
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.chat(&prompts::chat("m")).await.expect(200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { answered, stop, clients }
    }

    /// Waits for so many answers more.
    async fn more(&self, count: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        eventually(PATIENCE, &format!("{count} answers"), || async {
            (self.answered.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// How many were answered, all of them well.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        self.answered.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn requests_do_not_notice_that_the_ledger_is_away_and_each_is_booked_once() {
    let (upstream, mut postgres) = (Upstream::start().await, Postgres::start_with(CONNECTIONS).await);
    let url = postgres.database();
    // Without a budget, so that no answer hangs on how soon a busy machine decides on it.
    let setup = Setup::with_model("m", &upstream).section("database", &json!({"url": url}));
    let headgate = Headgate::start_on(Topology::Planes, &setup).await;
    let assert_few = |postgres: &Postgres| {
        let taken = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'headgate'";
        let taken: u16 = postgres.sql(&url, taken).parse().unwrap();
        assert!(taken <= CONNECTIONS - 3, "{taken} connections");
    };

    let load = Load::start(&headgate);
    load.more(300).await;
    assert_few(&postgres);
    postgres.kill();
    load.more(600).await;
    postgres.restart().await;
    load.more(300).await;
    let answered = load.end().await;
    assert_eq!(upstream.journal().len(), answered);

    let rows = "SELECT COUNT(*), COUNT(DISTINCT lease_id), SUM(cost_nano_usd) FROM usage.usage_records
        WHERE NOT estimated";
    let booked = "SELECT COUNT(*), COUNT(DISTINCT lease_id), SUM(cost_nano_usd) FROM budget.lease_spend";
    let all = format!("{answered}|{answered}|");
    let in_ledger = eventually(PATIENCE, "every row", || async {
        assert_few(&postgres);
        Some(postgres.sql(&url, rows)).filter(|found| found.starts_with(&all))
    })
    .await;
    eventually(PATIENCE, "every lease", || async { (postgres.sql(&url, booked) == in_ledger).then_some(()) })
        .await;
    let refused = postgres.log();
    assert!(!refused.contains("connection slots") && !refused.contains("too many clients"), "{refused}");
}
