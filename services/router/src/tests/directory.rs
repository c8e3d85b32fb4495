//! What a consumer learns of what there is.

use std::time::Instant;

use headgate_proto::catalog::v1::Model;
use headgate_proto::inference::v1::directory_service_client::DirectoryServiceClient;
use headgate_proto::inference::v1::{
    GetCallerRequest, GetFeaturesRequest, InferenceServiceStub, ListModelsRequest, ListProvidersRequest,
    ModelStatus, ProviderInfo,
};
use tonic::Code;

use super::ask::request;
use super::peers::{catalog, key};
use super::world::World;
use crate::keys::Now;

/// A world with the models `m` and `vectors`, at providers with names.
async fn world() -> World {
    let world = World::new().await;
    let mut told = catalog();
    for (record, name) in told.providers.iter_mut().zip(["One", "Two"]) {
        record.provider.as_mut().unwrap().name = name.into();
    }
    let known = told.models[0].clone();
    let targets = vec![known.targets[1].clone()];
    let (aliases, description) = (vec!["embedder".into()], "Texts as Numbers".into());
    told.models.push(Model {
        id: "model_2".into(),
        name: "vectors".into(),
        operations: vec![headgate_proto::catalog::v1::Operation::Embeddings.into()],
        targets,
        aliases,
        description,
        ..known
    });
    world.router.0.models.apply(told);
    world
}

impl World {
    fn directory(&self) -> DirectoryServiceClient<headgate_kit::conn::Conn> {
        DirectoryServiceClient::new(headgate_kit::conn::local(self.router.directory_service()))
    }

    async fn found(&self, query: &str, operation: &str, provider: &str) -> Result<Vec<String>, Code> {
        let wanted =
            ListModelsRequest { query: query.into(), operation: operation.into(), provider: provider.into() };
        let router = InferenceServiceStub::new(self.router.conn());
        let found = router.list_models(request(wanted)).await.map_err(|status| status.code())?.into_inner();
        Ok(found.models.into_iter().map(|model| model.name).collect())
    }

    async fn providers(&self) -> Vec<ProviderInfo> {
        let asked = request(ListProvidersRequest {});
        self.directory().list_providers(asked).await.unwrap().into_inner().providers
    }
}

#[tokio::test]
async fn models_are_found_by_their_names_and_descriptions_and_what_they_do_where() {
    let world = world().await;
    let found = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(world.found("", "", "").await, found(&["m", "vectors"]));
    for query in ["VECT", "bedd", "as num"] {
        assert_eq!(world.found(query, "", "").await, found(&["vectors"]), "{query}");
    }
    assert_eq!(world.found("nothing", "", "").await, found(&[]));
    assert_eq!(world.found("", "chat", "").await, found(&["m"]));
    assert_eq!(world.found("", "embeddings", "One").await, found(&["m"]));
    assert_eq!(world.found("vect", "embeddings", "Two").await, found(&["vectors"]));
    assert_eq!(world.found("", "painting", "").await, Err(Code::InvalidArgument));
}

#[tokio::test]
async fn providers_are_told_with_the_models_they_run_and_how_they_stand() {
    let world = world().await;
    let all = world.providers().await;
    let told: Vec<_> = all.iter().map(|p| (&*p.name, p.models.join(","), p.status(), p.is_healthy)).collect();
    let available = ModelStatus::Available;
    assert_eq!(told, [("One", "m".into(), available, true), ("Two", "m,vectors".into(), available, true)]);
    let wait = std::time::Duration::from_secs(3600);
    world.router.0.cooldowns.cool("target_1", Instant::now(), wait);
    let all = world.providers().await;
    assert_eq!([all[0].status(), all[1].status()], [ModelStatus::Cooling, available]);
    assert!(all[0].retry_after_ms > 0 && all[1].retry_after_ms == 0, "{all:?}");
}

#[tokio::test]
async fn a_key_is_told_what_it_may_and_nothing_of_the_rest() {
    let world = world().await;
    let features =
        async || world.directory().get_features(request(GetFeaturesRequest {})).await.unwrap().into_inner();
    let all = features().await;
    assert_eq!((all.operations.join(","), all.models), ("chat,embeddings".into(), 2));
    let changed = headgate_proto::auth::v1::KeyRecord {
        scopes: vec!["chat".into()],
        models: vec!["m".into()],
        expires_at_unix_ms: 4_000_000_000_500,
        ..key()
    };
    let message = headgate_proto::auth::v1::WatchKeysResponse { keys: vec![changed], ..Default::default() };
    world.router.0.keys.apply(message, Now { instant: Instant::now(), unix_ms: 0 });
    let some = features().await;
    assert_eq!((some.operations.join(","), some.models), ("chat".into(), 1));
    assert_eq!(world.providers().await[1].models, ["m"]);
    let caller = world.directory().get_caller(request(GetCallerRequest {})).await.unwrap().into_inner();
    assert_eq!((&*caller.tenant_id, &*caller.key_id, &*caller.prefix), ("tenant_1", "key_1", "demo"));
    assert_eq!((caller.scopes.join(","), caller.models.join(",")), ("chat".into(), "m".into()));
    let expire_time = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 500_000_000 };
    assert_eq!(caller.expire_time, Some(expire_time));
    let stranger = world.directory().get_caller(GetCallerRequest {}).await.unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated);
}
