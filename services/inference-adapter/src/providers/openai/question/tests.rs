use headgate_dialect::openai::request::peek_chat;
use headgate_proto::inference::v1::body_facts::Place;
use headgate_proto::inference::v1::{ChatRequest, DialectBody, EmbedRequest};

use super::*;

const BODY: &str = r#" {"stream":true, "x":{"model":"m"}, "model" : "m","max_tokens":9,"n":2,
    "messages":[{"role":"user","content":"hi"}]} "#;

fn asked(body: &'static str, facts: Option<BodyFacts>) -> (String, u32) {
    let dialect = DialectBody { dialect: Dialect::OpenaiChat.into(), body: body.into() };
    let encoding = Some(chat_request::Encoding::Dialect(dialect));
    let request = ChatRequest { model: "m".into(), encoding, facts };
    let ask = ChatAsk { request, cap: Some(5), stream: true, include_usage: true };
    let target = Target { upstream_model: "theirs".into(), ..Target::default() };
    let question = chat_question(&target, ask).unwrap();
    (String::from_utf8(question.body.to_vec()).unwrap(), question.form.choices)
}

#[test]
fn facts_change_nothing_in_what_is_asked() {
    let alone = asked(BODY, None);
    assert!(alone.0.contains(r#""x":{"model":"m"}, "model" : "theirs""#), "{}", alone.0);
    let facts = peek_chat(BODY.as_bytes()).unwrap().facts();
    assert_eq!(asked(BODY, Some(facts)), alone);
    assert_eq!(asked(BODY, Some(BodyFacts { places: None, ..facts })), alone);
}

#[test]
fn facts_spare_the_reading() {
    // Nobody would note a body that is not JSON; one that is noted is not read again to find out.
    let broken: &str = r#"{"model":"m","messages":["#;
    let facts = peek_chat(br#"{"model":"m","messages":[{"role":"user"}]}"#).unwrap().facts();
    assert_eq!(asked(broken, Some(facts)).1, 1);
}

#[test]
fn facts_that_do_not_fit_are_not_followed() {
    let facts = peek_chat(BODY.as_bytes()).unwrap().facts();
    let alone = asked(BODY, None);
    let Place { start, end } = facts.places.unwrap().model.unwrap();
    for (start, end) in
        [(start + 1, end), (start, end + 1), (start, end - 1), (end, start), (0, 3), (start, 9999)]
    {
        let mut facts = facts;
        facts.places.as_mut().unwrap().model = Some(Place { start, end });
        assert_eq!(asked(BODY, Some(facts)), alone, "{start} {end}");
    }
}

#[test]
fn texts_are_embedded_in_the_form_that_was_noted() {
    let body = r#"{"input":"a","encoding_format":"base64","model":"m"}"#;
    let facts = peek_embeddings(body.as_bytes()).unwrap().facts();
    for facts in [None, Some(facts)] {
        let dialect = DialectBody { dialect: Dialect::OpenaiEmbeddings.into(), body: body.into() };
        let encoding = Some(embed_request::Encoding::Dialect(dialect));
        let question = embed_question("theirs", EmbedRequest { model: "m".into(), encoding, facts }).unwrap();
        assert!(question.form.base64);
        assert_eq!(question.body, r#"{"input":"a","encoding_format":"base64","model":"theirs"}"#);
    }
}
