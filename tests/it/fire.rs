//! P2 under fire: mixed load while each part is killed and started again in turn; afterwards every request that the
//! upstream saw is one row, and the rows say what it did.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headgate_proto::record::v1::{Outcome, UsageRecord};
use headgate_proto::usage::v1::UsageFilter;
use headgate_tests::cluster::Headgate;
use headgate_tests::http::Client;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::topology::{Topology, told};
use headgate_tests::upstream::{Answer, Behaviour, Upstream};
use headgate_tests::wait::eventually;
use serde_json::json;

use crate::budget::{settled, tenant_scope};

/// How long to go on, at least, in seconds. Every part is killed once in any case.
const VARIABLE: &str = "HEADGATE_FIRE_SECONDS";
const WORKERS: usize = 6;
const CHUNKS: u32 = 20;
/// How long a part is away, and how long all are there.
const AWAY: Duration = Duration::from_millis(1500);
const THERE: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(90);

/// What a part is called that is no service.
const NATS: &str = "nats";
const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const PARTS: [&str; 9] = ["router", "adapter", "budget", "usage", "auth", "catalog", NATS, POSTGRES, REDIS];

/// The tokens that each request's client got.
type Delivered = HashMap<String, u32>;

struct Load {
    client: Client,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// One request after the other, of every kind.
    async fn work(self: Arc<Self>) -> Delivered {
        let mut delivered = Delivered::new();
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let id = format!("fire-{number}");
            let tokens = self.request(number, &id).await;
            delivered.insert(id, tokens);
        }
        delivered
    }

    async fn request(&self, number: usize, id: &str) -> u32 {
        let client = self.client.with_header("x-request-id", id);
        match number % 4 {
            0 => {
                let reply = client.chat(&asks("whole", id, false)).await;
                if reply.status == 200 { 5 } else { 0 }
            }
            1 => read(&client, id, u32::MAX).await,
            2 => read(&client, id, CHUNKS / 4).await,
            _ => {
                client.chat(&asks("broken", id, false)).await;
                0
            }
        }
    }
}

/// A prompt that says whose it is.
fn asks(model: &str, id: &str, stream: bool) -> serde_json::Value {
    prompts::chat_with(model, &json!({"stream": stream, "messages": [{"role": "user", "content": id}]}))
}

/// Reads a stream to its end, or hangs up after so many tokens. Tells how many came.
async fn read(client: &Client, id: &str, most: u32) -> u32 {
    let (mut stream, mut tokens) = (client.stream(&asks("paced", id, true)).await, 0);
    while let Ok(Some(event)) = stream.next().await {
        tokens += u32::from(event.data().is_some_and(|data| data.contains(r#""content":"w"#)));
        if tokens >= most {
            break;
        }
    }
    tokens
}

/// Kills a part, and starts it again a while later.
async fn strike(headgate: &mut Headgate, part: &str) {
    match part {
        NATS => headgate.engines().nats.kill(),
        POSTGRES => headgate.engines().postgres.as_mut().expect("tables").server.kill(),
        REDIS => headgate.engines().redis.as_mut().expect("counters").kill(),
        service => headgate.node_mut(service).kill(),
    }
    tokio::time::sleep(AWAY).await;
    match part {
        NATS => headgate.engines().nats.restart().await,
        POSTGRES => headgate.engines().postgres.as_mut().expect("tables").server.restart().await,
        REDIS => headgate.engines().redis.as_mut().expect("counters").restart().await,
        service => headgate.node_mut(service).restart().await,
    }
    tokio::time::sleep(THERE).await;
}

/// The request's id, as its prompt says it.
fn id_of(body: &serde_json::Value) -> String {
    body["messages"][0]["content"].as_str().expect("a prompt of ours").to_owned()
}

fn check(row: &UsageRecord, produced: Option<u32>, delivered: u32) {
    let billed = row.completion_tokens;
    let Some(produced) = produced else {
        return assert_eq!(billed, 0, "it never reached the upstream: {row:?}");
    };
    if row.outcome() == Outcome::Succeeded {
        assert_eq!(billed, produced, "{row:?}");
    }
    assert!(billed <= produced, "produced {produced}: {row:?}");
    // A router that was killed had noted what it delivered up to a quarter of a second before.
    assert!(billed >= delivered || row.outcome() == Outcome::Abandoned, "delivered {delivered}: {row:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_one_row_whatever_is_killed() {
    let upstream = Upstream::start().await;
    upstream.script("paced", Answer::paced(CHUNKS, Duration::from_millis(5)));
    upstream.script("broken", Behaviour::openai_error(500, "server_error", "x", "on purpose"));
    let setup = Setup::new()
        .provider("mock", &upstream.url())
        .model("whole", &["mock"])
        .model("paced", &["mock"])
        .model("broken", &["mock"])
        .budget(json!({"tenant_id": TENANT, "limit_usd": "1000000"}))
        .section("budget", &json!({"lease_ttl_ms": 5000}));
    let mut headgate = Headgate::start_on(Topology::Split, &setup).await;
    let client = headgate.anonymous().with_key(KEY);
    let load = Arc::new(Load { client, next: AtomicUsize::new(0), stop: AtomicBool::new(false) });
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(load.clone().work());
    }

    let at_least = told(VARIABLE).map_or(0, |seconds| seconds.parse().expect("a number"));
    let begin = Instant::now();
    let mut strikes = 0;
    while strikes < PARTS.len() || begin.elapsed() < Duration::from_secs(at_least) {
        strike(&mut headgate, PARTS[strikes % PARTS.len()]).await;
        strikes += 1;
    }
    load.stop.store(true, Ordering::SeqCst);
    let delivered: Delivered = workers.join_all().await.into_iter().flatten().collect();
    headgate.ready().await;

    let mut produced = HashMap::new();
    for entry in upstream.journal() {
        let before = produced.insert(id_of(&entry.json()), entry.tokens);
        assert!(before.is_none(), "sent twice: {entry:?}");
    }
    let rows = eventually(SOON, "a row for every request that was sent", || async {
        let rows = headgate.whole_ledger(UsageFilter::default()).await;
        let found: std::collections::HashSet<_> = rows.iter().map(|row| row.request_id.as_str()).collect();
        produced.keys().all(|id| found.contains(id.as_str())).then_some(rows.clone())
    })
    .await;
    let mut seen = std::collections::HashSet::new();
    for row in &rows {
        assert!(seen.insert(row.request_id.as_str()), "two rows: {row:?}");
        let delivered = *delivered.get(&row.request_id).expect("a request of ours");
        check(row, produced.get(&row.request_id).copied(), delivered);
    }
    let succeeded = rows.iter().filter(|row| row.outcome() == Outcome::Succeeded).count();
    println!(
        "{strikes} strikes, {} requests, {} sent upstream, {} rows, {succeeded} whole",
        delivered.len(),
        produced.len(),
        rows.len()
    );
    assert!(succeeded > produced.len() / 3, "hardly any went through");
    // What was spent is what the rows say.
    let cost: i64 = rows.iter().map(|row| row.cost_nano_usd).sum();
    eventually(SOON, "spend as the ledger has it", || async {
        (settled(&headgate, &tenant_scope()).await == cost).then_some(())
    })
    .await;
}
