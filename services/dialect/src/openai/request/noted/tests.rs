//! What is noted reads back, and nothing that does not fit is believed.

use headgate_proto::inference::v1::body_facts::Places;

use crate::openai::request::{Peek, peek_chat, peek_embeddings};

use super::*;

const BODIES: [&str; 7] = [
    r#"{"model":"m","messages":[{"role":"user"}]}"#,
    " {\n\t\"messages\" : [ {\"role\":\"user\"} ] ,\r\n \"model\" :\n\"m\" } \n",
    r#"{"model":"a\u002fb\"\\","messages":[{"role":"user"}],"n":3}"#,
    r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[{"role":"user"}]}"#,
    r#"{"model":"m","stream":null,"stream_options":null,"max_tokens":null,"messages":[{"role":"user"}]}"#,
    r#"{"model":"m","stream_options": { } ,"max_tokens":5,"max_completion_tokens":7,"messages":[{"role":"user"}]}"#,
    r#"{"x":{"model":"x","stream":1},"model":"m\u00e9é","stream_options":{"include_usage":null},"messages":[{"role":"user"}]}"#,
];

#[test]
fn what_is_noted_reads_back() {
    for body in BODIES {
        let peek = peek_chat(body.as_bytes()).unwrap();
        assert_eq!(Peek::noted(body.as_bytes(), &peek.facts()).as_ref(), Some(&peek), "{body}");
    }
    let body = br#"{"input":["a"],"model":"m","encoding_format":"base64"}"#;
    let peek = peek_embeddings(body).unwrap();
    assert_eq!(Peek::noted(body, &peek.facts()), Some(peek));
}

#[test]
fn names_with_escapes_are_left_to_a_reading() {
    let body = br#"{"mod\u0065l":"m","messages":[{"role":"user"}]}"#;
    assert_eq!(Peek::noted(body, &peek_chat(body).unwrap().facts()), None);
}

#[test]
fn facts_without_places_say_too_little() {
    let body = BODIES[0].as_bytes();
    let facts = peek_chat(body).unwrap().facts();
    assert_eq!(Peek::noted(body, &BodyFacts { places: None, ..facts }), None);
    assert_eq!(Peek::noted(body, &BodyFacts { places: Some(Places::default()), ..facts }), None);
}

/// Every place of `places`, to be changed.
fn each(places: &mut Places) -> [&mut Option<Place>; 6] {
    let Places { model, stream, stream_options, include_usage, max_tokens, max_completion_tokens } = places;
    [model, stream, stream_options, include_usage, max_tokens, max_completion_tokens]
}

#[test]
fn places_that_are_off_are_not_believed() {
    let body = r#"{"model":"mm","stream":true,"stream_options":{"include_usage":true},"max_tokens":55,"max_completion_tokens":77,"messages":[{"role":"user"}]}"#;
    let facts = peek_chat(body.as_bytes()).unwrap().facts();
    assert!(Peek::noted(body.as_bytes(), &facts).is_some());
    for which in 0..6 {
        for (start, end) in
            [(1, 0), (0, 1), (0, -1), (-1, 0), (-1, -1), (1, 1), (0, 1000), (2000, 2000), (30, -30)]
        {
            let mut facts = facts;
            let place = each(facts.places.as_mut().unwrap())[which].as_mut().unwrap();
            place.start = place.start.saturating_add_signed(start);
            place.end = place.end.saturating_add_signed(end);
            assert_eq!(Peek::noted(body.as_bytes(), &facts), None, "{which} {start} {end}");
        }
    }
}

#[test]
fn places_of_other_values_are_not_believed() {
    let body = r#"{"model":"mm","x":"m","x\"model":"n","y":{"include_usage":true},"stream":true,"n":2,"s":"a","stream_options":{},"messages":[{"role":"user","content":"\"model\":\"m\""}]}"#;
    let facts = peek_chat(body.as_bytes()).unwrap().facts();
    assert!(Peek::noted(body.as_bytes(), &facts).is_some());
    let find = |text: &str| {
        let start = u32::try_from(body.find(text).unwrap()).unwrap();
        Some(Place { start, end: start + u32::try_from(text.len()).unwrap() })
    };
    let not_there = |change: fn(&mut Places, Option<Place>), text: &str| {
        let mut facts = facts;
        change(facts.places.as_mut().unwrap(), find(text));
        assert_eq!(Peek::noted(body.as_bytes(), &facts), None, "{text}");
    };
    // A value behind another name, several values, a part of a text, options of something else, no value at all.
    not_there(|places, place| places.model = place, r#""m""#);
    not_there(|places, place| places.model = place, r#""n""#);
    not_there(|places, place| places.model = place, r#""mm","x":"m""#);
    not_there(|places, place| places.model = place, r#"\"m\""#);
    not_there(|places, place| places.include_usage = place, "true");
    not_there(|places, place| places.max_tokens = place, "2");
    not_there(|places, place| places.stream_options = place, r#"{"include_usage":true}"#);
    not_there(|places, place| places.stream = place, "");
    let mut half = facts;
    half.places.as_mut().unwrap().stream_options.as_mut().unwrap().end -= 1;
    assert_eq!(Peek::noted(body.as_bytes(), &half), None);
}
