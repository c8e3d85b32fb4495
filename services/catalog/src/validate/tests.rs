use super::*;

fn good() -> Model {
    Model {
        name: "org/model-1:latest@v2".into(),
        operations: vec![2, 1, 1],
        targets: vec![ModelTarget {
            provider_id: "p".into(),
            upstream_model: "m".into(),
            ..Default::default()
        }],
        max_output_tokens: 1,
        ..Default::default()
    }
}

#[test]
fn base_urls_are_plain_and_lose_their_last_slash() {
    let url = |url| base_url("base_url", ProviderKind::Openai, url);
    assert_eq!(url("https://api.example.com/v1/").unwrap(), "https://api.example.com/v1");
    assert_eq!(url("http://127.0.0.1:8000").unwrap(), "http://127.0.0.1:8000");
    assert_eq!(url("http://[::1]:8000/v1").unwrap(), "http://[::1]:8000/v1");
    for bad in [
        "",
        "api.example.com",
        "/v1",
        "ftp://a/v1",
        "https://",
        "https://a/v1?x=1",
        "https://a/v1#x",
        "https://user:pass@a/v1",
        "https://user@a",
        "http://a:99999",
        "http://a:",
        "http://a b",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
    assert_eq!(base_url("base_url", ProviderKind::Echo, "").unwrap(), "");
    assert!(base_url("base_url", ProviderKind::Echo, "http://a").is_err());
}

#[test]
fn a_good_model_is_kept_in_one_form() {
    let kept = model("model", good()).unwrap();
    assert_eq!(kept.operations, [1, 2]);
    assert_eq!(kept.price, Some(Price::default()));
}

#[test]
fn a_bad_model_is_refused_by_the_field_at_fault() {
    type Spoil = fn(&mut Model);
    let faults: [(Spoil, &str); 14] = [
        (|m| m.name.clear(), "model.name"),
        (|m| m.name = "a b".into(), "model.name"),
        (|m| m.name = "m".repeat(129), "model.name"),
        (|m| m.operations.clear(), "model.operations"),
        (|m| m.operations.push(0), "model.operations"),
        (|m| m.operations.push(99), "model.operations"),
        (|m| m.max_output_tokens = 0, "model.max_output_tokens"),
        (|m| m.price = Some(Price { input_nano_usd_per_1k_tokens: -1, ..Default::default() }), "model.price"),
        (|m| m.targets.clear(), "model.targets"),
        (|m| m.targets[0].upstream_model.clear(), "model.targets[0].upstream_model"),
        (|m| m.targets[0].weight = u32::MAX, "model.targets[0].weight"),
        (|m| m.targets.push(m.targets[0].clone()), "model.targets[1].upstream_model"),
        (
            |m| {
                let cached_input_nano_usd_per_1k_tokens = Some(-1);
                m.targets[0].price =
                    Some(Price { cached_input_nano_usd_per_1k_tokens, ..Default::default() });
            },
            "model.targets[0].price",
        ),
        (
            |m| m.price = Some(Price { request_nano_usd: Some(-1), ..Default::default() }),
            "model.price.request_nano_usd",
        ),
    ];
    for (spoil, wanted) in faults {
        let mut spoiled = good();
        spoil(&mut spoiled);
        assert_eq!(model("model", spoiled).unwrap_err().metadata["field"], wanted);
    }
}

#[test]
fn a_model_without_chat_needs_no_longest_answer() {
    let embeddings = Model { operations: vec![2], max_output_tokens: 0, ..good() };
    assert!(model("model", embeddings).is_ok());
}
