use headgate_proto::inference::v1::RequestDefaults;

use super::*;

on_both_engines!(
    a_bootstrap_is_one_revision_and_repeating_changes_nothing,
    a_bootstrap_changes_what_differs_and_keeps_what_it_does_not_name,
    a_bad_bootstrap_names_the_fault_and_changes_nothing,
);

fn bootstrap() -> Bootstrap {
    serde_json::from_str(
        r#"{
            "providers": [
                { "id": "echo", "name": "Echo", "kind": "echo" },
                { "id": "up", "name": "Upstream", "kind": "openai", "base_url": "http://127.0.0.1:8000/v1/",
                  "api_key": "sk-planted-secret", "deadlines": { "connect_ms": 500 } }
            ],
            "models": [
                { "name": "m", "operations": ["chat", "embeddings"], "max_output_tokens": 100, "engine": "vllm",
                  "request_defaults": { "max_output_tokens": 50, "temperature": 0.7, "top_p": 1, "seed": -7,
                      "frequency_penalty": 0.5, "presence_penalty": -0.5, "stop": ["END"] },
                  "price": { "input_usd_per_1m_tokens": "0.15", "output_usd_per_1m_tokens": 0.6 },
                  "targets": [
                      { "provider": "up", "upstream_model": "real" },
                      { "provider": "echo", "upstream_model": "echo", "weight": 0,
                        "price": { "cached_input_usd_per_1m_tokens": "1", "request_usd": "0.04" } }
                  ] }
            ],
            "tenant_models": { "t": ["m"] }
        }"#,
    )
    .unwrap()
}

async fn a_bootstrap_is_one_revision_and_repeating_changes_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let start = fixture.everything().revision;
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    let made = fixture.everything();
    assert_eq!(made.revision, start + 1);
    let model = &made.models[0];
    let wanted = Price {
        input_nano_usd_per_1k_tokens: 150_000,
        output_nano_usd_per_1k_tokens: 600_000,
        cached_input_nano_usd_per_1k_tokens: None,
        request_nano_usd: None,
    };
    assert!(model.enabled);
    assert_eq!((model.price, model.targets[0].weight, model.targets[0].price), (Some(wanted), 1, None));
    let other = model.targets[1].price.unwrap();
    let other = (other.cached_input_nano_usd_per_1k_tokens, other.request_nano_usd);
    assert_eq!((model.targets[1].weight, other), (0, (Some(1_000_000), Some(40_000_000))));
    let defaults = RequestDefaults {
        max_output_tokens: Some(50),
        temperature: Some(0.7),
        top_p: Some(1.0),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-0.5),
        stop: vec!["END".into()],
        seed: Some(-7),
    };
    assert_eq!((model.engine.as_str(), &model.request_defaults), ("vllm", &Some(defaults)));
    assert_eq!(made.tenant_models[0].models, ["m"]);

    fixture.clock.advance(std::time::Duration::from_secs(60));
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    assert_eq!(fixture.everything(), made);
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    assert_eq!(fixture.everything(), made, "not even after a restart");
    assert!(!contains(&db.bytes("catalog").await, b"sk-planted-secret"));
}

async fn a_bootstrap_changes_what_differs_and_keeps_what_it_does_not_name(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.catalog.bootstrap(&bootstrap()).await.unwrap();
    let made = fixture.everything();
    let mut changed = bootstrap();
    changed.providers[1].api_key = None;
    changed.models[0].price.input_usd_per_1m_tokens = "0.2".parse().unwrap();
    changed.tenant_models.clear();
    fixture.catalog.bootstrap(&changed).await.unwrap();
    let now = fixture.everything();
    assert_eq!(now.revision, made.revision + 1);
    assert_eq!((&now.providers, &now.tenant_models), (&made.providers, &made.tenant_models));
    assert_eq!(now.models[0].price.unwrap().input_nano_usd_per_1k_tokens, 200_000);
    assert_eq!((&now.models[0].id, &now.models[0].targets), (&made.models[0].id, &made.models[0].targets));

    changed.providers[1].api_key = Some("sk-another".into());
    fixture.catalog.bootstrap(&changed).await.unwrap();
    assert_ne!(fixture.everything().providers[1].credential, made.providers[1].credential);
}

async fn a_bad_bootstrap_names_the_fault_and_changes_nothing(db: TestDb) {
    type Spoil = fn(&mut Bootstrap);
    let faults: [(Spoil, &str); 10] = [
        (|b| b.models[0].engine = "<b>".into(), "bootstrap.models[0].engine"),
        (|b| b.models[0].request_defaults.top_p = Some(2.0), "bootstrap.models[0].request_defaults.top_p"),
        (|b| b.providers[1].base_url.clear(), "bootstrap.providers[1].base_url"),
        (|b| b.providers[0].id = "up".into(), "bootstrap.providers[1].id"),
        (|b| b.providers[0].name = "Upstream".into(), "bootstrap.providers[1].name"),
        (|b| b.providers[1].api_key = Some("[redacted]".into()), "bootstrap.providers[1].api_key"),
        (|b| b.models[0].targets[1].provider = "none".into(), "bootstrap.models[0].targets[1].provider_id"),
        (|b| b.models[0].max_output_tokens = 0, "bootstrap.models[0].max_output_tokens"),
        (|b| b.models.push(b.models[0].clone()), "bootstrap.models[1].name"),
        (|b| drop(b.tenant_models.insert("t".into(), vec![String::new()])), "bootstrap.tenant_models.t[0]"),
    ];
    let fixture = Fixture::start(&db).await;
    let before = fixture.everything();
    for (spoil, wanted) in faults {
        let mut bootstrap = bootstrap();
        spoil(&mut bootstrap);
        let fault = fixture.catalog.bootstrap(&bootstrap).await.unwrap_err();
        assert_eq!(fault.metadata["field"], wanted);
    }
    assert_eq!(fixture.everything(), before);
}

#[test]
fn a_bootstrap_is_printed_without_its_secrets_and_read_strictly() {
    let bootstrap = bootstrap();
    let json = serde_json::to_string(&bootstrap).unwrap();
    assert!(!format!("{bootstrap:?} {json}").contains("sk-planted-secret"));
    assert!(json.contains("[redacted]") && json.contains(r#""input_usd_per_1m_tokens":"0.15""#), "{json}");
    let read = |json| serde_json::from_str::<Bootstrap>(json).map(drop).map_err(|e| e.to_string());
    assert!(read(r#"{"provider": []}"#).is_err());
    assert!(serde_json::from_str::<Config>(r#"{"x": 1}"#).is_err());
    let price = r#"{"models": [{"name": "m", "operations": [], "targets": [],
        "price": {"input_usd_per_1m_tokens": "0.1234567"}}]}"#;
    assert!(read(price).unwrap_err().contains("at most 6 decimal places"));
}
