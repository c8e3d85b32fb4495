//! Watches and calls share a connection to a replica: neither keeps the other from its turn.

use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::conn::remote;
use headgate_kit::identity::Identity;
use headgate_kit::server::{Bounds, bind, serve_grpc};
use headgate_kit::tasks::Tasks;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::NotServing;
use tonic_health::pb::health_client::HealthClient;

const ENOUGH: Duration = Duration::from_secs(30);
/// The fewest that may be configured between processes.
const STREAMS: u32 = 16;
const WATCHES: usize = 8;
const CALLS: usize = 500;

#[tokio::test]
async fn watches_and_many_calls_at_once_go_over_one_connection() {
    let listener = bind("gRPC", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("watched", ServingStatus::Serving).await;
    let bounds = Bounds { connections: 1, streams: STREAMS, failures: Default::default() };
    let (identity, stop) = (Identity::default(), CancellationToken::new());
    tokio::spawn(serve_grpc(listener, Routes::new(health), bounds, identity, Clock::system(), stop));

    let tasks = Tasks::new();
    let conn = remote(address, &Identity::default(), &tasks);
    let find = async {
        while !conn.is_up() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(ENOUGH, find).await.unwrap();
    let watched = || HealthCheckRequest { service: "watched".to_owned() };
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        let mut watch = HealthClient::new(conn.clone()).watch(watched()).await.unwrap().into_inner();
        assert!(timeout(ENOUGH, watch.message()).await.unwrap().unwrap().is_some());
        watches.push(watch);
    }
    let calls = (0..CALLS).map(|_| {
        let mut client = HealthClient::new(conn.clone());
        async move { client.check(watched()).await.is_ok() }
    });
    let answered = timeout(ENOUGH, futures_util::future::join_all(calls)).await.unwrap();
    assert_eq!(answered.into_iter().filter(|ok| *ok).count(), CALLS);
    reporter.set_service_status("watched", ServingStatus::NotServing).await;
    for watch in &mut watches {
        let change = timeout(ENOUGH, watch.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(change.status(), NotServing);
    }
    assert!(conn.is_up());
}
