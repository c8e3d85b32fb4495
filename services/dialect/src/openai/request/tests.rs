//! What bodies are refused for, what is read of the others, and what a splice writes.

use bytes::Bytes;

use super::*;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn chat(members: &str) -> Result<Peek, Invalid> {
    peek_chat(format!("{{{members}}}").as_bytes())
}

#[test]
fn a_real_body_is_read() {
    let body = include_bytes!("../../../tests/fixtures/llamacpp/chat_tool_required.req.json");
    let peek = peek_chat(body).unwrap();
    assert_eq!(peek.model.as_deref(), Some("gemma-3-270m"));
    assert_eq!((peek.stream, peek.include_usage, peek.choices), (false, false, 1));
    assert_eq!(peek.max_output_tokens, Some(64));
    // The server counted 414 tokens for it.
    assert!(peek.prompt_bytes > 414 && (peek.prompt_bytes as usize) < body.len(), "{}", peek.prompt_bytes);
    assert_eq!(peek.facts().max_output_tokens, Some(64));
}

#[test]
fn parameters_are_read() {
    let members = r#""model":"a\u002fb","stream":true,"stream_options":{"x":1,"include_usage":true},
        "max_tokens":7,"max_completion_tokens":5,"n":3,"tools":[1,2]"#;
    let peek = chat(&format!("{members},{MESSAGES}")).unwrap();
    assert_eq!(peek.model.as_deref(), Some("a/b"));
    assert_eq!((peek.stream, peek.include_usage, peek.choices), (true, true, 3));
    assert_eq!(peek.max_output_tokens, Some(7), "the larger, whichever the upstream follows");
    let message = r#"{"role":"user","content":"hi"},"#.len();
    assert_eq!(peek.prompt_bytes as usize, message + 1 + "[1,2]".len());
}

#[test]
fn null_is_unset() {
    let members = r#""model":"m","stream":null,"stream_options":null,"max_tokens":null,"n":null"#;
    let peek = chat(&format!("{members},{MESSAGES}")).unwrap();
    assert_eq!(
        (peek.stream, peek.include_usage, peek.choices, peek.max_output_tokens),
        (false, false, 1, None)
    );
}

#[test]
fn faults_name_their_field() {
    let cases = [
        (r#""model":"m""#, "messages", "messages is required"),
        (r#""messages":[]"#, "messages", "messages must be a non-empty array"),
        (r#""messages":"secret""#, "messages", "messages must be a non-empty array"),
        (r#""messages":null"#, "messages", "messages must be a non-empty array"),
        (r#""messages":[{"role":"user"},"secret"]"#, "messages[1]", "messages[1] must be an object"),
        (r#""messages":[{"content":"secret"}]"#, "messages[0].role", "messages[0].role is required"),
        (r#""messages":[{"role":7}]"#, "messages[0].role", "messages[0].role must be a string"),
        (MESSAGES, "model", "model is required"),
        (r#""model":"""#, "model", "model must be a non-empty string"),
        (r#""model":null"#, "model", "model must be a non-empty string"),
        (r#""model":["secret"]"#, "model", "model must be a non-empty string"),
        (r#""model":"a","mod\u0065l":"secret""#, "model", "model is given more than once"),
        (r#""stream":false,"stream":true"#, "stream", "stream is given more than once"),
        (r#""stream":"true""#, "stream", "stream must be a boolean"),
        (r#""stream_options":[]"#, "stream_options", "stream_options must be an object"),
        (
            r#""stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
            "stream_options.include_usage must be a boolean",
        ),
        (r#""n":0"#, "n", "n must be between 1 and 128"),
        (r#""n":129"#, "n", "n must be between 1 and 128"),
        (r#""n":1.5"#, "n", "n must be an integer"),
        (r#""max_tokens":-1"#, "max_tokens", "max_tokens must be between 1 and 4294967295"),
        (r#""max_tokens":"9""#, "max_tokens", "max_tokens must be an integer"),
        (r#""n_predict":9"#, "n_predict", "n_predict is not taken here: use max_tokens"),
        (r#""n_cmpl":2"#, "n_cmpl", "n_cmpl is not taken here: use n"),
        (
            r#""max_completion_tokens":123456789012345678901234567890"#,
            "max_completion_tokens",
            "max_completion_tokens must be between 1 and 4294967295",
        ),
    ];
    for (members, field, message) in cases {
        let fault = chat(members).unwrap_err();
        assert_eq!((fault.field.as_deref(), fault.message.as_str()), (Some(field), message), "{members}");
    }
}

#[test]
fn malformed_json_is_placed_but_not_quoted() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "line 1 column 0"),
        (b"[1]", "must be a JSON object"),
        (b"\"secret\"", "must be a JSON object"),
        (b"{\"model\":", "line 1 column 9"),
        (b"{\n\"model\": secret}", "line 2 column 10"),
        (b"{\"messages\":[{\"role\":\"user\",secret]}", "line 1 column 29"),
        (
            b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]} {\"secret\":1}",
            "trailing characters at line 1",
        ),
        (b"{\"model\":\"\xFF\"}", "not valid UTF-8 at byte 10"),
    ];
    for (body, place) in cases {
        let fault = peek_chat(body).unwrap_err();
        assert_eq!(fault.field, None);
        assert!(fault.message.contains(place), "{}", fault.message);
        assert!(!fault.message.contains("secret"), "{}", fault.message);
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let peek = chat(&format!(r#""model":"m","x":{deep},"tools":{deep},{MESSAGES}"#)).unwrap();
    assert!(peek.prompt_bytes >= 400_000);
    assert!(chat(&format!(r#""model":"m","messages":[{{"role":"user","content":{deep}]"#)).is_err());
    assert!(peek_chat("[".repeat(200_000).as_bytes()).is_err());
}

#[test]
fn embeddings_take_four_forms_of_input() {
    for input in [r#""a""#, r#"["a","b"]"#, "[1, 2]", "[[1],[2,3]]"] {
        let body = format!(r#"{{"model":"m","input":{input},"encoding_format":"base64"}}"#);
        let peek = peek_embeddings(body.as_bytes()).unwrap();
        assert!(peek.base64);
        assert_eq!(peek.prompt_bytes as usize, input.len());
    }
    for input in [
        "\"\"",
        "[]",
        "null",
        "7",
        "[\"\"]",
        "[[]]",
        "[\"a\",1]",
        "[1.5]",
        "[-1]",
        "[[1],[[2]]]",
        "[[\"a\"]]",
        "{}",
    ] {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        assert_eq!(peek_embeddings(body.as_bytes()).unwrap_err().field.as_deref(), Some("input"), "{input}");
    }
    for body in [r#"{"model":"m"}"#, r#"{"model":"m","input":"a","input":"b"}"#] {
        assert_eq!(peek_embeddings(body.as_bytes()).unwrap_err().field.as_deref(), Some("input"));
    }
    let hex = br#"{"model":"m","input":"a","encoding_format":"hex"}"#;
    assert_eq!(peek_embeddings(hex).unwrap_err().field.as_deref(), Some("encoding_format"));
}

fn completion(members: &str) -> Result<Peek, Invalid> {
    peek_completions(format!(r#"{{"model":"m",{members}}}"#).as_bytes())
}

#[test]
fn completions_count_the_answers_to_every_prompt() {
    for (members, choices) in [
        (r#""prompt":"a""#, 1),
        (r#""prompt":["a","b"]"#, 2),
        (r#""prompt":[1, 2, 3]"#, 1),
        (r#""prompt":[[1,2],[3],[4]]"#, 3),
        (r#""n":3,"prompt":["a","b"]"#, 6),
        (r#""prompt":["a","b"],"n":2,"best_of":5"#, 10),
        (r#""prompt":"a","n":4,"best_of":null"#, 4),
        (r#""prompt":"a","n":null,"best_of":2"#, 2),
        (r#""prompt":"a","n":3,"best_of":2"#, 3),
    ] {
        assert_eq!(completion(members).unwrap().choices, choices, "{members}");
    }
}

#[test]
fn completions_are_read_as_chat_is() {
    let members = r#""stream":true,"stream_options":{"include_usage":true},"max_tokens":7,"prompt":"hello","suffix":"end""#;
    let peek = completion(members).unwrap();
    assert_eq!((peek.model.as_deref(), peek.stream, peek.include_usage), (Some("m"), true, true));
    assert_eq!(peek.max_output_tokens, Some(7));
    assert_eq!(peek.prompt_bytes as usize, "\"hello\"".len() + "\"end\"".len());
    let peek = completion(r#""prompt":"a","max_completion_tokens":null"#).unwrap();
    assert_eq!((peek.max_output_tokens, peek.places.max_completion_tokens), (None, None));
}

#[test]
fn prompts_are_refused_by_their_name() {
    for prompt in [
        r#""""#,
        "[]",
        "null",
        "7",
        "true",
        "{}",
        r#"[""]"#,
        "[[]]",
        r#"["a",1]"#,
        r#"[1,"a"]"#,
        "[1.5]",
        "[-1]",
        "[null]",
        "[{}]",
        "[[1],[[2]]]",
        r#"[["a"]]"#,
        r#"[[1],"a"]"#,
    ] {
        let fault = completion(&format!(r#""prompt":{prompt}"#)).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("prompt"), "{prompt}");
    }
    for members in [r#""x":1"#, MESSAGES, r#""prompt":"a","prompt":"b""#] {
        assert_eq!(completion(members).unwrap_err().field.as_deref(), Some("prompt"), "{members}");
    }
    for (members, field) in [
        (r#""prompt":"a","best_of":0"#, "best_of"),
        (r#""prompt":"a","best_of":129"#, "best_of"),
        (r#""prompt":"a","n":"2""#, "n"),
        (r#""prompt":"a","max_tokens":1.5"#, "max_tokens"),
        (r#""prompt":"a","max_tokens":7,"max_completion_tokens":7"#, "max_completion_tokens"),
        (r#""prompt":"a","max_tokens":7,"n_predict":-1"#, "n_predict"),
        (r#""prompt":"a","n":1,"n_cmpl":4"#, "n_cmpl"),
    ] {
        assert_eq!(completion(members).unwrap_err().field.as_deref(), Some(field));
    }
}

fn spliced(members: &str, change: Splice<'_>) -> String {
    let body = Bytes::from(format!("{{{members},{MESSAGES}}}"));
    let peek = peek_chat(&body).unwrap();
    let text = String::from_utf8(splice(&body, &peek, &change).to_vec()).unwrap();
    text.replace(MESSAGES, "M")
}

#[test]
fn splices_write_what_they_say() {
    let model = Splice { model: Some("x\"y"), ..Splice::default() };
    assert_eq!(spliced(r#" "model" : "m" "#, model), r#"{ "model" : "x\"y" ,M}"#);

    let usage = Splice { include_usage: true, ..Splice::default() };
    let true_usage = r#"{"include_usage":true}"#;
    for (before, after) in [
        ("{}", true_usage),
        ("null", true_usage),
        (r#"{"include_usage":false}"#, true_usage),
        (r#"{ "a":1}"#, r#"{"include_usage":true, "a":1}"#),
        (r#"{"a":1,"include_usage":null}"#, r#"{"a":1,"include_usage":true}"#),
    ] {
        let members = format!(r#""model":"m","stream_options":{before}"#);
        assert_eq!(spliced(&members, usage), format!(r#"{{"model":"m","stream_options":{after},M}}"#));
    }
    assert_eq!(
        spliced(r#""model":"m""#, usage),
        format!(r#"{{"stream_options":{true_usage},"model":"m",M}}"#)
    );

    let limit = Splice { max_output_tokens: Some(9), ..Splice::default() };
    for (before, after) in [
        (r#""max_tokens":10"#, r#""max_tokens":9"#),
        (r#""max_completion_tokens":10"#, r#""max_completion_tokens":9"#),
        (r#""max_tokens":10,"max_completion_tokens":20"#, r#""max_tokens":9,"max_completion_tokens":9"#),
        (r#""max_tokens":null,"max_completion_tokens":20"#, r#""max_tokens":null,"max_completion_tokens":9"#),
        (r#""max_tokens":null"#, r#""max_tokens":9"#),
    ] {
        assert_eq!(
            spliced(&format!(r#"{before},"model":"m""#), limit),
            format!(r#"{{{after},"model":"m",M}}"#)
        );
    }
    assert_eq!(spliced(r#""model":"m""#, limit), r#"{"max_tokens":9,"model":"m",M}"#);

    let stream = Splice { stream: Some(true), max_output_tokens: Some(9), ..Splice::default() };
    assert_eq!(spliced(r#""model":"m""#, stream), r#"{"stream":true,"max_tokens":9,"model":"m",M}"#);
    assert_eq!(
        spliced(r#""model":"m","stream":false"#, stream),
        r#"{"max_tokens":9,"model":"m","stream":true,M}"#
    );
}

#[test]
fn nothing_to_change_is_no_copy() {
    let body = Bytes::from(format!(
        r#"{{"model":"m","stream":true,"max_tokens":9,"stream_options":{{"include_usage":true}},{MESSAGES}}}"#
    ));
    let peek = peek_chat(&body).unwrap();
    let same =
        Splice { model: Some("m"), include_usage: true, max_output_tokens: Some(9), stream: Some(true) };
    for change in [Splice::default(), same] {
        assert_eq!(splice(&body, &peek, &change).as_ptr(), body.as_ptr());
    }
}
