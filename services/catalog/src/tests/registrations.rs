//! Models in short.

use headgate_proto::catalog::v1::model_registry_service_client::ModelRegistryServiceClient;
use headgate_proto::catalog::v1::{
    GetModelRequest, ListRegisteredModelsRequest, PatchModelRequest, RegisterModelRequest, RegisteredModel,
    UnregisterModelRequest, UpdateProviderRequest,
};
use headgate_proto::inference::v1::RequestDefaults;

use super::*;

on_both_engines!(
    what_is_registered_is_a_model_and_doing_it_again_changes_nothing,
    what_is_managed_is_never_overwritten,
    what_runs_a_model_and_its_defaults_are_registered_with_it_and_then_managed,
    what_a_registration_made_goes_with_its_last_model,
    bad_registrations_are_refused_by_field,
);

const URL: &str = "http://127.0.0.1:8000/v1";

impl Fixture {
    fn registrations(&self) -> ModelRegistryServiceClient<Operator> {
        let conn = local(self.catalog.registration_service());
        ModelRegistryServiceClient::new(as_operator(conn, "operator-token"))
    }

    async fn register(&self, name: &str, url: &str, task: &str) -> Result<RegisteredModel, Status> {
        self.register_as(RegisterModelRequest {
            served_name: name.into(),
            url: url.into(),
            task: task.into(),
            ..Default::default()
        })
        .await
    }

    async fn register_as(&self, request: RegisterModelRequest) -> Result<RegisteredModel, Status> {
        Ok(self.registrations().register_model(request).await?.into_inner().model.unwrap())
    }

    async fn unregister(&self, name: &str) -> Result<(), Status> {
        let request = UnregisterModelRequest { served_name: name.into(), etag: String::new() };
        self.registrations().unregister_model(request).await.map(drop)
    }

    fn provider_ids(&self) -> Vec<String> {
        self.everything().providers.into_iter().map(|record| record.provider.unwrap().id).collect()
    }
}

async fn what_is_registered_is_a_model_and_doing_it_again_changes_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let chat = fixture.register("org/a", &format!("{URL}/"), "generate").await.unwrap();
    assert_eq!((chat.served_name.as_str(), chat.url.as_str(), chat.task.as_str()), ("org/a", URL, "chat"));
    let embed = fixture.register("b", URL, "embed").await.unwrap();
    assert_eq!((embed.task.as_str(), &embed.provider_id), ("embeddings", &chat.provider_id));
    let read = GetModelRequest { name: "org/a".into() };
    let model = fixture.models().get_model(read).await.unwrap().into_inner().model.unwrap();
    assert!(model.enabled && model.id == chat.model_id && model.max_output_tokens == 4096);
    assert_eq!((model.targets.len(), model.targets[0].upstream_model.as_str()), (1, "org/a"));
    assert_eq!(model.price, Some(Price::default()));

    let before = fixture.everything();
    assert_eq!(before.providers.len(), 1);
    assert_eq!(fixture.register("org/a", URL, "").await.unwrap(), chat);
    assert_eq!(fixture.everything(), before, "it is there");
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.everything(), before);
    let list = async |page_token: String| {
        let request = ListRegisteredModelsRequest { page_size: 1, page_token };
        fixture.registrations().list_registered_models(request).await.unwrap().into_inner()
    };
    let first = list(String::new()).await;
    let second = list(first.next_page_token).await;
    assert_eq!((first.models, second.models, second.next_page_token.as_str()), (vec![embed], vec![chat], ""));
}

async fn what_is_managed_is_never_overwritten(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "sk-secret").await;
    let aliases = vec!["other".to_owned()];
    let model = Model { aliases, ..chat_model("m", &[("p", "upstream"), ("p", "second")]) };
    let made = fixture.model(model).await.unwrap();
    let before = fixture.everything();
    let at_p = "https://api.example.com/v1";
    let present = fixture.register("m", at_p, "chat").await.unwrap();
    assert_eq!(
        (present.model_id, present.provider_id),
        (made.id, "p".into()),
        "it has more, and is served there"
    );
    for (name, url, task, wanted) in
        [("m", URL, "chat", "url"), ("m", at_p, "embed", "task"), ("other", at_p, "chat", "served_name")]
    {
        let refusal = fixture.register(name, url, task).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::AlreadyExists, wanted.into()));
    }
    assert_eq!(fixture.everything(), before);

    // What was registered may be managed further.
    fixture.register("n", at_p, "").await.unwrap();
    let price = Some(Price { input_nano_usd_per_1k_tokens: 7, ..Default::default() });
    let patch = PatchModelRequest { name: "n".into(), price, ..Default::default() };
    fixture.models().patch_model(patch).await.unwrap();
    let before = fixture.everything();
    fixture.register("n", at_p, "").await.unwrap();
    assert_eq!(fixture.everything(), before);
    fixture.unregister("n").await.unwrap();
    assert_eq!(fixture.provider_ids(), ["p"], "nobody registered it");
}

async fn what_runs_a_model_and_its_defaults_are_registered_with_it_and_then_managed(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let wanted = |engine: &str, temperature| RegisterModelRequest {
        served_name: "m".into(),
        url: URL.into(),
        engine: engine.into(),
        request_defaults: Some(RequestDefaults { temperature, ..Default::default() }),
        ..Default::default()
    };
    let made = fixture.register_as(wanted("vllm", Some(0.5))).await.unwrap();
    let shown = (made.engine.as_str(), made.request_defaults.as_ref().unwrap().temperature);
    assert_eq!(shown, ("vllm", Some(0.5)));
    let before = fixture.everything();
    let model = &before.models[0];
    assert_eq!((&model.engine, &model.request_defaults), (&made.engine, &made.request_defaults));

    for again in [wanted("llama.cpp", Some(1.0)), wanted("", None)] {
        assert_eq!(fixture.register_as(again).await.unwrap(), made, "what is there stays");
    }
    assert_eq!(fixture.everything(), before);
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.everything(), before);

    let other = |request| RegisterModelRequest { served_name: "other".into(), ..request };
    let embeddings = RegisterModelRequest { task: "embed".into(), ..other(wanted("", Some(0.0))) };
    for (bad, field_at_fault) in [
        (other(wanted("<b>", None)), "engine"),
        (wanted("<b>", None), "engine"),
        (other(wanted("", Some(-1.0))), "request_defaults.temperature"),
        (embeddings, "request_defaults"),
    ] {
        let refusal = fixture.register_as(bad).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, field_at_fault.into()));
    }
    assert_eq!(fixture.everything(), before);
}

async fn what_a_registration_made_goes_with_its_last_model(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.register("a", URL, "").await.unwrap().provider_id;
    fixture.register("b", URL, "").await.unwrap();
    fixture.unregister("a").await.unwrap();
    assert_eq!(fixture.provider_ids(), [made.as_str()]);
    fixture.unregister("b").await.unwrap();
    assert!(fixture.everything().models.is_empty() && fixture.provider_ids().is_empty());
    assert_eq!(failure(fixture.unregister("b").await.unwrap_err()).reason, ErrorReason::NotFound);

    // One that is disabled takes no requests; whoever disabled it has their reasons.
    fixture.register("a", URL, "").await.unwrap();
    let disable = UpdateProviderRequest { id: made.clone(), is_active: Some(false), ..Default::default() };
    fixture.providers().update_provider(disable).await.unwrap();
    let other = fixture.register("b", URL, "").await.unwrap().provider_id;
    assert_ne!(other, made);
    // One that was given a credential is worth keeping.
    let key = UpdateProviderRequest { id: made.clone(), api_key: Some("sk-x".into()), ..Default::default() };
    fixture.providers().update_provider(key).await.unwrap();
    fixture.unregister("a").await.unwrap();
    assert!(fixture.provider_ids().contains(&made));
}

async fn bad_registrations_are_refused_by_field(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for (name, url, task, wanted) in [
        ("a b", URL, "", "served_name"),
        ("", URL, "", "served_name"),
        ("a", "ftp://x", "", "url"),
        ("a", "", "", "url"),
        ("a", URL, "sing", "task"),
    ] {
        let refusal = fixture.register(name, url, task).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert_eq!(fixture.everything().revision, 0);
    // A URL may be longer than a name for people.
    let long = format!("http://h/{}", "x".repeat(1000));
    let made = fixture.register("a", &long, "").await.unwrap();
    assert_eq!((made.url, fixture.provider_ids()), (long, vec![made.provider_id]));
}
