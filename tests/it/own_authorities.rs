//! Servers that no public authority vouches for: an upstream, PostgreSQL, Redis and NATS over TLS.

use std::path::Path;
use std::time::Duration;

use headgate_tests::authority::Authority;
use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::servers::nats::Nats;
use headgate_tests::servers::postgres::Postgres;
use headgate_tests::servers::redis::Redis;
use headgate_tests::setup::{OTHER_KEY, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// An authority, and a folder with its certificate and one for this machine.
fn authority() -> (Authority, TempDir) {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.write(folder.path(), &[]);
    (authority, folder)
}

/// The servers, which all speak TLS.
struct Servers {
    postgres: Postgres,
    redis: Redis,
    redis_url: String,
    nats: Nats,
    upstream_url: String,
}

impl Servers {
    fn setup(&self, postgres_ca: &Path, ca: &Path) -> Setup {
        let database = format!(
            "{}?sslmode=verify-full&sslrootcert={}",
            self.postgres.database(),
            postgres_ca.join("ca.crt").display()
        );
        let ca = ca.join("ca.crt");
        Setup::new()
            .provider("mock", &self.upstream_url)
            .model("m", &["mock"])
            .budget(json!({"tenant_id": TENANT, "limit_usd": "100"}))
            .section("database", &json!({"url": database}))
            .section("redis", &json!({"url": self.redis_url, "ca_file": ca}))
            .section("nats", &json!({"url": self.nats.url().replace("nats://", "tls://"), "ca_file": ca}))
            .section("adapter", &json!({"ca_file": ca}))
    }
}

async fn is_connected_to_nats(headgate: &Headgate) -> bool {
    headgate.ops().get("/metrics").await.text().lines().any(|line| line == "headgate_nats_connected 1")
}

#[tokio::test]
async fn a_server_is_believed_by_an_authority_of_our_own_and_by_no_other() {
    let ((ours, certificates), (_, others)) = (authority(), authority());
    let (certificates, others) = (certificates.path(), others.path());
    let upstream = Upstream::start().await;
    let front = ours.front(upstream.address()).await;
    let (redis, redis_url) = Redis::start_with_tls(certificates).await;
    let file = |name| certificates.join(name);
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", file("tls.crt"), file("tls.key"));
    let servers = Servers {
        postgres: Postgres::start_with_tls(certificates).await,
        redis,
        redis_url,
        nats: Nats::start_with(&tls).await,
        upstream_url: format!("https://{}/v1", front.at),
    };

    let setup = servers.setup(certificates, certificates);
    let headgate = Headgate::start_on(Topology::AllInOne, &setup).await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    assert_eq!(upstream.journal().len(), 1);
    assert_ne!(servers.redis.command(&["dbsize"]), "0");
    assert!(is_connected_to_nats(&headgate).await);
    drop(headgate);

    let setup = servers.setup(certificates, others);
    let headgate = Headgate::start_on(Topology::AllInOne, &setup).await;
    let refused = headgate.client().chat(&prompts::chat("m")).await;
    assert_eq!(refused.status, 503, "Redis is believed: {}", refused.text());
    // No budget covers this one, so that it goes on without Redis.
    let unheard = headgate.anonymous().with_key(OTHER_KEY).chat(&prompts::chat("m")).await;
    assert!(unheard.status >= 500 && upstream.journal().len() == 1, "{}", unheard.text());
    // The client tells no more of why.
    eventually(SOON, "NATS to be refused", || async {
        headgate.logs().contains("told by the nats client").then_some(())
    })
    .await;
    assert!(!is_connected_to_nats(&headgate).await);
    drop(headgate);

    let headgate = Headgate::launch(&servers.setup(others, certificates)).await;
    eventually(SOON, "PostgreSQL to be refused", || async {
        let says = headgate.ops().get("/readyz").await.text();
        (says.contains("auth: database") && headgate.logs().contains("invalid peer certificate"))
            .then_some(())
    })
    .await;
}
