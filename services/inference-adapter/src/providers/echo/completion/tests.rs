use super::*;

const MIB: usize = 1024 * 1024;

fn reply(members: &str) -> Result<Reply, Failure> {
    Reply::new(format!(r#"{{"model":"echo",{members}}}"#).as_bytes(), MIB)
}

fn answer(members: &str) -> Value {
    serde_json::from_slice(&whole(&reply(members).unwrap(), "cmpl-1", 7)).unwrap()
}

fn streamed(members: &str) -> Vec<Value> {
    let events: Vec<Bytes> = events(reply(members).unwrap(), "cmpl-1", 7).collect();
    let (last, data) = events.split_last().unwrap();
    assert_eq!(last.as_ref(), b"data: [DONE]\n\n");
    let json = |event: &Bytes| {
        let text = std::str::from_utf8(event).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
    };
    data.iter().map(json).collect()
}

#[test]
fn whole_and_streamed_answers_agree() {
    for (members, said, prompt, completion) in [
        (r#""prompt":"one  two""#, &[("one  two", "stop")][..], 3, 3),
        (r#""prompt":"a b","max_tokens":1,"n":2"#, &[("a ", "length"), ("a ", "length")], 2, 2),
        (r#""prompt":["a","b c"],"max_tokens":1"#, &[("a", "stop"), ("b ", "length")], 3, 2),
        (r#""prompt":["a","b"],"n":2"#, &[("a", "stop"), ("a", "stop"), ("b", "stop"), ("b", "stop")], 2, 4),
        (r#""prompt":[7,8]"#, &[("7 8", "stop")], 2, 2),
        (r#""prompt":[[7],[8,9]]"#, &[("7", "stop"), ("8 9", "stop")], 3, 3),
    ] {
        let whole = answer(members);
        let usage = json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        });
        assert_eq!((&whole["usage"], &whole["object"]), (&usage, &json!("text_completion")), "{members}");
        let events = streamed(&format!(r#"{members},"stream_options":{{"include_usage":true}}"#));
        assert_eq!(events.last().unwrap()["usage"], usage, "{members}");
        assert_eq!(whole["choices"].as_array().unwrap().len(), said.len());
        for (index, (text, finish)) in said.iter().enumerate() {
            assert_eq!(whole["choices"][index], choice(index, text, Some(finish)));
            let pieces = events.iter().flat_map(|event| event["choices"].as_array().unwrap());
            let mine: Vec<_> = pieces.filter(|piece| piece["index"] == index).collect();
            assert_eq!(mine.iter().map(|piece| piece["text"].as_str().unwrap()).collect::<String>(), *text);
            assert_eq!(mine.last().unwrap()["finish_reason"], *finish);
        }
    }
}

#[test]
fn usage_comes_only_when_asked_for() {
    let events = streamed(r#""prompt":"a b""#);
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.get("usage").is_none() && event["created"] == 7));
}

#[test]
fn what_echo_cannot_do_is_rejected() {
    for members in [r#""prompt":"a","n":0"#, r#""prompt":"a","n":129"#, r#""prompt":{}"#, r#""x":1"#] {
        assert_eq!(reply(members).unwrap_err().metadata["upstream_status"], "400", "{members}");
    }
    // Many small choices are large, too.
    let prompts = vec!["\"a\""; MIB / CHOICE_BYTES / 100].join(",");
    assert!(reply(&format!(r#""prompt":[{prompts}],"n":90"#)).is_ok());
    assert!(reply(&format!(r#""prompt":[{prompts}],"n":101"#)).is_err());
}
