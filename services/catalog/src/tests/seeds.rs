//! What was set by call wins over what the bootstrap said before, until the bootstrap says something else.

use headgate_proto::catalog::v1::{
    DeleteDefaultModelRequest, DeleteModelRequest, DeleteProviderRequest, PatchModelRequest,
    SetDefaultModelRequest, SetTenantModelsRequest, UpdateProviderRequest,
};

use super::*;

on_both_engines!(
    what_was_changed_by_call_stands_until_its_entry_says_something_else,
    what_was_removed_by_call_stays_removed_until_its_entry_says_something_else,
    an_entry_that_was_taken_out_is_new_when_it_comes_back,
    what_was_applied_is_known_under_the_next_master_key,
    a_refused_bootstrap_applied_nothing,
);

fn bootstrap() -> Bootstrap {
    serde_json::from_value(serde_json::json!({
        "providers": [
            {"id": "p", "name": "P", "kind": "openai", "base_url": "http://h/v1", "api_key": "planted-first"},
            {"id": "q", "name": "Q", "kind": "echo"},
        ],
        "models": [
            {"name": "m", "operations": ["chat"], "max_output_tokens": 1,
             "price": {"input_usd_per_1m_tokens": "1"}, "targets": [{"provider": "p", "upstream_model": "u"}]},
            {"name": "n", "operations": ["chat"], "max_output_tokens": 1,
             "targets": [{"provider": "q", "upstream_model": "u"}]},
        ],
        "tenant_models": {"t": ["m"]},
        "default_model": "m",
    }))
    .unwrap()
}

async fn seeded(db: &TestDb, bootstrap: &Bootstrap) -> Fixture {
    let fixture = Fixture::start(db).await;
    fixture.catalog.bootstrap(bootstrap).await.unwrap();
    fixture
}

fn api_key(fixture: &Fixture) -> String {
    let sealed = fixture.everything().providers[0].credential.clone().unwrap();
    let opened = fixture.master_key.open("p", &sealed).unwrap().unwrap();
    secrecy::ExposeSecret::expose_secret(&opened).to_owned()
}

async fn change_everything(fixture: &Fixture) {
    let provider = UpdateProviderRequest {
        id: "p".into(),
        name: Some("renamed".into()),
        api_key: Some("rotated".into()),
        ..Default::default()
    };
    fixture.providers().update_provider(provider).await.unwrap();
    let price = Some(Price { input_nano_usd_per_1k_tokens: 7, ..Default::default() });
    let model = PatchModelRequest { name: "m".into(), enabled: Some(false), price, ..Default::default() };
    fixture.models().patch_model(model).await.unwrap();
    let list = SetTenantModelsRequest { restricted: Some(false), ..restrict("t", &[]) };
    fixture.models().set_tenant_models(list).await.unwrap();
    let default = SetDefaultModelRequest { model: "n".into(), ..Default::default() };
    fixture.default_models().set_default_model(default).await.unwrap();
}

async fn what_was_changed_by_call_stands_until_its_entry_says_something_else(db: TestDb) {
    let fixture = seeded(&db, &bootstrap()).await;
    change_everything(&fixture).await;
    let changed = fixture.everything();
    drop(fixture);
    let fixture = seeded(&db, &bootstrap()).await;
    assert_eq!(fixture.everything(), changed, "the same file undoes nothing");
    assert_eq!(api_key(&fixture), "rotated");

    // One entry changes, and nothing else does.
    let mut said = bootstrap();
    said.models[0].context_tokens = 9;
    drop(fixture);
    let fixture = seeded(&db, &said).await;
    let now = fixture.everything();
    let price = now.models[0].price.unwrap().input_nano_usd_per_1k_tokens;
    assert_eq!((now.models[0].context_tokens, now.models[0].enabled, price), (9, true, 1_000_000));
    assert_eq!((&now.providers, &now.tenant_models), (&changed.providers, &changed.tenant_models));
    assert_eq!((&now.models[1], &now.default_model), (&changed.models[1], &changed.default_model));

    // So does a secret alone.
    said.providers[0].api_key = Some("planted-second".into());
    fixture.catalog.bootstrap(&said).await.unwrap();
    assert_eq!(api_key(&fixture), "planted-second");
    said.tenant_models.insert("t".into(), vec!["n".into()]);
    fixture.catalog.bootstrap(&said).await.unwrap();
    assert_eq!(fixture.everything().tenant_models[0].models, ["n"]);
    assert_eq!(fixture.everything().default_model, changed.default_model);
    said.default_model = None;
    fixture.catalog.bootstrap(&said).await.unwrap();
    said.default_model = Some("m".into());
    fixture.catalog.bootstrap(&said).await.unwrap();
    assert_eq!(fixture.everything().default_model.unwrap().model, "m");
    let stored = db.bytes("catalog").await;
    assert!(!contains(&stored, b"planted-first") && !contains(&stored, b"planted-second"));
}

async fn what_was_removed_by_call_stays_removed_until_its_entry_says_something_else(db: TestDb) {
    let fixture = seeded(&db, &bootstrap()).await;
    fixture.default_models().delete_default_model(DeleteDefaultModelRequest::default()).await.unwrap();
    for name in ["m", "n"] {
        let request = DeleteModelRequest { name: name.into(), ..Default::default() };
        fixture.models().delete_model(request).await.unwrap();
    }
    let request = DeleteProviderRequest { id: "p".into(), ..Default::default() };
    fixture.providers().delete_provider(request).await.unwrap();
    let changed = fixture.everything();
    drop(fixture);
    let fixture = seeded(&db, &bootstrap()).await;
    assert_eq!(fixture.everything(), changed);

    let mut said = bootstrap();
    said.models[0].context_tokens = 9;
    let refusal = fixture.catalog.bootstrap(&said).await.unwrap_err();
    assert_eq!(refusal.metadata["field"], "bootstrap.models[0].targets[0].provider_id", "it was removed");
    said.providers[0].name = "back".into();
    fixture.catalog.bootstrap(&said).await.unwrap();
    let now = fixture.everything();
    assert_eq!((now.providers.len(), now.models.len(), now.default_model), (2, 1, None));
}

async fn an_entry_that_was_taken_out_is_new_when_it_comes_back(db: TestDb) {
    let fixture = seeded(&db, &bootstrap()).await;
    let delete = DeleteModelRequest { name: "n".into(), ..Default::default() };
    fixture.models().delete_model(delete).await.unwrap();
    fixture.catalog.bootstrap(&Bootstrap::default()).await.unwrap();
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    assert_eq!(fixture.everything().models.len(), 1, "who says nothing takes nothing out");
    let mut without = bootstrap();
    without.models.truncate(1);
    let before = fixture.everything();
    fixture.catalog.bootstrap(&without).await.unwrap();
    assert_eq!(fixture.everything(), before, "nothing is removed with its entry");
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    assert_eq!(fixture.everything().models.len(), 2);
}

async fn what_was_applied_is_known_under_the_next_master_key(db: TestDb) {
    let fixture = seeded(&db, &bootstrap()).await;
    change_everything(&fixture).await;
    let changed = fixture.everything().models;
    drop(fixture);
    let key = |digits: &str| MasterKey::parse(&digits.repeat(32)).unwrap();
    let known = || vec![MasterKey::parse(MASTER_KEY).unwrap()];
    for next in [key("c3").with_previous(known()), key("c3")] {
        let quiet = Config { probe_interval_ms: 0, ..Config::default() };
        let fixture = Fixture::sealing(&db, quiet, next).await;
        fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
        assert_eq!(fixture.everything().models, changed);
    }
    // What cannot be told is applied.
    let quiet = Config { probe_interval_ms: 0, ..Config::default() };
    let fixture = Fixture::sealing(&db, quiet, key("77")).await;
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    assert!(fixture.everything().models[0].enabled && !changed[0].enabled);
}

async fn a_refused_bootstrap_applied_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let mut said = bootstrap();
    said.default_model = Some("none".into());
    fixture.catalog.bootstrap(&said).await.unwrap_err();
    said.default_model = Some("n".into());
    fixture.catalog.bootstrap(&said).await.unwrap();
    let now = fixture.everything();
    assert_eq!((now.providers.len(), now.models.len()), (2, 2));
    assert_eq!(now.default_model.unwrap().model, "n");
}
