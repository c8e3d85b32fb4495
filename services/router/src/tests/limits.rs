//! How often, where and for how long the router tries.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::catalog::v1::{DefaultModel, TenantModels, WatchCatalogResponse};
use headgate_proto::inference::v1::{ChatRequest, InferenceServiceStub};

use super::ask::{question, request};
use super::peers::{catalog, key};
use super::world::World;
use crate::Config;

fn rate_limited(seconds: u64) -> Failure {
    Failure::new(ErrorReason::UpstreamRateLimited, "slow down").retry_after(Duration::from_secs(seconds))
}

/// Asks once. The targets that were tried, and the failure if there was one.
async fn ask(world: &World) -> (Vec<String>, Option<Failure>) {
    let router = InferenceServiceStub::new(world.router.conn());
    let failure = router.chat(request(question())).await.err().map(|status| Failure::from_status(&status));
    let asked = std::mem::take(&mut world.peers.seen.lock().chats).into_iter();
    (asked.map(|(asked, _)| asked.target.unwrap().target_id).collect(), failure)
}

#[tokio::test]
async fn a_target_that_asked_for_it_is_left_alone() {
    let world = World::new().await;
    world.peers.failures.lock().push_back(rate_limited(60));
    assert_eq!(ask(&world).await, (vec!["target_1".into(), "target_2".into()], None));
    assert_eq!(ask(&world).await, (vec!["target_2".into()], None));
    world.peers.failures.lock().push_back(rate_limited(30));
    assert_eq!(ask(&world).await.0, ["target_2"]);
    let (tried, failure) = ask(&world).await;
    let failure = failure.unwrap();
    assert_eq!((tried.len(), failure.reason), (0, ErrorReason::NoTarget));
    let back = failure.retry_after.unwrap();
    assert!((29..=30).contains(&back.as_secs()), "the first that is back counts: {back:?}");
}

#[tokio::test]
async fn a_consumer_waits_for_the_first_target_that_is_back() {
    for waits in [[60, 30], [30, 60]] {
        let world = World::new().await;
        world.peers.failures.lock().extend(waits.map(rate_limited));
        let (tried, failure) = ask(&world).await;
        let failure = failure.unwrap();
        assert_eq!((tried.len(), failure.reason), (2, ErrorReason::UpstreamRateLimited));
        let back = failure.retry_after.unwrap();
        assert!((29..=30).contains(&back.as_secs()), "after {waits:?}: {back:?}");
    }
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_tried_when_no_other_is_left() {
    let world = World::new().await;
    let broken = || Failure::new(ErrorReason::UpstreamFailed, "out of order");
    let (first, second) = (|| "target_1".to_owned(), || "target_2".to_owned());
    for _ in 0..3 {
        world.peers.failures.lock().push_back(broken());
        assert_eq!(ask(&world).await, (vec![first(), second()], None));
    }
    assert_eq!(ask(&world).await, (vec![second()], None));
    world.peers.failures.lock().push_back(broken());
    assert_eq!(ask(&world).await, (vec![second(), first()], None));
    // It is well again.
    assert_eq!(ask(&world).await, (vec![first()], None));
}

#[tokio::test]
async fn a_request_tries_as_many_targets_as_it_may() {
    let world = World::with(Config { max_attempts: 1, ..Config::default() }, 1 << 30).await;
    world.peers.failures.lock().push_back(rate_limited(60));
    let (tried, failure) = ask(&world).await;
    let failure = failure.unwrap();
    assert_eq!((tried, failure.reason), (vec!["target_1".into()], ErrorReason::UpstreamRateLimited));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(1)), "the other target is free");
}

#[tokio::test(start_paused = true)]
async fn an_admission_is_waited_for_five_seconds() {
    let world = World::new().await;
    world.peers.undecided.store(true, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    let (tried, failure) = tokio::time::timeout(Duration::from_secs(60), ask(&world)).await.unwrap();
    assert_eq!((tried.len(), failure.unwrap().reason), (0, ErrorReason::Unavailable));
    assert_eq!(begun.elapsed().as_secs(), 5);
    let seen = world.peers.seen.lock();
    assert_eq!((seen.releases.len(), seen.settles.len()), (1, 0), "what it may hold is given back");
}

#[tokio::test]
async fn a_target_whose_provider_is_unwell_is_tried_when_no_other_is_left() {
    let world = World::new().await;
    let broken = || Failure::new(ErrorReason::UpstreamFailed, "out of order");
    let (first, second) = (|| "target_1".to_owned(), || "target_2".to_owned());
    let say = |is_healthy| {
        let mut record = catalog().providers.remove(0);
        record.provider.as_mut().unwrap().is_healthy = is_healthy;
        let (revision, providers) = (catalog().revision, vec![record]);
        world.router.0.models.apply(WatchCatalogResponse { revision, providers, ..Default::default() });
    };
    say(false);
    assert_eq!(ask(&world).await, (vec![second()], None));
    world.peers.failures.lock().push_back(broken());
    assert_eq!(ask(&world).await, (vec![second(), first()], None));
    say(true);
    assert_eq!(ask(&world).await, (vec![first()], None));
}

#[tokio::test]
async fn a_model_is_asked_for_by_its_other_names_and_recorded_by_its_own() {
    let mut world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    let by = |name: &str| request(ChatRequest { model: name.into(), ..question() });
    let say = |aliases: &[&str]| {
        let mut model = catalog().models.remove(0);
        model.aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        let (revision, models) = (catalog().revision + 1, vec![model]);
        world.router.0.models.apply(WatchCatalogResponse { revision, models, ..Default::default() });
    };
    say(&["fast", "best"]);
    router.chat(by("fast")).await.unwrap();
    say(&["best"]);
    let refusal = Failure::from_status(&router.chat(by("fast")).await.unwrap_err());
    assert_eq!(refusal.reason, ErrorReason::ModelNotFound);
    assert_eq!(world.router.0.models.current().entries().count(), 1, "a name more is no model more");
    assert_eq!(world.record().await.model, "m");
}

#[tokio::test]
async fn what_asks_for_the_default_gets_the_model_that_it_stands_for() {
    let mut world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    let ask = async || {
        let asked = router.chat(request(ChatRequest { model: "default".into(), ..question() })).await;
        asked.map(drop).map_err(|status| Failure::from_status(&status).reason)
    };
    let models = &world.router.0.models;
    let revision = catalog().revision + 1;
    let say = |model_id: &str| {
        let default_model = Some(DefaultModel { model_id: model_id.into(), ..Default::default() });
        models.apply(WatchCatalogResponse { revision, default_model, ..Default::default() });
    };
    assert_eq!(ask().await, Err(ErrorReason::ModelNotFound));
    say(&catalog().models[0].id);
    ask().await.unwrap();
    // What is said of something else leaves it.
    models.apply(WatchCatalogResponse { revision, models: catalog().models, ..Default::default() });
    ask().await.unwrap();
    let tenant_models = vec![TenantModels {
        tenant_id: key().tenant_id,
        restricted: true,
        models: vec!["default".into()],
        ..Default::default()
    }];
    models.apply(WatchCatalogResponse { revision, tenant_models, ..Default::default() });
    assert_eq!(ask().await, Err(ErrorReason::ModelNotFound), "the model itself is not on the list");
    let kept = models.snapshot();
    say("");
    assert_eq!(models.snapshot().default_model.unwrap().model_id, "");
    models.apply(WatchCatalogResponse { tenant_models: Vec::new(), ..kept });
    ask().await.unwrap();
    models.apply(catalog());
    assert_eq!(ask().await, Err(ErrorReason::ModelNotFound));
    assert_eq!(world.record().await.model, "m");
}
