use super::*;
use crate::openai::request::peek_chat;

const MESSAGES: &str = r#""messages":[{"role":"user","temperature":1,"content":"\"stop\":[\"x\"]"}]"#;

fn all() -> RequestDefaults {
    RequestDefaults {
        max_output_tokens: Some(9),
        temperature: Some(0.7),
        top_p: Some(1.0),
        frequency_penalty: Some(-0.5),
        presence_penalty: Some(0.0),
        stop: vec!["\"\n".into(), "END".into()],
        seed: Some(i64::MIN),
    }
}

fn given(members: &str, defaults: &RequestDefaults) -> String {
    let body = Bytes::from(format!(" {{{members},{MESSAGES}}} "));
    let text = String::from_utf8(with_defaults(body, defaults).unwrap().to_vec()).unwrap();
    assert!(peek_chat(text.as_bytes()).is_ok(), "{text}");
    text.trim().replace(MESSAGES, "M")
}

#[test]
fn what_a_body_does_not_say_is_put_first() {
    let expected = concat!(
        r#"{"temperature":0.7,"top_p":1,"frequency_penalty":-0.5,"presence_penalty":0,"stop":["\"\n","END"],"#,
        r#""seed":-9223372036854775808,"model":"m",M}"#,
    );
    assert_eq!(given(r#""model":"m""#, &all()), expected);
    let few = RequestDefaults { temperature: Some(1e-7), ..RequestDefaults::default() };
    assert_eq!(given(r#" "model" : "m" "#, &few), r#"{"temperature":0.0000001, "model" : "m" ,M}"#);
}

#[test]
fn what_a_body_says_stays_and_null_is_unsaid() {
    let defaults =
        RequestDefaults { temperature: Some(0.7), stop: vec!["END".into()], ..RequestDefaults::default() };
    for (before, after) in [
        (r#""temperature":0,"stop":[]"#, r#""temperature":0,"stop":[]"#),
        (r#""temperature": 1.50 ,"stop":"""#, r#""temperature": 1.50 ,"stop":"""#),
        (r#""temperature": null ,"stop":null"#, r#""temperature": 0.7 ,"stop":["END"]"#),
        // What upstreams make of other types is theirs to say.
        (r#""temperature":"hot","stop":false"#, r#""temperature":"hot","stop":false"#),
        (r#""t\u0065mperature":2,"stop":[]"#, r#""t\u0065mperature":2,"stop":[]"#),
        (r#""t\u0065mperature":null,"stop":[]"#, r#""t\u0065mperature":0.7,"stop":[]"#),
        // Servers differ in which of several counts.
        (
            r#""stop":[],"temperature":null,"temperature":1"#,
            r#""stop":[],"temperature":null,"temperature":1"#,
        ),
        (
            r#""stop":[],"temperature":null,"temperature":null"#,
            r#""stop":[],"temperature":0.7,"temperature":0.7"#,
        ),
    ] {
        let model = |members| format!(r#"{members},"model":"m""#);
        assert_eq!(given(&model(before), &defaults), format!("{{{},M}}", model(after)));
    }
    let nested = r#""model":"m","x":{"temperature":1,"stop":null}"#;
    let expected = format!(r#"{{"temperature":0.7,"stop":["END"],{nested},M}}"#);
    assert_eq!(given(nested, &defaults), expected);
}

#[test]
fn no_default_is_no_copy() {
    let body = Bytes::from(format!(r#"{{"model":"m","temperature":0,{MESSAGES}}}"#));
    let limit = RequestDefaults { max_output_tokens: Some(9), ..RequestDefaults::default() };
    let said = RequestDefaults { temperature: Some(1.0), ..RequestDefaults::default() };
    for defaults in [RequestDefaults::default(), limit, said] {
        assert_eq!(with_defaults(body.clone(), &defaults).unwrap().as_ptr(), body.as_ptr());
    }
}

#[test]
fn what_is_no_body_is_refused() {
    for body in ["", "[]", "{\"model\":", "7", "{\"a\":1"] {
        assert!(with_defaults(body.into(), &all()).is_err(), "{body}");
    }
    assert!(with_defaults(Bytes::from_static(b"{\"\xff\":1}"), &all()).is_err());
}
