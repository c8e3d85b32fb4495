//! The cursor against serde_json.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::cursor::MAX_DEPTH;
use super::*;

/// Whether the cursor takes the whole text as one value, which then is all of it.
fn walks(text: &[u8]) -> bool {
    let Some(mut json) = Cursor::new(text) else { return false };
    let Some(place) = json.value() else { return false };
    let whole = json.raw(&place) == text.trim_ascii();
    json.end().is_some_and(|()| whole)
}

/// Whether serde_json does.
fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[test]
fn what_is_json_is_walked_over_and_nothing_else() {
    let texts: [&[u8]; 14] = [
        b"",
        b" ",
        b"nul",
        b"nulll",
        b"true",
        b"[]",
        b"[,]",
        b"{}",
        b"{,}",
        b"{\"a\":1,}",
        b"[1,]",
        b"[1}",
        b"{\"a\":[}]",
        b"{\"a\"1}",
    ];
    let numbers: [&[u8]; 16] = [
        b"0",
        b"-0",
        b"-",
        b"01",
        b"1.",
        b".1",
        b"1.5",
        b"1e",
        b"1e+",
        b"1E-07",
        b"-1.0e400",
        b"+1",
        b"1 2",
        b"0x1",
        b"1.x",
        b"1ex",
    ];
    let strings: [&[u8]; 13] = [
        b"\"",
        b"\"\"",
        b"\"\\\"",
        b"\"\\\"\"",
        b"\"\\u12\"",
        b"\"\\ud800\"",
        b"\"\\u00G0\"",
        b"\"\\x\"",
        b"\"a\nb\"",
        b"\"\x1F\"",
        b"\"\x7F\xC3\xA9\"",
        b"\"\xC3\"",
        b"\"\x80\"",
    ];
    for text in texts.into_iter().chain(numbers).chain(strings) {
        assert_eq!(walks(text), is_json(text), "{}", text.escape_ascii());
    }
}

#[test]
fn strings_end_where_they_end_however_long_they_are() {
    for length in 0..100 {
        for filler in ["a", "~", " ", "\u{7F}", "é"] {
            let inside = filler.repeat(length);
            for (text, valid) in [
                (format!("\"{inside}\""), true),
                (format!("\"{inside}\\n{inside}\""), true),
                (format!("\"{inside}"), false),
                (format!("\"{inside}\\\""), false),
                (format!("\"{inside}\u{1F}{inside}\""), false),
                (format!("\"{inside}\"\""), false),
            ] {
                assert_eq!((walks(text.as_bytes()), is_json(text.as_bytes())), (valid, valid), "{text}");
            }
        }
    }
}

#[test]
fn numbers_end_where_their_digits_do() {
    let digits = "1234567890".repeat(3);
    for length in 1..30 {
        for char in '\0'..='\u{7FF}' {
            let text: String = digits.chars().take(length).chain([char, '1']).collect();
            assert_eq!(walks(text.as_bytes()), is_json(text.as_bytes()), "{}", text.escape_debug());
        }
    }
}

#[test]
fn nesting_is_walked_over_to_a_depth() {
    let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
    let deepest = MAX_DEPTH as usize - 1;
    assert!(walks(nested(deepest).as_bytes()));
    assert!(!walks(nested(deepest + 2).as_bytes()));
}

#[test]
fn members_and_items_are_handed_out() {
    let text = br#" { "a" : 1 , "b":[ "x" ,{}, []], "":null } "#;
    let mut json = Cursor::new(text).unwrap();
    let mut seen = Vec::new();
    let place = json.object(|json, name| {
        if name == b"b" {
            return json.array(|json| {
                let place = json.value()?;
                seen.push(json.raw(&place));
                Some(())
            });
        }
        seen.push(name);
        let place = json.value()?;
        seen.push(json.raw(&place));
        Some(())
    });
    assert_eq!(json.raw(&place.unwrap()), text.trim_ascii());
    assert!(json.end().is_some());
    assert_eq!(seen, [&b"a"[..], b"1", b"\"x\"", b"{}", b"[]", b"", b"null"]);
}

#[test]
fn members_and_items_are_refused_where_they_are_none() {
    let object = |text: &[u8]| Cursor::new(text).unwrap().object(|json, _| json.value().map(drop)).is_some();
    assert!(object(b"{}") && object(b"{\"a\":1}"));
    for text in
        ["", "[]", "{", "{\"a\":1", "{\"a\":1,}", "{\"a\":1]", "{\"a\" 1}", "{a:1}", "{\"\\u0061\":1}"]
    {
        assert!(!object(text.as_bytes()), "{text}");
    }
    let array = |text: &[u8]| Cursor::new(text).unwrap().array(|json| json.value().map(drop)).is_some();
    assert!(array(b"[]") && array(b"[1 , 2]"));
    for text in ["", "{}", "[", "[1", "[1,]", "[1}", "[1 2]"] {
        assert!(!array(text.as_bytes()), "{text}");
    }
}

#[test]
fn quoted_text_reads_back() {
    for text in ["", "m", "a\"b\\c/\u{1}\u{7F}é"] {
        assert_eq!(serde_json::from_str::<String>(&quoted(text)).unwrap(), text);
    }
}

/// Mostly JSON: pieces of it in any order, so that some of what comes out is valid.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "(-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?|true|false|null)",
        r#""([ -!#-\[\]-~]|\\["\\/bfnrtu]|\\u[0-9a-fA-F]{3,4}|é|日){0,60}""#,
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(("[a-z\\\\]{0,3}", inner), 0..4).prop_map(|members| {
                let member = |(name, value)| format!("\"{name}\"\t:{value}");
                format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn the_cursor_agrees_with_serde_json(text in text(), noise in "[ -~\n]{0,3}", at in any::<prop::sample::Index>()) {
        prop_assert_eq!(walks(text.as_bytes()), is_json(text.as_bytes()));
        let mut spoiled = text.into_bytes();
        let at = at.index(spoiled.len() + 1);
        spoiled.splice(at..(at + 1).min(spoiled.len()), noise.into_bytes());
        prop_assert_eq!(walks(&spoiled), is_json(&spoiled), "{}", spoiled.escape_ascii());
    }
}
