//! S2-33: what lies in Redis is what the list of names in `headgate-budget` says, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use headgate_tests::cluster::Headgate;
use headgate_tests::prompts;
use headgate_tests::setup::{KEY_ID, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, End, Upstream};
use headgate_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

/// Every kind of key there is: its name, with what differs in angle brackets, its type, and whether it ends by itself.
const KINDS: [(&str, &str, bool); 13] = [
    ("headgate:{<tenant>}:c", "hash", false),
    ("headgate:{<tenant>}:c:<key>", "hash", true),
    ("headgate:{<tenant>}:w", "list", true),
    ("headgate:{<tenant>}:w:<key>", "list", true),
    ("headgate:{<tenant>}:a:<number>", "hash", true),
    ("headgate:{<tenant>}:a:<number>:<key>", "hash", true),
    ("headgate:{<tenant>}:l:<lease>", "hash", false),
    ("headgate:{<tenant>}:o", "zset", false),
    ("headgate:{<tenant>}:r", "list", true),
    ("headgate:{<tenant>}:i:<number>:<key>:<idempotency>", "string", true),
    ("headgate:tenants:{<number>}", "zset", false),
    ("headgate:home:{<key>}", "string", true),
    (REAPER, "string", true),
];
/// There for a second at most.
const REAPER: &str = "headgate:reaper";

/// A key with what differs taken out. The id of the API key has that of the tenant in it.
fn kind(key: &str) -> String {
    let known = key.replace(KEY_ID, "<key>").replace(TENANT, "<tenant>").replace("once", "<idempotency>");
    let word = |word: &str| match word.trim_matches(['{', '}']) {
        bare if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) => {
            word.replace(bare, "<number>")
        }
        bare if bare.len() == 36 && bare.split('-').count() == 5 => word.replace(bare, "<lease>"),
        _ => word.to_owned(),
    };
    known.split(':').map(word).collect::<Vec<_>>().join(":")
}

#[tokio::test]
async fn nothing_lies_in_redis_but_what_has_a_name() {
    let upstream = Upstream::start().await;
    upstream.script("hangs", Answer::default().ending(End::Hang));
    let window = json!({"requests": 1000, "seconds": 60});
    let setup = Setup::with_model("m", &upstream)
        .model("hangs", &["mock"])
        .limits(json!({"key_id": KEY_ID, "tokens_per_minute": 1_000_000, "sliding_window": window}))
        .limits(json!({"tenant_id": TENANT, "parallel_requests": 10, "sliding_window": window}))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "10.00"}))
        .budget(json!({"key_id": KEY_ID, "limit_usd": "5.00"}));
    let mut headgate = Headgate::start_on(Topology::Split, &setup).await;
    let client = headgate.client();
    client.chat(&prompts::chat("m")).await.expect(200);
    client.with_header("idempotency-key", "once").chat(&prompts::chat("m")).await.expect(200);
    client.chat(&prompts::chat("unknown")).await.expect(404);
    let _left = client.stream(&prompts::stream("m")).await.hang_up();
    let mut running = client.stream(&prompts::stream("hangs")).await;
    running.read_content(1).await;

    let redis = headgate.engines().redis.as_ref().unwrap();
    let found = eventually(SOON, "a key of every kind", || async {
        let keys = redis.command(&["--scan"]);
        let found: BTreeMap<String, String> = keys.lines().map(|key| (kind(key), key.to_owned())).collect();
        let lasting = KINDS.iter().map(|(name, ..)| *name).filter(|name| *name != REAPER);
        lasting.into_iter().all(|name| found.contains_key(name)).then_some(found)
    })
    .await;
    for (name, key) in &found {
        let known = KINDS.iter().find(|(kind, ..)| kind == name);
        let (_, expected, ends) = known.unwrap_or_else(|| panic!("what is {key}?"));
        let (is, left) = (redis.command(&["TYPE", key]), redis.command(&["PTTL", key]));
        // It may have ended since.
        assert!(is == *expected || is == "none", "{key} is a {is}");
        assert!(left != "-1" || !ends, "{key} would stay for ever");
    }
}
