use headgate_proto::inference::v1::RequestDefaults;

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
fn what_runs_a_model_is_told_in_a_few_plain_characters() {
    for good in ["", "vllm", "llama.cpp b4321+cuda", "nvcr.io/nim:1.8@x_y-z", &"e".repeat(64)] {
        assert!(engine("engine", good).is_ok(), "{good}");
    }
    for bad in [" ", "vllm ", " vllm", "v\nllm", "<b>", "größe", &"e".repeat(65)] {
        assert!(engine("engine", bad).is_err(), "{bad}");
    }
}

#[test]
fn request_defaults_are_what_a_request_may_say() {
    type Say = fn(&mut RequestDefaults);
    let said = |say: Say, most| {
        let mut defaults = RequestDefaults::default();
        say(&mut defaults);
        request_defaults("d", Some(defaults), most).map_err(|refusal| refusal.metadata["field"].clone())
    };
    let good: [Say; 8] = [
        |d| d.max_output_tokens = Some(100),
        |d| d.temperature = Some(2.0),
        |d| d.top_p = Some(0.0),
        |d| d.frequency_penalty = Some(-2.0),
        |d| d.presence_penalty = Some(2.0),
        |d| d.stop = vec!["ß".repeat(256); 4],
        |d| d.seed = Some(i64::MAX),
        |d| d.temperature = Some(0.0),
    ];
    for say in good {
        assert!(said(say, Some(100)).unwrap().is_some());
        assert_eq!(said(say, None).unwrap_err(), "d", "for chat only");
    }
    let bad: [(Say, &str); 10] = [
        (|d| d.max_output_tokens = Some(0), "d.max_output_tokens"),
        (|d| d.max_output_tokens = Some(101), "d.max_output_tokens"),
        (|d| d.temperature = Some(2.1), "d.temperature"),
        (|d| d.temperature = Some(f64::NAN), "d.temperature"),
        (|d| d.top_p = Some(-0.1), "d.top_p"),
        (|d| d.frequency_penalty = Some(f64::NEG_INFINITY), "d.frequency_penalty"),
        (|d| d.presence_penalty = Some(2.1), "d.presence_penalty"),
        (|d| d.stop = vec!["x".into(); 5], "d.stop"),
        (|d| d.stop = vec!["x".into(), String::new()], "d.stop[1]"),
        (|d| d.stop = vec!["x".repeat(257)], "d.stop[0]"),
    ];
    for (say, field) in bad {
        assert_eq!(said(say, Some(100)).unwrap_err(), field);
    }
    for most in [Some(100), None] {
        assert_eq!(said(|_| {}, most).unwrap(), None, "what says nothing is not kept");
    }
}

#[test]
fn a_model_s_request_defaults_are_checked_as_its_own() {
    let with = |operations: Vec<i32>, limit| Model {
        operations,
        request_defaults: Some(RequestDefaults { max_output_tokens: limit, ..Default::default() }),
        ..good()
    };
    assert!(model("model", with(vec![1, 2], Some(1))).unwrap().request_defaults.is_some());
    assert_eq!(model("model", with(vec![2], None)).unwrap().request_defaults, None);
    for (operations, field) in
        [(vec![1], "model.request_defaults.max_output_tokens"), (vec![2], "model.request_defaults")]
    {
        assert_eq!(model("model", with(operations, Some(2))).unwrap_err().metadata["field"], field);
    }
    let other = Model { engine: "<b>".into(), ..good() };
    assert_eq!(model("model", other).unwrap_err().metadata["field"], "model.engine");
}

#[test]
fn a_model_without_chat_needs_no_longest_answer() {
    let embeddings = Model { operations: vec![2], max_output_tokens: 0, ..good() };
    assert!(model("model", embeddings).is_ok());
}
