//! The quick reading against the careful one.

use proptest::prelude::*;

use super::*;
use crate::openai::response::careful;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/", $name))
    };
}

#[test]
fn usual_answers_are_taken() {
    let bodies: [&[u8]; 8] = [
        fixture!("llamacpp/chat.json"),
        fixture!("llamacpp/chat_n2.json"),
        fixture!("llamacpp/chat_logprobs.json"),
        fixture!("llamacpp/chat_tool_required.json"),
        fixture!("aimock/chat.json"),
        br#"{"choices":[]}"#,
        br#"{"x":1e400,"choices":[{"message":{},"y":12345678901234567890}],"usage":null}"#,
        br#"{"choices":[{"message":{"role":"assistant","reasoning":"ab","reasoning_content":"abc","content":null}}]}"#,
    ];
    for body in bodies {
        assert_eq!(read(body), Some(careful::read(body).unwrap()), "{}", body.escape_ascii());
    }
}

#[test]
fn usage_of_any_form_is_read_the_same() {
    for usage in [
        "null",
        "{}",
        "7",
        "[1,2]",
        r#"{"prompt_tokens":0,"completion_tokens":4294967295}"#,
        r#"{"prompt_tokens":4294967296,"completion_tokens":99999999999999999999999}"#,
        r#"{"prompt_tokens":1.0,"completion_tokens":-1}"#,
        r#"{"prompt_tokens":null,"completion_tokens":2}"#,
        r#"{"prompt_tokens":"1"}"#,
        r#"{"prompt_tokens":1,"prompt_tokens":2}"#,
        r#"{"prompt_tokens":1,"prompt_tokens_details":null,"completion_tokens_details":{}}"#,
        r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":3,"x":[]},"total_tokens":1}"#,
        r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":3,"cached_tokens":4}}"#,
        r#"{"prompt_tokens":1,"prompt_tokens_details":{},"prompt_tokens_details":{}}"#,
        r#"{"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":5,"cached_tokens":1}}"#,
        r#"{"completion_tokens":1,"completion_tokens_details":7}"#,
        r#"{"prompt_t\u006fkens":1}"#,
    ] {
        let body = format!(r#"{{"choices":[],"usage" : {usage} ,"x":1}}"#);
        assert_eq!(read(body.as_bytes()), Some(careful::read(body.as_bytes()).unwrap()), "{usage}");
    }
}

#[test]
fn what_is_wrong_or_unusual_is_left_to_the_careful_reading() {
    for body in [
        "",
        "[]",
        "{}",
        "[[],null]",
        r#"{"choices":null}"#,
        r#"{"choices":[],"choices":[]}"#,
        r#"{"choices":[],"usage":null,"usage":null}"#,
        r#"{"choices":[]} x"#,
        r#"{"choices":[[{},null]]}"#,
        r#"{"choices":[{"logprobs":null}]}"#,
        r#"{"choices":[{"message":{},"message":{}}]}"#,
        r#"{"choices":[{"message":{},"logprobs":null,"logprobs":null}]}"#,
        r#"{"choices":[{"message":[]}]}"#,
        r#"{"choices":[{"message":{"role":"a","role":"a"}}]}"#,
        r#"{"choices":[{"message":{"refusal":"a","refusal":null}}]}"#,
        r#"{"choices":[{"message":{"content":"a","content":null}}]}"#,
        r#"{"choices":[{"message":{"reasoning":"a","reasoning":"b"}}]}"#,
        r#"{"choices":[{"message":{"reasoning_content":"a","reasoning_content":"b"}}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[],"tool_calls":[]}}]}"#,
        r#"{"choices":[{"message":{"cont\u0065nt":"a"}}]}"#,
        "{\"choices\":[],\"x\":\"a\nb\"}",
        "{\"choices\":[{\"message\":{\"content\":\"a\u{7}\"}}]}",
    ] {
        assert_eq!(read(body.as_bytes()), None, "{body}");
    }
    assert_eq!(read(b"{\"choices\":[],\"x\":\"\xFF\"}"), None);
}

/// Members right and wrong, of which a message, a choice and an answer may have any.
const MESSAGE: [&str; 9] = [
    r#""role":"assistant""#,
    r#""content" : "a\"é""#,
    r#""content":null"#,
    r#""refusal":null"#,
    r#""reasoning":"abc""#,
    r#""reasoning_content":"\ud800""#,
    r#""tool_calls":[{"function":{"arguments":"{}"}}]"#,
    r#""x":[{"content":1}]"#,
    r#""refus\u0061l":"no""#,
];
const CHOICE: [&str; 3] = [r#""logprobs":null"#, r#""index":0"#, r#""finish_reason" : "stop""#];
const ANSWER: [&str; 4] = [
    r#""id":"x""#,
    r#""usage":{"prompt_tokens":3,"completion_tokens":2.0}"#,
    r#""usage":{"prompt_tokens":3}"#,
    "\"odd\":\"a\tb\"",
];

fn some(members: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(members.to_vec(), 0..=members.len().min(4))
        .prop_shuffle()
        .prop_map(|members| members.into_iter().map(str::to_owned).collect())
}

fn answer() -> impl Strategy<Value = String> {
    let message = some(&MESSAGE).prop_map(|members| format!(r#""message":{{{}}}"#, members.join(" ,")));
    let choice = (some(&CHOICE), message, any::<bool>()).prop_map(|(mut members, message, first)| {
        members.insert(if first { 0 } else { members.len() }, message);
        format!("{{ {} }}", members.join(","))
    });
    let choices = prop::collection::vec(choice, 0..3);
    (some(&ANSWER), choices).prop_map(|(mut members, choices)| {
        members.push(format!(r#""choices":[{}]"#, choices.join(",\n")));
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn both_readings_find_the_same(answer in answer(), noise in "[ -~\n]{0,2}", at in any::<prop::sample::Index>()) {
        let mut spoiled = answer.clone().into_bytes();
        let at = at.index(spoiled.len());
        spoiled.splice(at..at + 1, noise.into_bytes());
        for answer in [answer.as_bytes(), &spoiled] {
            if let Some(found) = read(answer) {
                prop_assert_eq!(Ok(found), careful::read(answer), "{}", answer.escape_ascii());
            }
        }
    }
}
