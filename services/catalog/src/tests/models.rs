use headgate_proto::catalog::v1::{
    DeleteModelRequest, GetModelRequest, GetTenantModelsRequest, ListModelsRequest, SetTenantModelsRequest,
    SetTenantModelsResponse, UpdateModelRequest,
};

use super::*;

on_both_engines!(
    a_model_is_kept_whole_over_a_restart_and_the_revision_only_rises,
    an_update_keeps_ids_of_targets_that_stay,
    bad_models_are_refused_and_change_nothing,
    models_are_listed_by_name,
    a_restriction_lists_names_until_it_is_lifted,
);

async fn a_model_is_kept_whole_over_a_restart_and_the_revision_only_rises(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let mut model = chat_model("org/m:1", &[("p", "z"), ("p", "a"), ("p", "k")]);
    model.operations.push(Operation::Embeddings.into());
    model.context_tokens = u32::MAX;
    model.targets[1].weight = 0;
    model.targets[1].price =
        Some(Price { cached_input_nano_usd_per_1k_tokens: Some(7), ..Default::default() });
    model.targets[2].price = Some(Price { request_nano_usd: Some(0), ..Default::default() });
    model.price = Some(Price { request_nano_usd: Some(40_000_000), ..Default::default() });
    let made = fixture.model(model.clone()).await.unwrap();
    model.id.clone_from(&made.id);
    model.create_time = made.create_time;
    (model.update_time, model.etag) = (made.create_time, made.etag.clone());
    for (given, assigned) in model.targets.iter_mut().zip(&made.targets) {
        assert!(assigned.id.starts_with("target_"));
        given.id.clone_from(&assigned.id);
    }
    assert_eq!(made, model, "nothing but ids, times and the etag is added");
    let list = SetTenantModelsRequest { tenant_id: "t".into(), restricted: true, models: vec![] };
    fixture.models().set_tenant_models(list).await.unwrap();
    let before = fixture.everything();
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.everything(), before);
    fixture
        .models()
        .delete_model(DeleteModelRequest { name: "org/m:1".into(), etag: String::new() })
        .await
        .unwrap();
    assert_eq!(fixture.everything().revision, before.revision + 1);
}

async fn an_update_keeps_ids_of_targets_that_stay(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    fixture.provider("q", "").await;
    let made = fixture.model(chat_model("m", &[("p", "a"), ("q", "a")])).await.unwrap();
    let mut wanted = chat_model("renamed", &[("q", "b"), ("q", "a")]);
    wanted.id.clone_from(&made.id);
    wanted.targets[1].weight = 9;
    fixture.clock.advance(std::time::Duration::from_secs(60));
    let request = UpdateModelRequest { model: Some(wanted), etag: String::new() };
    let updated = fixture.models().update_model(request.clone()).await.unwrap().into_inner().model.unwrap();
    assert_eq!((&updated.id, updated.create_time), (&made.id, made.create_time));
    assert_eq!((&updated.targets[1].id, updated.targets[1].weight), (&made.targets[1].id, 9));
    assert!(made.targets.iter().all(|target| target.id != updated.targets[0].id));
    let refusal = fixture.models().get_model(GetModelRequest { name: "m".into() }).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound, "the old name is gone");

    let revision = fixture.everything().revision;
    fixture.models().update_model(request).await.unwrap();
    assert_eq!(fixture.everything().revision, revision, "what is the same is no change");
}

async fn bad_models_are_refused_and_change_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let other = fixture.model(chat_model("other", &[("p", "a")])).await.unwrap();
    let before = fixture.everything();

    let refusal = fixture.model(chat_model("n", &[("p", "a"), ("none", "a")])).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "model.targets[1].provider_id".into()));
    let refusal = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "name".into()));
    let refusal = fixture.models().create_model(CreateModelRequest { model: None }).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "model".into()));
    let request =
        UpdateModelRequest { model: Some(Model { name: "m".into(), ..other }), etag: String::new() };
    let refusal = fixture.models().update_model(request).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "name".into()));
    let request = UpdateModelRequest { model: Some(chat_model("n", &[("p", "a")])), etag: String::new() };
    let refusal = fixture.models().update_model(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
    let request = DeleteModelRequest { name: "none".into(), etag: String::new() };
    let refusal = fixture.models().delete_model(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
    assert_eq!(fixture.everything(), before);
}

async fn models_are_listed_by_name(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    for name in ["b", "a", "c"] {
        fixture.model(chat_model(name, &[("p", "x")])).await.unwrap();
    }
    let request = ListModelsRequest { page_size: 2, page_token: String::new() };
    let page = fixture.models().list_models(request).await.unwrap().into_inner();
    assert_eq!(page.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let request = ListModelsRequest { page_size: 2, page_token: page.next_page_token };
    let page = fixture.models().list_models(request).await.unwrap().into_inner();
    assert_eq!((page.models[0].name.as_str(), page.next_page_token.as_str()), ("c", ""));
}

async fn a_restriction_lists_names_until_it_is_lifted(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let set = async |restricted, names: &[&str]| {
        let models = names.iter().map(|&name| name.to_owned()).collect();
        let request = SetTenantModelsRequest { tenant_id: "t".into(), restricted, models };
        fixture.models().set_tenant_models(request).await.map(tonic::Response::into_inner)
    };
    let get = async || {
        let request = GetTenantModelsRequest { tenant_id: "t".into() };
        let got = fixture.models().get_tenant_models(request).await.unwrap().into_inner();
        (got.restricted, got.models)
    };
    assert_eq!(get().await, (false, vec![]));
    let answer = set(true, &["b", "a", "b"]).await.unwrap();
    assert_eq!(answer, SetTenantModelsResponse { restricted: true, models: vec!["a".into(), "b".into()] });
    assert_eq!(get().await, (true, answer.models));
    set(true, &[]).await.unwrap();
    assert_eq!(get().await, (true, vec![]));
    set(false, &[]).await.unwrap();
    assert_eq!(get().await, (false, vec![]));
    assert_eq!(field(set(false, &["a"]).await.unwrap_err()), (ErrorReason::InvalidRequest, "models".into()));
    assert_eq!(field(set(true, &["a b"]).await.unwrap_err()).1, "models[0]");
}
