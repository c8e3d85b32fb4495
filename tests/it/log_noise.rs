//! A part that is away must not flood the log, however many requests want it.

use std::time::Instant;

use headgate_tests::cluster::Headgate;
use headgate_tests::setup::TENANT;
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use serde_json::{Value, json};

use crate::budget::{cent_model, cent_request};

const REQUESTS: usize = 400;

#[tokio::test]
async fn a_part_that_is_away_is_told_once_a_second_and_not_with_every_request() {
    let upstream = Upstream::start().await;
    let setup = cent_model(&upstream).budget(json!({"tenant_id": TENANT, "limit_usd": "100"}));
    let mut headgate = Headgate::start_on(Topology::Planes, &setup).await;
    headgate.client().chat(&cent_request()).await.expect(200);
    let before = headgate.node("router").logs().lines().count();
    headgate.node_mut("budget").kill();
    let start = Instant::now();
    let requests = (0..8).map(|_| async {
        for _ in 0..REQUESTS / 8 {
            headgate.client().chat(&cent_request()).await.expect(503);
        }
    });
    futures_util::future::join_all(requests).await;
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    let logs = headgate.node("router").logs();
    let lines: Vec<Value> = logs.lines().skip(before).filter_map(|l| serde_json::from_str(l).ok()).collect();
    let warnings = lines.iter().filter(|line| line["level"] == "WARN");
    let mut kinds: Vec<_> =
        warnings.map(|line| (line["message"].to_string(), line["what"].to_string())).collect();
    kinds.sort_unstable();
    assert!(kinds.iter().any(|(message, _)| message.contains("part unavailable")), "{logs}");
    for same in kinds.chunk_by(|a, b| a == b) {
        assert!(same.len() <= seconds + 2, "{} lines in {seconds} s: {:?}", same.len(), same[0]);
    }
    assert!(lines.len() < REQUESTS / 2 + 10 * seconds, "{} lines:\n{logs}", lines.len());
}
