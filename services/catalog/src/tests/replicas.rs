//! Several replicas on one PostgreSQL.

use std::time::{Duration, Instant};

use headgate_proto::catalog::v1::{DeleteModelRequest, WatchCatalogRequest};
use tonic::Streaming;

use super::*;

async fn watch(fixture: &Fixture) -> Streaming<WatchCatalogResponse> {
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().snapshot);
    stream
}

/// The next message that is not a heartbeat.
async fn news(stream: &mut Streaming<WatchCatalogResponse>) -> WatchCatalogResponse {
    let next = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            let beat = WatchCatalogResponse { revision: message.revision, ..Default::default() };
            if message != beat {
                return message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next).await.expect("the other replica learns of it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_changes_the_watches_of_the_other_tell() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    let mut stream = watch(&there).await;
    let mut fastest = Duration::MAX;
    for n in 0..5 {
        here.provider(&format!("p{n}"), "sk-secret").await;
        let acknowledged = Instant::now();
        let message = news(&mut stream).await;
        fastest = fastest.min(acknowledged.elapsed());
        assert_eq!(message, here.everything());
    }
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    here.model(chat_model("m", &[("p0", "up")])).await.unwrap();
    assert_eq!(news(&mut stream).await.models[0].name, "m");
    let list = restrict("t", &["m"]);
    here.models().set_tenant_models(list).await.unwrap();
    assert_eq!(news(&mut stream).await.tenant_models[0].models, ["m"]);
    here.models().delete_model(DeleteModelRequest { name: "m".into(), etag: String::new() }).await.unwrap();
    let message = news(&mut stream).await;
    assert!(message.snapshot && message.models.is_empty());
    assert_eq!(there.everything(), here.everything());
}

#[tokio::test]
async fn a_change_is_planned_on_what_others_left() {
    let db = TestDb::postgres().await;
    let (here, there) = (Fixture::start(&db).await, Fixture::start(&db).await);
    for n in 0..10 {
        let name = format!("m{n}");
        here.provider(&name, "").await;
        // At once: the other was not told yet.
        let made = there.model(chat_model(&name, &[(&name, "up")])).await.unwrap();
        let again = here.model(chat_model(&name, &[(&name, "up")])).await.unwrap_err();
        assert_eq!(field(again), (ErrorReason::AlreadyExists, "name".into()));
        here.models()
            .delete_model(DeleteModelRequest { name: made.name, etag: String::new() })
            .await
            .unwrap();
    }
    assert!(here.everything().models.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_together_seed_the_same() {
    let db = TestDb::postgres().await;
    let bootstrap: Bootstrap = serde_json::from_str(
        r#"{
            "providers": [{"id": "echo", "name": "echo", "kind": "echo"}],
            "models": [{
                "name": "echo", "operations": ["chat"],
                "price": {"input_usd_per_1m_tokens": "0.10", "output_usd_per_1m_tokens": "0.20"},
                "targets": [{"provider": "echo", "upstream_model": "echo"}],
                "max_output_tokens": 1024, "context_tokens": 8192
            }]
        }"#,
    )
    .unwrap();
    let start = async || {
        let fixture = Fixture::start(&db).await;
        fixture.catalog.bootstrap(&bootstrap).await.unwrap();
        fixture
    };
    let (a, b, c) = tokio::join!(start(), start(), start());
    for replica in [&a, &b, &c] {
        assert_eq!(replica.everything(), a.everything());
        assert_eq!(replica.everything().revision, 1, "one of them made it, the others found it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_its_database_is_silent() {
    let db = TestDb::postgres().await;
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let mut stream = watch(&fixture).await;
    assert!(stream.message().await.unwrap().is_some(), "it beats");
    db.cut_off().await;
    // A beat may be on its way.
    let _late = tokio::time::timeout(Duration::from_millis(400), stream.message()).await;
    let silence = tokio::time::timeout(Duration::from_secs(1), stream.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(fixture.everything().providers.len(), 1, "what is known can be read");
    let refusal = fixture.providers().create_provider(openai("q", "")).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Unavailable);
    db.let_in().await;
    let beat = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    assert!(!beat.unwrap().unwrap().unwrap().snapshot);
    fixture.provider("q", "").await;
    assert_eq!(news(&mut stream).await.providers.len(), 1);
}
