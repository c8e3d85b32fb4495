//! Who fails to present a valid key, again and again.

use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::strangers;
use http::HeaderMap;
use serde_json::json;

use super::server::{Answered, Server, prompt, request};
use crate::Config;

const GOOD: &str = "echo";
const BAD: &str = "stranger";

/// An edge behind a proxy, and a clock that stands still.
async fn start(per_second: Option<u32>) -> (Server, Clock) {
    let clock = Clock::manual(1_000_000);
    let config = Config {
        failed_authentications: strangers::Config { per_second, burst: 3 },
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Config::default()
    };
    (Server::start_at(config, clock.clone()).await, clock)
}

impl Server {
    /// What a client at `address` is told that presents `key`, which the router finds good or bad by the model.
    async fn client(&self, address: &str, key: &str, model: &str) -> Answered {
        let mut sent = request("POST", "/v1/chat/completions", &prompt(model, false));
        sent.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        sent.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        self.ask(sent).await
    }

    /// What the router was told of the last request.
    fn last(&self) -> HeaderMap {
        self.router.seen.lock().last().unwrap().metadata.clone()
    }
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_told_to_wait_and_its_good_callers_are_not() {
    let (server, clock) = start(Some(1)).await;
    for key in ["sk-a.1", "sk-b.1", "sk-c.1"] {
        let refused = server.client("192.0.2.1", key, BAD).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["error"]["code"]),
            (401, &json!("invalid_api_key"))
        );
        assert!(!server.last().contains_key("x-headgate-known-only"));
    }
    let refused = server.client("192.0.2.1", "sk-d.1", BAD).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["code"]),
        (429, &json!("rate_limit_exceeded"))
    );
    assert_eq!(
        (&refused.headers["retry-after"], &refused.headers["retry-after-ms"]),
        (&"1".parse().unwrap(), &"1000".parse().unwrap())
    );
    assert_eq!(server.last()["x-headgate-known-only"], "1", "nobody is to be asked for it");

    assert_eq!(server.client("192.0.2.1", "sk-good.1", GOOD).await.status, 200);
    assert_eq!(server.client("192.0.2.2", "sk-a.1", BAD).await.status, 401, "another address");
    assert!(!server.last().contains_key("x-headgate-known-only"));
    assert_eq!(server.get("/ping").await.status, 200);
    assert!(server.metric("headgate_edge_limited_strangers_total 1"));

    clock.advance(Duration::from_secs(1));
    assert_eq!(server.client("192.0.2.1", "sk-e.1", BAD).await.status, 401);
    assert_eq!(server.client("192.0.2.1", "sk-f.1", BAD).await.status, 429);
}

#[tokio::test]
async fn guesses_of_one_key_are_not_even_looked_at() {
    let (server, _) = start(Some(1)).await;
    for n in 0..3 {
        assert_eq!(server.client("192.0.2.1", &format!("sk-victim.{n}"), BAD).await.status, 401);
    }
    for n in 3..9 {
        assert_eq!(server.client("192.0.2.1", &format!("sk-victim.{n}"), GOOD).await.status, 429);
    }
    assert_eq!(server.router.seen.lock().len(), 3);
    assert_eq!(server.client("192.0.2.2", "sk-victim.right", GOOD).await.status, 200, "elsewhere it is good");
}

#[tokio::test]
async fn without_a_rate_a_bad_key_is_a_bad_key() {
    let (server, _) = start(None).await;
    for _ in 0..50 {
        assert_eq!(server.client("192.0.2.1", "sk-a.1", BAD).await.status, 401);
    }
}

#[tokio::test]
async fn the_router_is_told_where_the_client_is_and_not_what_it_says_of_itself() {
    let (server, _) = start(Some(1)).await;
    let told = async |said: &str| {
        assert_eq!(server.client(said, "sk-a.1", GOOD).await.status, 200);
        let last = server.last();
        assert_eq!(last.get_all("x-forwarded-for").iter().count(), 1);
        last["x-forwarded-for"].to_str().unwrap().to_owned()
    };
    assert_eq!(told("203.0.113.9, 192.0.2.1").await, "192.0.2.1", "as the proxy heard it");
    assert_eq!(told("nonsense").await, "127.0.0.1");
}
