//! What probes find, what becomes of it, and who learns of it.

use std::time::Duration;

use headgate_proto::adapter::v1::ProbeStatus;
use headgate_proto::catalog::v1::{
    GetProviderRequest, SetProviderHealthRequest, TestProviderDirectRequest, TestProviderRequest,
    UpdateProviderRequest, WatchCatalogRequest,
};
use secrecy::ExposeSecret as _;

use super::*;

on_both_engines!(
    a_test_is_answered_and_kept_over_a_restart,
    three_rounds_of_failures_turn_a_provider_and_its_watchers_learn_of_it_once,
    health_makes_no_revision_and_no_etag,
    an_operator_s_word_is_kept_and_forgets_failures,
    only_active_providers_are_probed_and_only_as_they_are,
    a_direct_test_keeps_nothing,
    an_adapter_that_is_away_says_nothing_of_providers,
    of_replicas_one_probes,
);

const URL: &str = "https://api.example.com/v1";

impl Fixture {
    async fn shown(&self, id: &str) -> Provider {
        let request = GetProviderRequest { id: id.into() };
        self.providers().get_provider(request).await.unwrap().into_inner().provider.unwrap()
    }

    async fn set_health(&self, is_healthy: Option<bool>) -> Result<Provider, Status> {
        let request = SetProviderHealthRequest { id: "p".into(), is_healthy };
        self.health().set_provider_health(request).await.map(|answer| answer.into_inner().provider.unwrap())
    }

    async fn round(&self) {
        self.catalog.probes.round().await.unwrap();
    }
}

async fn a_test_is_answered_and_kept_over_a_restart(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "sk-secret").await;
    assert_eq!((made.status.as_str(), made.is_healthy, made.last_tested_at), ("", true, None));
    fixture.upstreams.are(URL, ProbeStatus::Degraded, 503);
    let test = TestProviderRequest { id: "p".into() };
    let found = fixture.health().test_provider(test).await.unwrap().into_inner();
    assert_eq!((found.status.as_str(), found.status_code, found.latency_ms), ("degraded", 503, 12));
    assert_eq!(found.detail, "as it was said");
    let target = fixture.upstreams.asked().remove(0);
    let opened = fixture.master_key.open("p", &target.credential.unwrap()).unwrap().unwrap();
    assert_eq!(opened.expose_secret(), "sk-secret");
    assert_eq!(target.deadlines.unwrap().total_ms, 5000);

    let shown = fixture.shown("p").await;
    assert_eq!((shown.status.as_str(), shown.latency_ms, shown.consecutive_failures), ("degraded", 12, 1));
    assert_eq!(shown.last_tested_at.unwrap().seconds, NOW_MICROS / 1_000_000);
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.shown("p").await, shown);
    let test = TestProviderRequest { id: "none".into() };
    let refusal = fixture.health().test_provider(test).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
}

async fn three_rounds_of_failures_turn_a_provider_and_its_watchers_learn_of_it_once(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    fixture.upstreams.are(URL, ProbeStatus::Unreachable, 0);
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    let before = stream.message().await.unwrap().unwrap();
    for (failures, is_healthy) in [(1, true), (2, true), (3, false), (4, false)] {
        fixture.round().await;
        let shown = fixture.shown("p").await;
        assert_eq!((shown.consecutive_failures, shown.is_healthy), (failures, is_healthy));
    }
    fixture.upstreams.are(URL, ProbeStatus::Online, 200);
    fixture.round().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let message = stream.message().await.unwrap().unwrap();
        assert_eq!((message.revision, message.snapshot), (before.revision, false));
        told.extend(message.providers.into_iter().map(|record| record.provider.unwrap().is_healthy));
    }
    assert_eq!(told, [false, true]);
}

async fn health_makes_no_revision_and_no_etag(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "").await;
    let before = fixture.everything().revision;
    fixture.upstreams.are(URL, ProbeStatus::Timeout, 0);
    fixture.round().await;
    fixture.set_health(Some(false)).await.unwrap();
    let shown = fixture.shown("p").await;
    assert!(shown.status == "timeout" && !shown.is_healthy);
    assert_eq!((shown.etag, shown.updated_at), (made.etag.clone(), made.updated_at));
    assert_eq!(fixture.everything().revision, before);

    let request = UpdateProviderRequest { id: "p".into(), etag: made.etag, ..Default::default() };
    let request = UpdateProviderRequest { name: Some("q".into()), ..request };
    let renamed = fixture.providers().update_provider(request).await.unwrap().into_inner().provider.unwrap();
    assert!(renamed.status == "timeout" && !renamed.is_healthy, "a change leaves its health");
    assert_eq!(fixture.everything().revision, before + 1);
}

async fn an_operator_s_word_is_kept_and_forgets_failures(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    fixture.upstreams.are(URL, ProbeStatus::Error, 0);
    for _ in 0..3 {
        fixture.round().await;
    }
    let shown = fixture.set_health(Some(true)).await.unwrap();
    assert!(shown.is_healthy && shown.consecutive_failures == 0 && shown.status == "error");
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.shown("p").await, shown);
    let refusal = fixture.set_health(None).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "is_healthy".into()));
}

async fn only_active_providers_are_probed_and_only_as_they_are(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "").await;
    let resting = CreateProviderRequest { is_active: Some(false), ..openai("resting", "") };
    fixture.providers().create_provider(resting).await.unwrap();
    fixture.round().await;
    let asked: Vec<_> = fixture.upstreams.asked().into_iter().map(|target| target.provider_id).collect();
    assert_eq!(asked, ["p"]);
    assert_eq!(fixture.shown("resting").await.status, "");

    // Found of what it was before it was changed.
    let found = headgate_proto::adapter::v1::ProbeResponse { status: 3, ..Default::default() };
    let stale = vec![(Provider { etag: "0".into(), ..made.clone() }, found.clone()), (made, found)];
    let stamp = change::Stamp { revision: 9, unix_ms: 1 };
    let change = probes::probed(&fixture.catalog.registry.read(), stale, 3, &stamp);
    assert_eq!(change.health.len(), 1);
}

async fn a_direct_test_keeps_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let before = fixture.everything();
    let (base_url, models) = (URL.to_owned(), vec!["m".to_owned()]);
    let good = TestProviderDirectRequest { base_url, api_key: "sk-planted".into(), models, kind: 0 };
    let found = fixture.health().test_provider_direct(good.clone()).await.unwrap().into_inner();
    assert_eq!((found.status.as_str(), found.status_code), ("online", 200));
    let target = fixture.upstreams.asked().remove(0);
    let opened = fixture.master_key.open(&target.provider_id, &target.credential.unwrap()).unwrap();
    assert_eq!(opened.unwrap().expose_secret(), "sk-planted");
    assert_eq!(fixture.everything(), before);
    assert!(!contains(&db.bytes("catalog").await, b"sk-planted"));

    for (request, wanted) in [
        (TestProviderDirectRequest { base_url: "file:///etc/passwd".into(), ..good.clone() }, "base_url"),
        (TestProviderDirectRequest { api_key: "two words".into(), ..good.clone() }, "api_key"),
        (TestProviderDirectRequest { models: vec![String::new()], ..good.clone() }, "models[0]"),
        (TestProviderDirectRequest { kind: 99, ..good.clone() }, "kind"),
    ] {
        let refusal = fixture.health().test_provider_direct(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert_eq!(fixture.upstreams.asked().len(), 1, "nothing was asked for those");
    let mut outsider = ProviderHealthServiceClient::new(local(fixture.catalog.health_service()));
    let refusal = outsider.test_provider_direct(good).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}

async fn an_adapter_that_is_away_says_nothing_of_providers(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "").await;
    fixture.upstreams.are_away(true);
    fixture.round().await;
    let test = TestProviderRequest { id: "p".into() };
    let refusal = fixture.health().test_provider(test).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Unavailable);
    assert_eq!(fixture.shown("p").await, made);
}

async fn of_replicas_one_probes(db: TestDb) {
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    let turn = async |fixture: &Fixture| {
        fixture.catalog.registry.is_turn_to_probe(Duration::from_secs(60)).await.unwrap()
    };
    assert!(turn(&here).await);
    assert!(!turn(&there).await && !turn(&here).await);
    for fixture in [&here, &there] {
        fixture.clock.advance(Duration::from_secs(54));
    }
    assert!(turn(&there).await && !turn(&here).await);
    // One whose clock was far ahead must not keep the others from it.
    there.clock.advance(Duration::from_secs(86_400));
    assert!(turn(&there).await && turn(&here).await);
}

#[tokio::test]
async fn providers_are_probed_at_an_interval() {
    let db = TestDb::sqlite();
    let fixture = Fixture::with(&db, Config { probe_interval_ms: 100, ..Config::default() }).await;
    fixture.provider("p", "").await;
    let rounds = async {
        while fixture.upstreams.asked().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            fixture.clock.advance(Duration::from_millis(10));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), rounds).await.expect("it is asked again and again");
    assert_eq!(fixture.shown("p").await.status, "online");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_finds_the_watches_of_the_other_tell() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    here.provider("p", "").await;
    let mut stream = there.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    here.set_health(Some(false)).await.unwrap();
    let told = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(record) = message.providers.first() {
                let shown = record.provider.clone().unwrap();
                if !shown.is_healthy {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("the other replica learns of it");
    assert_eq!(there.everything(), here.everything());
}
