//! Over a real spool and a real database.

use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::db::testing::TestDb;
use headgate_kit::on_both_engines;
use headgate_kit::spool::{Options, Spool};
use headgate_kit::tasks::Tasks;
use headgate_proto::record::v1::{Outcome, UsageRecord};
use prost::Message;
use uuid::Uuid;

use super::*;
use crate::ledger::Filter;
use crate::{Deps, Usage};

on_both_engines!(
    what_is_written_becomes_rows_and_nothing_comes_again,
    what_waits_is_written_before_the_process_ends,
    a_database_that_refuses_delays_rows_and_loses_none,
);

struct Process {
    usage: Usage,
    tasks: Tasks,
    registry: prometheus::Registry,
    spool: Spool,
}

impl Process {
    async fn start(db: &TestDb, config: Config) -> Self {
        let (tasks, registry) = (Tasks::new(), prometheus::Registry::new());
        let deps = Deps {
            clock: Clock::system(),
            database: db.source("usage"),
            tasks: tasks.clone(),
            registry: registry.clone(),
            gate: Gate::new("op-token".into(), Clock::manual(0)),
        };
        let usage = Usage::build(config, deps).await.unwrap();
        let options = Options {
            dir: db.dir().join("spool"),
            segment_bytes: 1 << 20,
            cap_bytes: 1 << 26,
            consumers: vec!["usage".into()],
        };
        let (spool, _) = Spool::open(options).unwrap();
        Self { usage, tasks, registry, spool }
    }

    fn consume(&self) {
        self.usage.consume(RecordSource::spool(self.spool.reader("usage").unwrap()));
    }

    fn write(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let lease_id = Uuid::from_u128(u128::from(number));
            let record = UsageRecord {
                lease_id: lease_id.to_string(),
                outcome: Outcome::Succeeded as i32,
                ..Default::default()
            };
            self.spool.end(lease_id, &record.encode_to_vec()).unwrap();
        }
    }

    async fn rows(&self) -> i64 {
        self.usage.ledger.summary(&Filter::default()).await.unwrap().requests
    }

    fn metrics(&self) -> String {
        headgate_kit::metrics::render(&self.registry)
    }

    async fn until_nothing_is_pending(&self) {
        let wait = async {
            while self.usage.pending.records() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
    }

    async fn stop(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(10)).await, "the consumer ends");
    }
}

async fn what_is_written_becomes_rows_and_nothing_comes_again(db: TestDb) {
    let config = Config { batch_records: 300, linger_ms: 10, ..Config::default() };
    let process = Process::start(&db, config.clone()).await;
    process.write(0..700);
    process.spool.end(Uuid::from_u128(9999), b"\x0a\xffgarbage").unwrap();
    process.consume();
    assert!(process.metrics().contains("headgate_usage_pending_records 701"));
    process.until_nothing_is_pending().await;
    process.write(700..750);
    assert_eq!(process.usage.pending.records(), 50, "counts what nobody fetched yet");
    process.until_nothing_is_pending().await;
    assert_eq!(process.rows().await, 750);
    let metrics = process.metrics();
    assert!(metrics.contains("headgate_usage_records_total{outcome=\"succeeded\"} 750"), "{metrics}");
    assert!(metrics.contains("headgate_usage_rejected_records_total 1"), "{metrics}");
    assert!(metrics.contains("headgate_usage_pending_records 0"), "{metrics}");
    process.stop().await;

    let process = Process::start(&db, config).await;
    process.consume();
    process.write(750..751);
    process.until_nothing_is_pending().await;
    assert_eq!(process.rows().await, 751);
    assert!(process.metrics().contains("headgate_usage_records_total{outcome=\"succeeded\"} 1\n"));
    process.stop().await;
}

async fn what_waits_is_written_before_the_process_ends(db: TestDb) {
    // Lingers far longer than the test: only the drain can write the second part.
    let config = Config { linger_ms: 10_000, batch_records: 100, ..Config::default() };
    let process = Process::start(&db, config.clone()).await;
    process.consume();
    process.write(0..1);
    process.until_nothing_is_pending().await;
    process.write(1..251);
    process.stop().await;
    let process = Process::start(&db, config).await;
    assert_eq!(process.rows().await, 251);
}

async fn a_database_that_refuses_delays_rows_and_loses_none(db: TestDb) {
    let config = Config { linger_ms: 0, ..Config::default() };
    let process = Process::start(&db, config.clone()).await;
    db.run("usage", "ALTER TABLE usage_records RENAME TO away").await;
    process.write(0..20);
    process.consume();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(process.usage.pending.records(), 20);
    db.run("usage", "ALTER TABLE away RENAME TO usage_records").await;
    process.until_nothing_is_pending().await;
    assert_eq!(process.rows().await, 20);

    db.run("usage", "ALTER TABLE usage_records RENAME TO away").await;
    process.write(20..40);
    process.stop().await;
    db.run("usage", "ALTER TABLE away RENAME TO usage_records").await;
    let process = Process::start(&db, config).await;
    process.consume();
    process.until_nothing_is_pending().await;
    assert_eq!(process.rows().await, 40);
    process.stop().await;
}
