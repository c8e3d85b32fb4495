use super::*;

const MIB: usize = 1024 * 1024;

fn reply(extra: &str) -> Result<Reply, Failure> {
    let body = format!(
        r#"{{"model":"echo","messages":[{{"role":"system","content":"be kind"}},{{"role":"user","content":"one  two\nthree"}},{{"role":"assistant"}}]{extra}}}"#
    );
    Reply::new(body.as_bytes(), MIB)
}

fn streamed(extra: &str) -> Vec<serde_json::Value> {
    let events: Vec<Bytes> = events(reply(extra).unwrap(), "chatcmpl-1", 7).collect();
    let (last, data) = events.split_last().unwrap();
    assert_eq!(last.as_ref(), b"data: [DONE]\n\n");
    let json = |event: &Bytes| {
        let text = std::str::from_utf8(event).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
    };
    data.iter().map(json).collect()
}

/// One choice's text and finish reason, from a stream.
fn choice(events: &[serde_json::Value], index: u64) -> (String, String) {
    let (mut text, mut finish) = (String::new(), String::new());
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        if choice["index"] == index {
            text += choice["delta"]["content"].as_str().unwrap_or_default();
            finish += choice["finish_reason"].as_str().unwrap_or_default();
        }
    }
    (text, finish)
}

#[test]
fn whole_and_streamed_answers_agree() {
    for (extra, text, finish, completion) in [
        ("", "one  two\nthree", "stop", 4),
        (r#","max_tokens":2"#, "one  ", "length", 2),
        (r#","max_tokens":9,"max_completion_tokens":0"#, "", "length", 0),
        (r#","max_tokens":4,"n":3"#, "one  two\nthree", "stop", 12),
    ] {
        let whole: serde_json::Value =
            serde_json::from_slice(&whole(&reply(extra).unwrap(), "chatcmpl-1", 7)).unwrap();
        let usage =
            json!({ "prompt_tokens": 6, "completion_tokens": completion, "total_tokens": 6 + completion });
        assert_eq!(whole["usage"], usage, "{extra}");
        let asked = format!(r#"{extra},"stream_options":{{"include_usage":true}}"#);
        let events = streamed(&asked);
        assert_eq!(events.last().unwrap()["usage"], usage, "{extra}");
        for (index, answer) in whole["choices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(
                (answer["message"]["content"].as_str(), answer["finish_reason"].as_str()),
                (Some(text), Some(finish))
            );
            assert_eq!(choice(&events, index as u64), (text.into(), finish.into()));
        }
    }
}

#[test]
fn a_word_is_an_event_and_usage_comes_only_when_asked_for() {
    let events = streamed("");
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.get("usage").is_none() && event["created"] == 7));
}

#[test]
fn what_echo_cannot_do_is_rejected() {
    for extra in [r#","n":0"#, r#","n":129"#, r#","max_tokens":"x""#] {
        assert_eq!(reply(extra).unwrap_err().metadata["upstream_status"], "400", "{extra}");
    }
    let body =
        br#"{"model":"echo","n":2,"messages":[{"role":"user","content":[{"type":"text","text":"12345"}]}]}"#;
    assert!(Reply::new(body, 9).is_err() && Reply::new(body, 10).is_ok());
}
