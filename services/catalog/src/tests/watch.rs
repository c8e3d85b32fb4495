use headgate_proto::catalog::v1::{DeleteModelRequest, DeleteProviderRequest, WatchCatalogRequest};
use tonic::Streaming;

use super::*;

on_both_engines!(
    a_watch_begins_with_everything_and_follows_each_change_in_order,
    many_changes_at_once_are_published_in_the_order_of_their_revisions,
    only_peers_watch,
);

/// The next message that is not a heartbeat.
async fn news(stream: &mut Streaming<WatchCatalogResponse>) -> WatchCatalogResponse {
    loop {
        let message = stream.message().await.unwrap().unwrap();
        let beat = WatchCatalogResponse { revision: message.revision, ..Default::default() };
        if message != beat {
            return message;
        }
    }
}

async fn a_watch_begins_with_everything_and_follows_each_change_in_order(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "sk-secret").await;
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    let snapshot = news(&mut stream).await;
    assert_eq!(snapshot, fixture.everything());
    assert!(snapshot.snapshot && snapshot.providers[0].credential.is_some());

    let model = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let list = restrict("t", &["m"]);
    fixture.models().set_tenant_models(list).await.unwrap();
    fixture
        .models()
        .delete_model(DeleteModelRequest { name: "m".into(), etag: String::new() })
        .await
        .unwrap();
    fixture
        .providers()
        .delete_provider(DeleteProviderRequest { id: "p".into(), etag: String::new() })
        .await
        .unwrap();
    let changes =
        [news(&mut stream).await, news(&mut stream).await, news(&mut stream).await, news(&mut stream).await];
    assert_eq!(changes[0].models, std::slice::from_ref(&model));
    assert!(changes[1].tenant_models[0].restricted);
    assert_eq!(changes[1].tenant_models[0].models, ["m"]);
    assert_eq!(changes[2].removed_model_ids, [model.id]);
    assert_eq!(changes[3].removed_provider_ids, ["p"]);
    for (change, revision) in changes.iter().zip(snapshot.revision + 1..) {
        assert_eq!((change.revision, change.snapshot), (revision, false));
    }
    let beat = stream.message().await.unwrap().unwrap();
    assert_eq!(beat, WatchCatalogResponse { revision: changes[3].revision, ..Default::default() });
}

async fn many_changes_at_once_are_published_in_the_order_of_their_revisions(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    let start = news(&mut stream).await.revision;
    let made: Vec<_> = (0..20)
        .map(|i| {
            let mut providers = fixture.providers();
            async move { providers.create_provider(openai(&format!("p{i}"), "")).await.unwrap() }
        })
        .collect();
    futures_util::future::join_all(made).await;
    for revision in start + 1..=start + 20 {
        let change = news(&mut stream).await;
        assert_eq!((change.revision, change.providers.len()), (revision, 1));
    }
}

async fn only_peers_watch(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut outsider = CatalogWatchServiceClient::new(fixture.catalog.watch_service());
    let refusal = outsider.watch_catalog(WatchCatalogRequest {}).await.map(drop).unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}
