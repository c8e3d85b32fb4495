use headgate_proto::catalog::v1::{
    DeleteModelRequest, GetModelRequest, ListModelsRequest, PatchModelRequest, UpdateModelRequest,
};

use headgate_proto::inference::v1::RequestDefaults;

use super::*;

on_both_engines!(
    a_model_is_kept_whole_over_a_restart_and_the_revision_only_rises,
    an_update_keeps_ids_of_targets_that_stay,
    bad_models_are_refused_and_change_nothing,
    models_are_listed_by_name,
    models_have_other_names_that_are_nobody_elses,
    models_are_found_by_what_they_say,
    a_patch_changes_what_is_set_and_nothing_else,
    a_patch_replaces_request_defaults_as_a_whole_and_an_empty_one_takes_them_away,
);

/// Something other than nothing for each, though some of it is 0.
fn request_defaults() -> RequestDefaults {
    RequestDefaults {
        max_output_tokens: Some(4096),
        temperature: Some(0.7),
        top_p: Some(0.0),
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(1.0 / 3.0),
        stop: vec!["\n\n".into(), "Ende".into()],
        seed: Some(i64::MIN),
    }
}

async fn a_model_is_kept_whole_over_a_restart_and_the_revision_only_rises(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let mut model = chat_model("org/m:1", &[("p", "z"), ("p", "a"), ("p", "k")]);
    model.operations.push(Operation::Embeddings.into());
    model.context_tokens = u32::MAX;
    model.aliases = vec!["alias/b".into(), "alias-a".into()];
    model.description = "Ein großes Modell\nfür alles".into();
    model.metadata = [("tier".to_owned(), "\"gold\"".to_owned())].into();
    model.engine = "llama.cpp b4321+cuda".into();
    model.request_defaults = Some(request_defaults());
    model.targets[1].weight = 0;
    model.targets[1].price =
        Some(Price { cached_input_nano_usd_per_1k_tokens: Some(7), ..Default::default() });
    model.targets[2].price = Some(Price { request_nano_usd: Some(0), ..Default::default() });
    model.price = Some(Price { request_nano_usd: Some(40_000_000), ..Default::default() });
    let made = fixture.model(model.clone()).await.unwrap();
    model.id.clone_from(&made.id);
    model.create_time = made.create_time;
    model.aliases.sort();
    (model.update_time, model.etag) = (made.create_time, made.etag.clone());
    for (given, assigned) in model.targets.iter_mut().zip(&made.targets) {
        assert!(assigned.id.starts_with("target_"));
        given.id.clone_from(&assigned.id);
    }
    assert_eq!(made, model, "nothing but ids, times and the etag is added");
    fixture.models().set_tenant_models(restrict("t", &[])).await.unwrap();
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
    let request = ListModelsRequest { page_size: 2, ..Default::default() };
    let page = fixture.models().list_models(request).await.unwrap().into_inner();
    assert_eq!(page.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let request = ListModelsRequest { page_size: 2, page_token: page.next_page_token, ..Default::default() };
    let page = fixture.models().list_models(request).await.unwrap().into_inner();
    assert_eq!((page.models[0].name.as_str(), page.next_page_token.as_str()), ("c", ""));
}

async fn models_have_other_names_that_are_nobody_elses(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let called = |name: &str, aliases: &[&str]| {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        Model { aliases, ..chat_model(name, &[("p", "a")]) }
    };
    let made = fixture.model(called("m", &["fast", "best", "fast"])).await.unwrap();
    assert_eq!(made.aliases, ["best", "fast"]);
    let read = GetModelRequest { name: "fast".into() };
    assert_eq!(fixture.models().get_model(read).await.unwrap().into_inner().model, Some(made.clone()));
    let before = fixture.everything();
    for (model, wanted) in [
        (called("fast", &[]), (ErrorReason::AlreadyExists, "name")),
        (called("n", &["m"]), (ErrorReason::AlreadyExists, "aliases")),
        (called("n", &["best"]), (ErrorReason::AlreadyExists, "aliases")),
        (called("n", &["n"]), (ErrorReason::InvalidRequest, "model.aliases")),
        (called("n", &["a b"]), (ErrorReason::InvalidRequest, "model.aliases[0]")),
    ] {
        let refusal = fixture.model(model).await.unwrap_err();
        assert_eq!(field(refusal), (wanted.0, wanted.1.into()));
    }
    assert_eq!(fixture.everything(), before);

    // A name that is given up is free at once, and what is gone has no other names.
    let model = Some(Model { aliases: vec!["best".into()], ..made });
    fixture.models().update_model(UpdateModelRequest { model, etag: String::new() }).await.unwrap();
    fixture.model(called("fast", &[])).await.unwrap();
    fixture
        .models()
        .delete_model(DeleteModelRequest { name: "m".into(), etag: String::new() })
        .await
        .unwrap();
    fixture.model(called("best", &[])).await.unwrap();
}

async fn models_are_found_by_what_they_say(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let chat = |name: &str| chat_model(name, &[("p", "a")]);
    fixture.model(Model { description: "For CODE and more".into(), ..chat("a") }).await.unwrap();
    fixture.model(Model { aliases: vec!["coder".into()], ..chat("b") }).await.unwrap();
    fixture.model(chat("encoder")).await.unwrap();
    fixture.model(chat("other")).await.unwrap();
    let find = async |query: &str| {
        let request = ListModelsRequest { query: query.into(), ..Default::default() };
        let found = fixture.models().list_models(request).await?.into_inner();
        Ok::<_, Status>(found.models.into_iter().map(|model| model.name).collect::<Vec<_>>())
    };
    assert_eq!(find("Code").await.unwrap(), ["a", "b", "encoder"]);
    assert!(find("none").await.unwrap().is_empty());
    assert_eq!(field(find(&"x".repeat(129)).await.unwrap_err()).1, "query");
}

async fn a_patch_changes_what_is_set_and_nothing_else(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let metadata = [("keep", "1"), ("drop", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let model = Model { metadata: metadata.into(), ..chat_model("m", &[("p", "a")]) };
    let made = fixture.model(model).await.unwrap();
    let patch = async |request: PatchModelRequest| {
        let request = PatchModelRequest { name: "m".into(), ..request };
        fixture.models().patch_model(request).await.map(|answer| answer.into_inner().model.unwrap())
    };
    assert_eq!(patch(PatchModelRequest::default()).await.unwrap(), made);
    let facts = [("drop", ""), ("new", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = PatchModelRequest {
        enabled: Some(false),
        description: Some("said".into()),
        metadata: facts.into(),
        etag: made.etag.clone(),
        ..Default::default()
    };
    let patched = patch(request.clone()).await.unwrap();
    let kept = [("keep", "1"), ("new", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Model { etag, update_time, .. } = patched.clone();
    let (description, metadata) = ("said".to_owned(), kept.into());
    assert_eq!(patched, Model { enabled: false, description, metadata, etag, update_time, ..made });

    let refusal = failure(patch(request).await.unwrap_err());
    assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &patched.etag));
    let price = Some(Price { input_nano_usd_per_1k_tokens: -1, ..Default::default() });
    for (request, wanted) in [
        (PatchModelRequest { price, ..Default::default() }, "price"),
        (PatchModelRequest { max_output_tokens: Some(0), ..Default::default() }, "max_output_tokens"),
        (PatchModelRequest { description: Some("x".repeat(2049)), ..Default::default() }, "description"),
    ] {
        let refusal = patch(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert_eq!(fixture.everything().models, [patched]);
}

async fn a_patch_replaces_request_defaults_as_a_whole_and_an_empty_one_takes_them_away(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let (engine, given) = ("vllm".to_owned(), Some(request_defaults()));
    let model = Model { engine, request_defaults: given.clone(), ..chat_model("m", &[("p", "a")]) };
    let made = fixture.model(model).await.unwrap();
    let patch = async |request: PatchModelRequest| {
        let request = PatchModelRequest { name: "m".into(), ..request };
        let patched = fixture.models().patch_model(request).await?.into_inner().model.unwrap();
        Ok::<_, Status>((patched.engine, patched.request_defaults))
    };
    // The longest answer may not become shorter than what is given by default.
    let shorter = PatchModelRequest { max_output_tokens: Some(4095), ..Default::default() };
    let refusal = field(patch(shorter).await.unwrap_err());
    assert_eq!(refusal, (ErrorReason::InvalidRequest, "request_defaults.max_output_tokens".into()));
    assert_eq!(fixture.everything().models, [made]);
    let other = PatchModelRequest { description: Some("x".into()), ..Default::default() };
    assert_eq!(patch(other).await.unwrap(), ("vllm".into(), given));
    let less = Some(RequestDefaults { seed: Some(0), ..Default::default() });
    let request = PatchModelRequest { request_defaults: less.clone(), ..Default::default() };
    assert_eq!(patch(request).await.unwrap(), ("vllm".into(), less));
    let request = PatchModelRequest {
        engine: Some(String::new()),
        request_defaults: Some(RequestDefaults::default()),
        ..Default::default()
    };
    assert_eq!(patch(request).await.unwrap(), (String::new(), None));
    let before = fixture.everything();
    drop(fixture);
    assert_eq!(Fixture::start(&db).await.everything(), before);
}
