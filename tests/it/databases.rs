//! Tables in PostgreSQL: the whole binary on it, migrations by hand, and a server that is away.

use std::fs;
use std::time::{Duration, Instant};

use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{CreateApiKeyRequest, RevokeApiKeyRequest};
use headgate_tests::cluster::{Headgate, run_to_end};
use headgate_tests::prompts;
use headgate_tests::servers::postgres::{PASSWORD, Postgres};
use headgate_tests::servers::redis::Redis;
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::{Answer, Upstream};
use headgate_tests::wait::eventually;
use serde_json::{Value, json};

use crate::budget::{cent_model, cent_request};

const SOON: Duration = Duration::from_secs(20);
const SCHEMAS: &str = "SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace
    WHERE nspname IN ('auth', 'budget', 'catalog', 'usage')";

fn setup(upstream: &Upstream, database: &Value) -> Setup {
    Setup::with_model("m", upstream).section("database", database)
}

/// With what replicas of auth, catalog and budget have in common.
fn shared(setup: Setup) -> Setup {
    setup
        .section("auth", &json!({"pepper": "5a".repeat(32)}))
        .section("budget", &json!({"sealing_key": "7c".repeat(32)}))
        .set("master_key", "6b".repeat(32))
}

/// One process: the other topologies bring a database of their own.
async fn start(setup: &Setup) -> Headgate {
    Headgate::start_on(Topology::AllInOne, setup).await
}

/// What `/readyz` says until it says this.
async fn until_readyz_says(headgate: &Headgate, parts: &str) {
    let expected = format!("not ready: {parts}\n");
    eventually(SOON, &expected, || async {
        let answer = headgate.ops().get("/readyz").await;
        let mut said: Vec<_> =
            answer.text().trim_start_matches("not ready: ").trim().split(", ").map(str::to_owned).collect();
        said.sort();
        (answer.status == 503 && said.join(", ") == parts).then_some(())
    })
    .await;
}

#[tokio::test]
async fn everything_works_on_postgresql_and_outlives_its_crash() {
    let (upstream, mut postgres) = (Upstream::start().await, Postgres::start().await);
    let url = postgres.database();
    let mut headgate = start(&setup(&upstream, &json!({"url": url}))).await;
    for _ in 0..5 {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
    }
    headgate.rows(5).await;
    assert_eq!(postgres.sql(&url, SCHEMAS), "auth,budget,catalog,usage");
    assert_eq!(postgres.sql(&url, "SELECT COUNT(*) FROM usage.usage_records"), "5");
    let spent = "SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM";
    let in_ledger = postgres.sql(&url, &format!("{spent} usage.usage_records"));
    eventually(SOON, "spend as the ledger has it", || async {
        (postgres.sql(&url, &format!("{spent} budget.lease_spend")) == in_ledger).then_some(())
    })
    .await;

    // Away: known keys go on, records wait, changes are refused, and nothing needs a restart.
    postgres.kill();
    let (away_since, mut requests) = (Instant::now(), 5);
    // Long enough for watches to be silent and keys to be asked for.
    while away_since.elapsed() < Duration::from_secs(3) {
        headgate.client().chat(&prompts::chat("m")).await.expect(200);
        requests += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let unknown = headgate.anonymous().with_key("sk-nobody.not-a-key").get("/v1/models").await;
    assert_eq!(unknown.status, 503, "nobody can tell: {}", unknown.text());
    postgres.restart().await;
    headgate.rows(requests).await;
    headgate.anonymous().with_key("sk-nobody.not-a-key").get("/v1/models").await.expect(401);

    headgate.kill();
    headgate.restart().await;
    headgate.ready().await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(requests + 1).await;
    let files = fs::read_dir(headgate.data_dir_of("usage")).unwrap().map(|entry| entry.unwrap().path());
    let databases: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    assert!(databases.is_empty(), "{databases:?}");
    assert!(!headgate.logs().contains(PASSWORD), "{}", headgate.logs());
}

#[tokio::test]
async fn a_start_waits_for_a_database_that_is_away_and_says_so() {
    let (upstream, mut postgres) = (Upstream::start().await, Postgres::start().await);
    let setup = setup(&upstream, &json!({"url": postgres.database()}));
    postgres.kill();
    let mut headgate = Headgate::launch(&setup).await;
    let waits_for = "auth: database, budget: database, catalog: database, starting, usage: database";
    until_readyz_says(&headgate, waits_for).await;
    headgate.ops().get("/livez").await.expect(200);
    assert_eq!(headgate.terminate().await, Some(0), "{}", headgate.logs());
    headgate.node_mut("auth").restart().await;
    until_readyz_says(&headgate, waits_for).await;
    postgres.restart().await;
    headgate.ready().await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    assert!(!headgate.logs().contains(PASSWORD), "{}", headgate.logs());
}

#[tokio::test]
async fn a_start_waits_for_a_database_that_vanishes_before_it_is_read() {
    let (upstream, postgres) = (Upstream::start().await, Postgres::start().await);
    let url = postgres.database();
    let mut headgate = start(&setup(&upstream, &json!({"url": url}))).await;
    headgate.kill();
    // There to be opened, and not to be read.
    let lock = postgres.lock(&url, "auth.meta, catalog.meta, budget.policy_revision");
    headgate.node_mut("auth").restart().await;
    until_readyz_says(&headgate, "auth: database, budget: database, catalog: database, starting").await;
    drop(lock);
    headgate.ready().await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    assert!(!headgate.logs().contains(PASSWORD), "{}", headgate.logs());
}

#[tokio::test]
async fn where_a_start_does_not_migrate_it_waits_until_somebody_else_did() {
    let (upstream, postgres) = (Upstream::start().await, Postgres::start().await);
    let url = postgres.database();
    let database = json!({"url": url, "migrate_on_start": false});
    let headgate = Headgate::launch(&setup(&upstream, &database)).await;
    until_readyz_says(
        &headgate,
        "auth: migrations, budget: migrations, catalog: migrations, starting, usage: migrations",
    )
    .await;

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("migrate.yaml");
    // No folder is needed: this one cannot be made.
    fs::write(&config, setup(&upstream, &database).render("/proc/nowhere".as_ref())).unwrap();
    let config = config.to_str().unwrap();
    let (code, told) =
        run_to_end(&["migrate", "--config", config, "--only", "usage,auth"], folder.path()).await;
    assert_eq!(code, Some(0), "{told}");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("auth: applied 1, 20261121120000, "), "{told}");
    assert_eq!(lines[1], "usage: applied 1");
    until_readyz_says(&headgate, "budget: migrations, catalog: migrations, starting").await;
    assert_eq!(postgres.sql(&url, SCHEMAS), "auth,usage");

    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run_to_end(&["migrate", "--config", config], folder.path()).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("auth: up to date\n") && told.contains("budget: applied 1, 2"), "{told}");
    headgate.ready().await;
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
}

#[tokio::test]
async fn migrations_that_cannot_be_are_told_by_the_exit_code() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database();
    let migrate = async |database: Value| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("headgate.yaml");
        let setup = Setup::new().section("database", &database);
        fs::write(&config, setup.render(&folder.path().join("data"))).unwrap();
        run_to_end(&["migrate", "--config", config.to_str().unwrap()], folder.path()).await
    };
    let (code, told) = migrate(json!({"url": format!("mysql://headgate:{PASSWORD}@host/x")})).await;
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("database.url: must be postgres://") && !told.contains(PASSWORD), "{told}");
    let (code, told) = migrate(json!({"url": null})).await;
    assert_eq!((code, told.lines().count()), (Some(0), 4), "files can be migrated too: {told}");

    assert_eq!(migrate(json!({"url": url})).await.0, Some(0));
    postgres.sql(&url, "UPDATE auth._sqlx_migrations SET checksum = '\\x00' WHERE version = 1");
    let (code, told) = migrate(json!({"url": url})).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("auth: migration: migration 1 was previously applied but has been modified"),
        "{told}"
    );
    assert!(told.contains("usage: up to date"), "the others are looked after: {told}");
    postgres.kill();
    let (code, told) = migrate(json!({"url": url})).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("auth: database: ") && !told.contains(PASSWORD), "{told}");
}

#[tokio::test]
async fn each_service_may_have_a_role_that_sees_nothing_of_the_others() {
    let (upstream, postgres) = (Upstream::start().await, Postgres::start().await);
    let url = postgres.database();
    let mut urls = serde_json::Map::new();
    for service in ["auth", "catalog", "budget", "usage"] {
        postgres.sql(&url, &format!("CREATE ROLE {service}_role LOGIN PASSWORD '{PASSWORD}'"));
        postgres.sql(&url, &format!("CREATE SCHEMA {service} AUTHORIZATION {service}_role"));
        let own = url.replacen("headgate:", &format!("{service}_role:"), 1);
        urls.insert(service.to_owned(), own.into());
    }
    let headgate = start(&setup(&upstream, &json!({"urls": urls}))).await;
    headgate.anonymous().with_key(KEY).chat(&prompts::chat("m")).await.expect(200);
    headgate.rows(1).await;
    let owners = "SELECT DISTINCT schemaname || '=' || tableowner FROM pg_tables
        WHERE schemaname IN ('auth', 'budget', 'catalog', 'usage') ORDER BY 1";
    let owned = "auth=auth_role\nbudget=budget_role\ncatalog=catalog_role\nusage=usage_role";
    assert_eq!(postgres.sql(&url, owners), owned);
    let allowed = "SELECT has_schema_privilege('usage_role', 'auth', 'USAGE')";
    assert_eq!(postgres.sql(&url, allowed), "f");
}

#[tokio::test]
async fn the_fleet_lives_with_few_connections() {
    let (upstream, postgres) = (Upstream::start().await, Postgres::start_with(20).await);
    let url = postgres.database();
    let headgate = start(&setup(&upstream, &json!({"url": url}))).await;
    let load = (0..20).map(|_| async {
        for _ in 0..10 {
            headgate.client().chat(&prompts::chat("m")).await.expect(200);
            headgate.usage_summary().await;
        }
    });
    futures_util::future::join_all(load).await;
    headgate.rows(200).await;
    let taken = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'headgate'";
    let taken: u32 = postgres.sql(&url, taken).parse().unwrap();
    // Three of twenty are the superuser's.
    assert!((1..=17).contains(&taken), "{taken} connections");
}

#[tokio::test]
async fn what_one_gate_changes_another_on_the_same_database_knows() {
    let (upstream, postgres, redis) =
        (Upstream::start().await, Postgres::start().await, Redis::start().await);
    let setup = shared(setup(&upstream, &json!({"url": postgres.database()})))
        .section("redis", &json!({"url": redis.url()}));
    let (here, there) = tokio::join!(start(&setup), start(&setup));
    let mut keys = ApiKeyServiceClient::new(here.operator("auth").await);
    let mut latest = Duration::ZERO;
    for _ in 0..3 {
        let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..CreateApiKeyRequest::default() };
        let created = keys.create_api_key(request).await.unwrap().into_inner();
        let client = there.anonymous().with_key(&created.secret_key);
        client.chat(&prompts::chat("m")).await.expect(200);
        let id = created.api_key.unwrap().id;
        keys.revoke_api_key(RevokeApiKeyRequest { id, ..Default::default() }).await.unwrap();
        let acknowledged = Instant::now();
        while client.chat(&prompts::chat("m")).await.status == 200 {
            latest = latest.max(acknowledged.elapsed());
            assert!(latest < SOON, "it is never refused");
        }
        client.chat(&prompts::chat("m")).await.expect(401);
    }
    assert!(latest < Duration::from_secs(1), "accepted {latest:?} after the answer");
}

#[tokio::test]
async fn of_two_that_count_in_memory_the_second_waits_until_the_first_is_gone() {
    let (upstream, postgres) = (Upstream::start().await, Postgres::start().await);
    upstream.script("m", Answer { chunks: 100, ..Answer::default() });
    let url = postgres.database();
    let setup = shared(cent_model(&upstream))
        .section("database", &json!({"url": url}))
        .budget(json!({"tenant_id": TENANT, "limit_usd": "0.02"}));
    let mut first = start(&setup).await;
    let mut second = Headgate::launch(&setup).await;
    until_readyz_says(&second, "budget: another process counts in memory, starting").await;
    first.client().chat(&cent_request()).await.expect(200);
    // Restarted, it stands in line again, behind nobody but the first.
    second.kill();
    second.node_mut("budget").restart().await;
    until_readyz_says(&second, "budget: another process counts in memory, starting").await;
    // Without NATS, what its spool still holds would stay there.
    eventually(SOON, "the spend to be stored", || async {
        (postgres.sql(&url, "SELECT COUNT(*) FROM budget.lease_spend") == "1").then_some(())
    })
    .await;
    assert_eq!(first.terminate().await, Some(0), "{}", first.logs());
    second.ready().await;
    // What the first one counted, the second knows.
    second.client().chat(&cent_request()).await.expect(200);
    second.client().chat(&cent_request()).await.expect(403);
}

#[tokio::test]
async fn a_database_that_others_may_use_gets_no_key_that_everybody_knows() {
    let postgres = Postgres::start().await;
    let url = postgres.database();
    let environment = vec![("HEADGATE__DATABASE__URL", url.clone())];
    let headgate = Headgate::start_without_config_but(environment).await;
    headgate.anonymous().with_key("sk-demo.my-secret").get("/v1/models").await.expect(401);
    assert_eq!(postgres.sql(&url, "SELECT COUNT(*) FROM auth.api_keys"), "0");
}
