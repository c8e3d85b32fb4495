//! Scanning and classifying, on real streams and on hostile ones.

use proptest::prelude::*;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/", $name))
    };
}

const STREAMS: [&str; 4] = [
    fixture!("llamacpp/chat_stream.sse"),
    fixture!("llamacpp/chat_stream_usage.sse"),
    fixture!("llamacpp/chat_tool_required_stream.sse"),
    fixture!("aimock/chat_stream_usage.sse"),
];

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let mut scanner = Scanner::new();
    let mut events = Vec::new();
    for piece in pieces {
        scanner.push(Bytes::copy_from_slice(piece));
        while let Some(event) = scanner.next() {
            events.push(event.unwrap());
        }
    }
    (events, scanner.is_empty())
}

fn one(data: &str) -> Event {
    let (events, empty) = scan([format!("data: {data}\n\n").as_bytes()]);
    assert_eq!((events.len(), empty), (1, true));
    events.into_iter().next().unwrap()
}

#[test]
fn real_streams_are_told_apart() {
    for (stream, with_usage) in STREAMS.into_iter().zip([false, true, true, true]) {
        let (events, empty) = scan([stream.as_bytes()]);
        assert!(empty);
        assert_eq!(events.last().unwrap().kind, EventKind::Done);
        assert_eq!(events[0].kind, EventKind::Other, "the role comes first");
        let usages: Vec<_> =
            events.iter().filter(|event| matches!(event.kind, EventKind::Usage(_))).collect();
        assert_eq!(usages.len(), usize::from(with_usage));
        assert!(usages.iter().all(|event| event.usage.is_some_and(|usage| usage.completion_tokens > 0)));
        assert_eq!(events.iter().filter(|event| event.finish).count(), 1);
        assert!(events.iter().filter(|event| event.kind == EventKind::Content).count() > 1);
        assert!(events.iter().all(|event| (event.kind == EventKind::Content) == (event.output_bytes > 0)));
    }
}

#[test]
fn an_event_in_one_piece_is_not_copied() {
    let mut scanner = Scanner::new();
    let piece = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    scanner.push(piece.clone());
    assert_eq!(scanner.next().unwrap().unwrap().raw.as_ptr(), piece.as_ptr());
    assert_eq!(scanner.next().unwrap().unwrap().raw.as_ptr(), piece[9..].as_ptr());
}

#[test]
fn all_line_ends_and_field_forms_are_known() {
    for (stream, raws, data) in [
        ("data: a\n\ndata:b\n\n", vec!["data: a\n\n", "data:b\n\n"], vec!["a", "b"]),
        ("data: a\r\n\r\ndata:b\r\n\r\n", vec!["data: a\r\n\r\n", "data:b\r\n\r\n"], vec!["a", "b"]),
        ("data: a\r\rdata:b\r\r", vec!["data: a\r\r", "data:b\r\r"], vec!["a", "b"]),
        ("data: a\r\n\rdata:b\n\r", vec!["data: a\r\n\r", "data:b\n\r"], vec!["a", "b"]),
        (
            ": ping\n\nid: 7\nevent: x\ndata: a\ndata\ndata:  b\n\n",
            vec![": ping\n\n", "id: 7\nevent: x\ndata: a\ndata\ndata:  b\n\n"],
            vec!["", "a\n b"],
        ),
        ("\u{feff}data: a\n\n", vec!["\u{feff}data: a\n\n"], vec!["a"]),
        ("\n\r\n", vec!["\n", "\r"], vec!["", ""]),
        ("\r\ndata: a\n\n", vec!["\r", "\ndata: a\n\n"], vec!["", "a"]),
    ] {
        let (events, empty) = scan([stream.as_bytes()]);
        assert!(empty, "{stream:?}");
        let found: Vec<_> = events.iter().map(|event| String::from_utf8_lossy(&event.raw)).collect();
        assert_eq!(found, raws, "{stream:?}");
        let found: Vec<_> = events.iter().map(|event| event.data().into_owned()).collect();
        assert_eq!(found, data.iter().map(|data| data.as_bytes()).collect::<Vec<_>>(), "{stream:?}");
        assert!(events.iter().all(|event| (event.kind == EventKind::Comment) == event.data().is_empty()));
    }
}

#[test]
fn a_cut_stream_is_not_empty() {
    for stream in ["data: a", "data: a\n", "data: a\n\ndata", "data: a\r\n\r"] {
        assert!(!scan([stream.as_bytes()]).1, "{stream:?}");
    }
    assert!(Scanner::new().is_empty());
}

#[test]
fn markers_inside_content_fool_nobody() {
    let text = r#"[DONE] "usage":{"prompt_tokens":1} "error":{"message":"m"} "choices":[] "content":"x" "finish_reason":"stop" \"#;
    let chunk = |delta: serde_json::Value, extra: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]{extra}}}"#)
    };
    let content = one(&chunk(serde_json::json!({ "content": text }), ""));
    assert_eq!((content.kind, content.usage, content.finish), (EventKind::Content, None, false));
    assert_eq!(content.output_bytes as usize, serde_json::to_string(text).unwrap().len() - 2);
    let arguments = serde_json::json!({"tool_calls":[{"index":0,"function":{"arguments":text}}]});
    assert_eq!(one(&chunk(arguments, "")).kind, EventKind::Content);
    // Members of those names at another depth, and names as values.
    for extra in [
        r#","x":{"usage":{"prompt_tokens":1}}"#,
        r#","x":{"error":{"message":"m"}}"#,
        r#","error":null,"usage":null"#,
        r#","x":["usage","error","content"]"#,
    ] {
        let event = one(&chunk(serde_json::json!({"role":"assistant","content":""}), extra));
        assert_eq!((event.kind, event.usage), (EventKind::Other, None), "{extra}");
    }
}

#[test]
fn chunks_are_told_by_what_they_carry() {
    for (delta, kind, bytes) in [
        (r#"{"content":"a\"b"}"#, EventKind::Content, 4),
        (r#"{"content" : "ab"}"#, EventKind::Content, 2),
        (r#"{"refusal":"no"}"#, EventKind::Content, 2),
        (r#"{"content":null,"reasoning_content":"hm","reasoning":"hm"}"#, EventKind::Content, 2),
        (
            r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}"#,
            EventKind::Content,
            0,
        ),
        (r#"{"content":[{"type":"text","text":"a"}]}"#, EventKind::Content, 1),
        (r#"{"audio":{"id":"x"}}"#, EventKind::Content, 0),
        (r#"{"arguments":"x"}"#, EventKind::Other, 0),
        (r#"{"role":"assistant","content":"","tool_calls":[],"refusal":null}"#, EventKind::Other, 0),
        ("{}", EventKind::Other, 0),
    ] {
        let event = one(&format!(r#"{{"choices":[{{"delta":{delta},"logprobs":null}}]}}"#));
        assert_eq!((event.kind, event.output_bytes), (kind, bytes), "{delta}");
    }
    for (text, kind, bytes) in
        [(r#""a\"b""#, EventKind::Content, 4), (r#""""#, EventKind::Other, 0), ("null", EventKind::Other, 0)]
    {
        let logprobs = r#"{"tokens":["text"],"top_logprobs":[{"text":-0.5}],"text_offset":[0]}"#;
        let data = format!(r#"{{"choices":[{{"text":{text},"index":0,"logprobs":{logprobs}}}]}}"#);
        let event = one(&data);
        assert_eq!((event.kind, event.output_bytes), (kind, bytes), "{text}");
    }
    let both = one(
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}"#,
    );
    assert_eq!(
        (both.kind, both.finish, both.usage.unwrap().completion_tokens),
        (EventKind::Content, true, 2)
    );
    assert_eq!(one("null").kind, EventKind::Null);
    let bare = one(r#"{ "choices" : [ ] , "usage" : { "prompt_tokens" : 1 } }"#);
    assert!(matches!(bare.kind, EventKind::Usage(usage) if usage.prompt_tokens == 1));
    assert_eq!(one(r#"{"choices":[],"prompt_filter_results":[]}"#).kind, EventKind::Other);
    assert_eq!(one("not json").kind, EventKind::Other);
}

#[test]
fn errors_in_mid_stream_are_found() {
    for (stream, message) in [
        ("data: {\"error\":{\"code\":500,\"message\":\"m\",\"type\":\"server_error\"}}\n\n", "m"),
        ("data: {\"error\": \"m\"}\n\n", "m"),
        ("data: {\"object\":\"error\",\"message\":\"m\",\"code\":400}\n\n", "m"),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"\"}}],\"error\":{\"message\":\"m\"}}\n\n", "m"),
        ("event: error\ndata: broken\n\n", "broken"),
        ("error: {\"message\":\"m\",\"code\":500}\n\n", "m"),
    ] {
        let (events, _) = scan([stream.as_bytes()]);
        assert!(matches!(&events[0].kind, EventKind::Error(error) if error.message == message), "{stream:?}");
    }
}

#[test]
fn an_endless_event_is_an_error_once() {
    let mut scanner = Scanner::new();
    let mut failures = 0;
    for _ in 0..6 {
        scanner.push(Bytes::from(vec![b'x'; 1024 * 1024]));
        while let Some(event) = scanner.next() {
            failures += usize::from(event.is_err());
        }
    }
    assert_eq!(failures, 1);
    assert!(scanner.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a stream is cut, the same events come out, and their bytes are the stream's.
    #[test]
    fn cuts_make_no_difference(which in 0..STREAMS.len(), ends in 0..3_usize, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let stream = STREAMS[which].replace('\n', ["\n", "\r\n", "\r"][ends]);
        let bytes = stream.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let (events, empty) = scan(at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
        prop_assert!(empty);
        prop_assert_eq!(&events, &scan([bytes]).0);
        prop_assert_eq!(events.iter().flat_map(|event| event.raw.to_vec()).collect::<Vec<_>>(), bytes);
    }

    /// However an event is laid out, what it is told by is its data.
    #[test]
    fn every_event_is_told_by_its_data(stream in "(\u{feff}|data: ?\\[DONE\\]|data: ?\\{\\}| |id: 1|error:|data|\n|\r|\r\n){0,12}") {
        for event in scan([stream.as_bytes()]).0 {
            let data = event.data().trim_ascii().to_vec();
            let expected = match &data[..] {
                b"" => EventKind::Comment,
                b"[DONE]" => EventKind::Done,
                _ => EventKind::Other,
            };
            prop_assert_eq!(&event.kind, &expected, "{}", event.raw.escape_ascii());
        }
    }

    /// The same for any mix of line ends, down to single bytes; what is left over is only an unfinished event.
    #[test]
    fn any_bytes_come_out_as_they_went_in(stream in "(data: x|:|\n|\r|\r\n){0,12}") {
        let (whole, _) = scan([stream.as_bytes()]);
        let (single, _) = scan(stream.as_bytes().chunks(1));
        prop_assert_eq!(&whole, &single);
        let joined: Vec<u8> = whole.iter().flat_map(|event| event.raw.to_vec()).collect();
        prop_assert!(stream.as_bytes().starts_with(&joined));
    }
}
