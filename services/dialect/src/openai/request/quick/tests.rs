//! The quick pass against the careful one.

use proptest::prelude::*;

use super::*;
use crate::openai::request::careful;
use crate::openai::request::draft::{CHAT, COMPLETIONS, EMBEDDINGS};

#[test]
fn usual_bodies_are_taken() {
    let bodies: [&[u8]; 3] = [
        include_bytes!("../../../../tests/fixtures/llamacpp/chat_tool_required.req.json"),
        include_bytes!("../../../../tests/fixtures/llamacpp/chat_json_schema.req.json"),
        "{\"model\":\"m\",\"x\":[{\"é\":1e400}],\"stream\":true,\"stream_options\":{\"include_usage\":true},\
          \"messages\":[{\"role\":\"user\",\"content\":\"\\ud800 日本\"}]}"
            .as_bytes(),
    ];
    for body in bodies {
        assert_eq!(read(body, CHAT), Some(careful::read(body, CHAT).unwrap()));
    }
    for input in [r#""a""#, r#"["a","b"]"#, "[[1],[2,3]]"] {
        let body = format!(r#"{{"model":"m","input":{input},"encoding_format":"base64"}}"#);
        let body = body.as_bytes();
        assert_eq!(read(body, EMBEDDINGS), Some(careful::read(body, EMBEDDINGS).unwrap()));
        let body = format!(r#"{{"model":"m","prompt":{input},"n":2,"best_of":3,"suffix":null}}"#);
        let body = body.as_bytes();
        assert_eq!(read(body, COMPLETIONS), Some(careful::read(body, COMPLETIONS).unwrap()));
    }
}

#[test]
fn what_is_wrong_or_unusual_is_left_to_the_careful_pass() {
    let message = r#""messages":[{"role":"user"}]"#;
    for body in [
        format!("\u{feff}{{\"model\":\"m\",{message}}}"),
        format!(r#"{{"model":"m","model":"m",{message}}}"#),
        format!(r#"{{"model":"m",{message},{message}}}"#),
        format!(r#"{{"mod\u0065l":"m",{message}}}"#),
        format!(r#"{{"model":"",{message}}}"#),
        format!(r#"{{"model":"m",{message}}} {{}}"#),
        format!(r#"{{"model":"m",{message},}}"#),
        format!("{{\"model\":\"m\n\",{message}}}"),
        format!(r#"{{"model":"m","stream":1,{message}}}"#),
        format!("{{{message}}}"),
        r#"{"model":"m"}"#.into(),
        r#"{"model":"m","messages":[]}"#.into(),
        r#"{"model":"m","messages":[{}]}"#.into(),
        r#"{"model":"m","messages":[{"role":1}]}"#.into(),
        r#"{"model":"m","messages":[{"role":1,"role":"user"}]}"#.into(),
        r#"{"model":"m","messages":{"role":"user"}}"#.into(),
    ] {
        assert_eq!(read(body.as_bytes(), CHAT), None, "{body}");
    }
    assert_eq!(read(b"{\"model\":\"\xFF\",\"messages\":[{\"role\":\"user\"}]}", CHAT), None);
}

/// Members right and wrong, of which a body may have any.
const MEMBERS: [&str; 28] = [
    r#""model":"m""#,
    r#""model" : "a\u002f\"é""#,
    r#""messages":[{"role":"user","content":"hi"}]"#,
    r#""messages" : [ {"role":"system","x":[1,{}]} , {"content":null,"role":"user","role":"b"} ]"#,
    r#""messages":[{"ro\u006ce":"user"}]"#,
    r#""messages":[{"role":1}]"#,
    r#""input":"a""#,
    r#""input":[[1],[2]]"#,
    r#""prompt":"a""#,
    r#""prompt":["a","b"]"#,
    r#""prompt":[["a"]]"#,
    r#""best_of":3"#,
    r#""stream":true"#,
    r#""stream":"true""#,
    r#""stream_options":{"include_usage" : true,"x":{}}"#,
    r#""stream_options":{"include_usage":true,"include_usage":true}"#,
    r#""stream_options":null"#,
    r#""max_tokens":7"#,
    r#""max_tokens":-1"#,
    r#""max_completion_tokens":null"#,
    r#""n":128"#,
    r#""n":1.0"#,
    r#""tools":[{"type":"function"}]"#,
    r#""response_format":{"type":"text"}"#,
    r#""x":"\ud800\t""#,
    "\"x\":\"a\tb\"",
    r#""":-0.1e-7"#,
    r#""encoding_format":"float""#,
];

fn body() -> impl Strategy<Value = String> {
    let usual = prop::sample::subsequence(vec![MEMBERS[0], MEMBERS[2], MEMBERS[6], MEMBERS[9]], 1..=4);
    let other = prop::sample::subsequence(MEMBERS.to_vec(), 0..5);
    (usual, other, "[ \n]{0,2}").prop_map(|(usual, other, space)| {
        format!("{space}{{{space}{}{space}}}{space}", [usual, other].concat().join(&format!("{space},")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn both_passes_give_the_same_peek(body in body(), noise in "[ -~\n]{0,2}", at in any::<prop::sample::Index>()) {
        let mut spoiled = body.clone().into_bytes();
        let at = at.index(spoiled.len());
        spoiled.splice(at..at + 1, noise.into_bytes());
        for body in [body.as_bytes(), &spoiled] {
            for keys in [CHAT, EMBEDDINGS, COMPLETIONS] {
                if let Some(peek) = read(body, keys) {
                    prop_assert_eq!(Ok(peek), careful::read(body, keys), "{}", body.escape_ascii());
                }
            }
        }
    }
}
