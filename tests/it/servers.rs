//! The harness's own servers do what the tests rely on: they are real, forget and keep what they should, and go away.

use std::net::TcpStream;
use std::path::Path;

use headgate_tests::servers::dockerd::Engine;
use headgate_tests::servers::postgres::Postgres;
use headgate_tests::servers::redis::{Persistence, Redis, RedisCluster};

#[tokio::test]
async fn postgres_keeps_its_data_over_a_crash_and_bounds_its_connections() {
    let mut postgres = Postgres::start_with(20).await;
    let (mine, other) = (postgres.database(), postgres.database());
    postgres.sql(&mine, "CREATE TABLE kept AS SELECT 7 AS n");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'kept'";
    assert_eq!(postgres.sql(&other, tables), "0", "databases are shared");
    assert_eq!(postgres.sql(&mine, "SHOW max_connections"), "20");

    let port = postgres.port();
    postgres.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it lives on");
    postgres.restart().await;
    assert_eq!(postgres.sql(&mine, "SELECT n FROM kept"), "7");

    drop(postgres);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it outlives its handle");
}

#[tokio::test]
async fn redis_forgets_or_keeps_over_a_crash_as_it_is_told() {
    for (persistence, found) in [(Persistence::None, ""), (Persistence::EveryWrite, "v")] {
        let mut redis = Redis::start_with(persistence).await;
        redis.command(&["set", "k", "v"]);
        redis.kill();
        assert!(TcpStream::connect(redis.address()).is_err(), "it lives on");
        redis.restart().await;
        assert_eq!(redis.command(&["get", "k"]), found, "{persistence:?}");
    }
}

#[tokio::test]
async fn three_redis_nodes_are_a_cluster_and_one_comes_back_to_it() {
    let mut cluster = RedisCluster::start().await;
    for node in &cluster.nodes {
        let info = node.command(&["cluster", "info"]);
        assert!(info.contains("cluster_known_nodes:3") && info.contains("cluster_slots_ok:16384"), "{info}");
    }
    cluster.nodes[1].kill();
    cluster.nodes[1].restart().await;
    cluster.wait_until_whole().await;
}

#[tokio::test]
async fn the_docker_engine_serves_every_handle_until_the_last_is_gone() {
    let (first, second) = (Engine::start().await, Engine::start().await);
    let root = |engine: &Engine| engine.run(&["info", "--format", "{{.DockerRootDir}}"]);
    let folder = root(&first);
    assert_eq!(folder, root(&second), "two engines");
    drop(first);
    assert_eq!(root(&second), folder);
    drop(second);
    // A machine's own engine stays, and one that other tests still use.
    if folder.contains("headgate-docker-") {
        let next = Engine::start().await;
        assert!(root(&next) == folder || !Path::new(&folder).exists(), "{folder} is left");
    }
}
