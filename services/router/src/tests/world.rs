//! A router of its own for one test, among scripted peers.

use std::sync::Arc;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::conn;
use headgate_kit::spool::{Options, Reader, Spool};
use headgate_kit::tasks::Tasks;
use headgate_proto::adapter::v1::DirectAdapterService;
use headgate_proto::adapter::v1::adapter_service_server::AdapterServiceServer;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationServiceServer;
use headgate_proto::budget::v1::DirectAdmissionService;
use headgate_proto::budget::v1::admission_service_server::AdmissionServiceServer;
use headgate_proto::catalog::v1::catalog_watch_service_server::CatalogWatchServiceServer;
use headgate_proto::record::v1::UsageRecord;
use prost::Message as _;
use rand::SeedableRng as _;

use super::peers::Peers;
use crate::{Config, Deps, Router};

const CONSUMER: &str = "test";
/// When it is, for ever.
pub(super) const NOW_UNIX_MS: i64 = 1_700_000_000_000;

pub(super) struct World {
    pub(super) router: Router,
    pub(super) peers: Arc<Peers>,
    pub(super) registry: prometheus::Registry,
    records: Reader,
    _dir: tempfile::TempDir,
}

impl World {
    /// A router that knows its peers' key and model.
    pub(super) async fn new() -> Self {
        Self::with(Config::default(), 1 << 30).await
    }

    /// The same with a configuration, and with room for so many bytes of records.
    pub(super) async fn with(config: Config, cap_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            dir: dir.path().join("spool"),
            segment_bytes: 1 << 20,
            cap_bytes,
            consumers: vec![CONSUMER.into()],
        };
        let (spool, unfinished) = Spool::open(options).unwrap();
        let records = spool.reader(CONSUMER).unwrap();
        let tasks = Tasks::new();
        let peers = Arc::new(Peers::new(tasks.clone(), spool.clone()));
        let admission: Arc<dyn DirectAdmissionService> = peers.clone();
        let adapter: Arc<dyn DirectAdapterService> = peers.clone();
        let registry = prometheus::Registry::new();
        let deps = Deps {
            auth: conn::local(AuthenticationServiceServer::from_arc(peers.clone())),
            catalog: conn::local(CatalogWatchServiceServer::from_arc(peers.clone())),
            budget: conn::local(AdmissionServiceServer::from_arc(peers.clone())).with_direct(admission),
            adapter: conn::local(AdapterServiceServer::from_arc(peers.clone())).with_direct(adapter),
            spool,
            snapshots: None,
            unfinished,
            clock: Clock::manual(NOW_UNIX_MS * 1000),
            rng: rand::rngs::StdRng::seed_from_u64(1),
            tasks,
            registry: registry.clone(),
        };
        let router = Router::build(config, deps).unwrap();
        while !router.is_ready() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { router, peers, registry, records, _dir: dir }
    }

    /// How many records no consumer has got yet.
    pub(super) fn unread(&self) -> u64 {
        self.records.lag()
    }

    /// The next terminal record that consumers of the spool get.
    pub(super) async fn record(&mut self) -> UsageRecord {
        let (records, _) = self.records.next(1).await.unwrap();
        UsageRecord::decode(records[0].clone()).unwrap()
    }
}
