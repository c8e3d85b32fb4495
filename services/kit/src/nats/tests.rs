//! Over a real server: what a spool holds comes to every consumer, whatever happens in between.

mod consumers;
mod damage;
#[expect(unreachable_pub, dead_code, reason = "the end-to-end tests' file, of which these use a part")]
#[path = "../../../../tests/src/servers/nats.rs"]
mod server;
mod spools;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::State;
use bytes::Bytes;
use prometheus::Registry;
use tempfile::TempDir;
use uuid::Uuid;

use self::server::Nats;
use super::*;
use crate::metrics::render;
use crate::records::{RecordBatch, RecordSource};
use crate::spool::{Options, Spool, SpoolError};
use crate::tasks::Tasks;

const SOON: Duration = Duration::from_secs(20);

/// A process with a spool of its own.
struct Process {
    broker: Broker,
    tasks: Tasks,
    registry: Registry,
    spool: Spool,
}

impl Process {
    fn start(url: &str, dir: &Path) -> Self {
        let registry = Registry::new();
        let config = Config { url: Some(url.to_owned().into()), ..Config::default() };
        let broker = Broker::new(&config, "test", &registry).unwrap().unwrap();
        Self { broker, tasks: Tasks::new(), registry, spool: open(dir) }
    }

    fn forward(&self) {
        let forwarder = self.broker.forwarder("router", &self.spool, Uuid::from_u128(7)).unwrap();
        self.tasks.spawn(forwarder.run(self.tasks.stopping()));
    }

    fn source(&self, consumer: &'static str) -> RecordSource {
        self.broker.source(consumer, vec![], &self.tasks)
    }

    fn write(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.spool.end(Uuid::from_u128(number.into()), number.to_string().as_bytes()).unwrap();
        }
    }

    fn lag(&self) -> u64 {
        self.spool.reader("forward").unwrap().lag()
    }

    fn refusals(&self) -> u64 {
        let name = r#"headgate_records_publish_failures_total{spool="router"} "#;
        let metrics = render(&self.registry);
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    }

    async fn until_forwarded(&self) {
        until("everything to be forwarded", async || self.lag() == 0).await;
    }

    async fn stop(self) {
        assert!(self.tasks.shutdown(SOON).await, "tasks end");
    }
}

/// A test that starts a server holds the locks of others for a moment, through the files that the new process inherits
/// until it runs its program.
fn open(dir: &Path) -> Spool {
    let options = Options {
        dir: dir.join("spool"),
        segment_bytes: 1 << 20,
        cap_bytes: 1 << 26,
        consumers: vec![Forwarder::CONSUMER.into()],
    };
    for _ in 0..1000 {
        match Spool::open(options.clone()) {
            Err(SpoolError::Locked(_)) => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap().0,
        }
    }
    panic!("the spool is still locked")
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "waited in vain for {what}");
}

async fn next(source: &mut RecordSource, max: usize) -> RecordBatch {
    let batch = tokio::time::timeout(SOON, async {
        loop {
            if let Ok(batch) = source.next(max).await {
                return batch;
            }
        }
    });
    batch.await.expect("records come")
}

fn numbers(batch: &RecordBatch) -> Vec<u32> {
    batch.records.iter().map(|record| std::str::from_utf8(record).unwrap().parse().unwrap()).collect()
}

/// Reads and acknowledges until all of `expected` came; how many came in all.
async fn read_all(source: &mut RecordSource, expected: std::ops::Range<u32>) -> usize {
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    while seen.len() < expected.len() {
        let batch = next(source, 1000).await;
        count += batch.records.len();
        seen.extend(numbers(&batch));
        source.ack(&batch).await.unwrap();
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    count
}

/// A client of the test's own.
async fn jetstream(nats: &Nats) -> jetstream::Context {
    jetstream::new(async_nats::connect(nats.url()).await.unwrap())
}

async fn state(jetstream: &jetstream::Context) -> State {
    jetstream.get_stream(STREAM).await.unwrap().cached_info().state.clone()
}
