//! P5: whatever a body holds that the gateway does not know, a splice leaves it byte for byte.

use bytes::Bytes;
use headgate_dialect::openai::request::{Splice, peek_chat, splice};
use proptest::prelude::*;

/// A JSON value as text, with space, escapes and numbers that no parser's types hold.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_string()),
        Just(" true ".to_string()),
        Just("1e400".to_string()),
        Just("-0.10".to_string()),
        "[1-9][0-9]{0,40}",
        r#""([ -!#-\[\]-~]|\\n|\\"|\\u00e9|\\\\|é|日){0,12}""#,
        Just(r#""\"model\":\"x\",\"max_tokens\":1""#.to_string()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(("(model|stream|x|y)[0-9]?", inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

/// One member: its name, how it is written before a splice, and after.
#[derive(Clone, Debug)]
struct Member {
    before: String,
    after: String,
}

fn known(
    key: &'static str,
    before: &'static [&'static str],
    after: &'static str,
) -> impl Strategy<Value = Option<Member>> {
    prop::option::of(prop::sample::select(before).prop_map(move |before| Member {
        before: format!("\"{key}\": {before}"),
        after: format!("\"{key}\": {after}"),
    }))
}

fn unknown() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(("x_[a-z]{1,4}", value()), 0..5).prop_map(|members| {
        let text = |(key, value)| format!("\"{key}\"  :{value}");
        members.into_iter().map(text).map(|text| Member { before: text.clone(), after: text }).collect()
    })
}

fn fixed(text: String) -> Member {
    Member { before: text.clone(), after: text }
}

fn body() -> impl Strategy<Value = Vec<Member>> {
    let model =
        Just(Some(Member { before: r#""model": "mine""#.into(), after: r#""model": "theirs""#.into() }));
    let message = value()
        .prop_map(|content| Some(fixed(format!(r#""messages":[{{"role":"user","content":{content}}}]"#))));
    let stream = known("stream", &["true", "false", "null"], "true");
    let limit = known("max_tokens", &["7", "4000000000"], "5");
    let options =
        known("stream_options", &["null", r#"{"include_usage":true}"#], r#"{"include_usage":true}"#);
    (model, message, stream, limit, options, unknown())
        .prop_map(|(model, message, stream, limit, options, unknown)| {
            let known = [model, message, stream, limit, options];
            known.into_iter().flatten().chain(unknown).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

fn text(members: &[Member], part: fn(&Member) -> &str) -> String {
    let members: Vec<_> = members.iter().map(part).collect();
    format!(" {{\n{} }}\n", members.join(" ,\t"))
}

proptest! {
    #[test]
    fn only_the_named_values_change(members in body()) {
        let before = Bytes::from(text(&members, |member| &member.before));
        let peek = peek_chat(&before).unwrap();
        let change = Splice { model: Some("theirs"), include_usage: true, max_output_tokens: Some(5), stream: Some(true) };
        let spliced = splice(&before, &peek, &change);

        let mut expected = text(&members, |member| &member.after);
        let mut added = Vec::new();
        for (key, member) in [
            ("\"stream\": ", "\"stream\":true"),
            ("\"stream_options\": ", "\"stream_options\":{\"include_usage\":true}"),
            ("\"max_tokens\": ", "\"max_tokens\":5"),
        ] {
            if !members.iter().any(|member| member.before.starts_with(key)) {
                added.push(member);
            }
        }
        if !added.is_empty() {
            expected.insert_str(2, &(added.join(",") + ","));
        }
        prop_assert_eq!(std::str::from_utf8(&spliced).unwrap(), expected);

        let again = peek_chat(&spliced).unwrap();
        prop_assert_eq!(again.model.as_deref(), Some("theirs"));
        prop_assert!(again.stream && again.include_usage);
        prop_assert_eq!((again.max_output_tokens, again.prompt_bytes), (Some(5), peek.prompt_bytes));
    }

    /// Nothing that arrives makes a reader panic.
    #[test]
    fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..64), members in body(), cut in any::<prop::sample::Index>()) {
        let whole = text(&members, |member| &member.before).into_bytes();
        let at = cut.index(whole.len());
        let spoiled = [&whole[..at], &noise, &whole[at..]].concat();
        for body in [&noise[..], &whole[..at], &spoiled] {
            if let Ok(peek) = peek_chat(body) {
                splice(&Bytes::copy_from_slice(body), &peek, &Splice { model: Some("x"), ..Splice::default() });
            }
        }
    }
}
