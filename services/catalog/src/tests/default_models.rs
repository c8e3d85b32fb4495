//! The model that `default` stands for.

use headgate_proto::catalog::v1::{
    DefaultModel, DeleteDefaultModelRequest, DeleteModelRequest, GetDefaultModelRequest,
    SetDefaultModelRequest, UpdateModelRequest, WatchCatalogRequest,
};

use super::*;

on_both_engines!(
    a_default_is_kept_until_it_is_another_or_none,
    a_default_cannot_be_taken_away_unseen,
    of_two_changes_of_the_default_one_succeeds,
    a_bootstrap_names_the_default,
);

impl Fixture {
    async fn default_model(&self) -> Result<DefaultModel, Failure> {
        let request = GetDefaultModelRequest {};
        let read = self.default_models().get_default_model(request).await.map_err(failure)?;
        Ok(read.into_inner().default_model.unwrap())
    }

    async fn set_default(&self, model: &str, etag: &str) -> Result<DefaultModel, Status> {
        let request = SetDefaultModelRequest { model: model.into(), etag: etag.into() };
        let set = self.default_models().set_default_model(request).await?;
        Ok(set.into_inner().default_model.unwrap())
    }

    async fn delete_default(&self, etag: &str) -> Result<(), Status> {
        let request = DeleteDefaultModelRequest { etag: etag.into() };
        self.default_models().delete_default_model(request).await.map(drop)
    }

    /// A model at the provider `p`.
    async fn plain(&self, name: &str, aliases: &[&str]) -> Result<Model, Status> {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        self.model(Model { aliases, ..chat_model(name, &[("p", "a")]) }).await
    }
}

async fn a_default_is_kept_until_it_is_another_or_none(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let made = fixture.plain("m", &["fast"]).await.unwrap();
    fixture.plain("other", &[]).await.unwrap();
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().default_model, None);
    assert_eq!(fixture.default_model().await.unwrap_err().reason, ErrorReason::NotFound);

    let set = fixture.set_default("fast", "").await.unwrap();
    assert_eq!((set.model.as_str(), &set.model_id), ("m", &made.id));
    assert!(set.update_time.is_some() && !set.etag.is_empty());
    assert_eq!(fixture.default_model().await, Ok(set.clone()));
    assert_eq!(stream.message().await.unwrap().unwrap().default_model, Some(set.clone()));
    let revision = fixture.everything().revision;
    assert_eq!(fixture.set_default("m", "").await.unwrap(), set);
    assert_eq!(fixture.everything().revision, revision, "what is the same is no change");

    // It is the model, by whatever name.
    let renamed = Model { name: "renamed".into(), ..made };
    let request = UpdateModelRequest { model: Some(renamed), etag: String::new() };
    fixture.models().update_model(request).await.unwrap();
    let by_new_name = DefaultModel { model: "renamed".into(), ..set };
    assert_eq!(fixture.default_model().await, Ok(by_new_name.clone()));
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.default_model().await, Ok(by_new_name.clone()));
    assert_eq!(fixture.everything().default_model, Some(by_new_name));

    assert_eq!(fixture.set_default("other", "").await.unwrap().model, "other");
    fixture.delete_default("").await.unwrap();
    assert_eq!(fixture.default_model().await.unwrap_err().reason, ErrorReason::NotFound);
    assert_eq!(failure(fixture.delete_default("").await.unwrap_err()).reason, ErrorReason::NotFound);
    drop(fixture);
    assert_eq!(Fixture::start(&db).await.everything().default_model, None);
}

async fn a_default_cannot_be_taken_away_unseen(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let refusal = fixture.set_default("none", "").await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "model".into()));
    fixture.plain("m", &[]).await.unwrap();
    fixture.plain("x", &["default"]).await.unwrap();
    let refusal = fixture.set_default("m", "").await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::Conflict, "model".into()), "`x` is called so");
    let delete = |name: &str| DeleteModelRequest { name: name.into(), etag: String::new() };
    fixture.models().delete_model(delete("x")).await.unwrap();
    fixture.set_default("m", "").await.unwrap();

    let before = fixture.everything();
    let refusal = fixture.plain("x", &["default"]).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "aliases".into()));
    let refusal = fixture.plain("default", &[]).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::AlreadyExists, "name".into()));
    let refusal = fixture.models().delete_model(delete("m")).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Conflict);
    assert_eq!(fixture.everything(), before);
    fixture.delete_default("").await.unwrap();
    fixture.models().delete_model(delete("m")).await.unwrap();
    fixture.plain("default", &[]).await.unwrap();
}

async fn of_two_changes_of_the_default_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    for name in ["a", "b"] {
        fixture.plain(name, &[]).await.unwrap();
    }
    let first = fixture.set_default("a", "").await.unwrap();
    let second = fixture.set_default("b", &first.etag).await.unwrap();
    for refusal in
        [fixture.set_default("a", &first.etag).await.map(drop), fixture.delete_default(&first.etag).await]
    {
        let refusal = failure(refusal.unwrap_err());
        assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &second.etag));
    }
    fixture.delete_default(&second.etag).await.unwrap();
    let refusal = failure(fixture.set_default("a", &second.etag).await.unwrap_err());
    assert_eq!((refusal.reason, refusal.metadata["etag"].as_str()), (ErrorReason::Conflict, ""));
}

async fn a_bootstrap_names_the_default(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let bootstrap = |default: &str| -> Bootstrap {
        serde_json::from_value(serde_json::json!({
            "providers": [{"id": "echo", "name": "echo", "kind": "echo"}],
            "models": [{"name": "m", "operations": ["chat"], "max_output_tokens": 1,
                        "targets": [{"provider": "echo", "upstream_model": "echo"}]}],
            "default_model": default,
        }))
        .unwrap()
    };
    let refusal = fixture.catalog.bootstrap(&bootstrap("none")).await.unwrap_err();
    assert_eq!(refusal.metadata["field"], "bootstrap.default_model");
    assert_eq!(bootstrap("a b").problems(true)[0].path, "bootstrap.default_model");
    fixture.catalog.bootstrap(&bootstrap("m")).await.unwrap();
    assert_eq!(fixture.default_model().await.unwrap().model, "m");
    let revision = fixture.everything().revision;
    fixture.catalog.bootstrap(&bootstrap("m")).await.unwrap();
    assert_eq!(fixture.everything().revision, revision);
}
