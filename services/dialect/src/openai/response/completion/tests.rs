use super::*;

#[test]
fn counts_and_text_are_read() {
    let body = r#"{"id":"cmpl-1","choices":[{"text":"a\"b","index":0,"logprobs":{"tokens":["x"]},"finish_reason":"stop"},
        {"index":1,"text":null}, {"text":"\u00e9"}],"usage":{"prompt_tokens":5,"completion_tokens":7.0,"total_tokens":12}}"#;
    let facts = completion_facts(body.as_bytes()).unwrap();
    assert_eq!(facts.output_bytes, 4 + 6);
    let usage = facts.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.estimated), (5, 7, false));
}

#[test]
fn usage_of_an_odd_form_does_not_cost_the_answer() {
    for usage in ["null", "7", "{}", r#"{"prompt_tokens":"x"}"#] {
        let body = format!(r#"{{"choices":[{{"text":"a"}}],"usage":{usage}}}"#);
        assert_eq!(completion_facts(body.as_bytes()).unwrap(), ChatFacts { usage: None, output_bytes: 1 });
    }
}

#[test]
fn what_is_no_completion_is_refused() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"choices":null}"#,
        r#"{"error":{"message":"m"}}"#,
        r#"{"choices":[{"message":{}}]}"#,
    ] {
        assert!(completion_facts(body.as_bytes()).is_err(), "{body}");
    }
}
