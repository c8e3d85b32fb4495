//! The quick reading against the careful one.

use super::*;

#[test]
fn usual_answers_are_taken() {
    let bodies: [&[u8]; 4] = [
        include_bytes!("../../../../tests/fixtures/llamacpp/embeddings.json"),
        include_bytes!("../../../../tests/fixtures/llamacpp/embeddings_base64.json"),
        include_bytes!("../../../../tests/fixtures/aimock/embeddings.json"),
        br#" { "data":[ {"embedding":"\/w==" ,"x":{"embedding":1}} , {"embedding":null}],"usage":{"prompt_tokens":1.0}} "#,
    ];
    for body in bodies {
        assert_eq!(quick(body), Some(careful(body).unwrap()), "{}", body.escape_ascii());
    }
}

#[test]
fn what_is_wrong_or_unusual_is_left_to_the_careful_reading() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":[],"data":[]}"#,
        r#"{"data":[],"usage":null,"usage":null}"#,
        r#"{"data":[]} x"#,
        r#"{"data":[[1]]}"#,
        r#"{"data":[{}]}"#,
        r#"{"data":[{"embedding":[1],"embedding":[1]}]}"#,
        r#"{"data":[{"embedd\u0069ng":[1]}]}"#,
        r#"{"data":[{"embedding":[1,]}]}"#,
    ] {
        assert_eq!(quick(body.as_bytes()), None, "{body}");
    }
}
