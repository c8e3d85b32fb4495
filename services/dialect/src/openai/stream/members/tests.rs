//! The one pass against a search for each name.

use proptest::prelude::*;

use super::*;

/// The text from the value on, for every member of this name.
fn values<'a>(data: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let quoted = format!("\"{name}\"");
    let ends: Vec<_> = data.match_indices(&quoted).map(|(at, _)| at + quoted.len()).collect();
    ends.into_iter().filter_map(|end| {
        let after = data[end..].trim_ascii_start();
        after.strip_prefix(':').map(str::trim_ascii_start)
    })
}

fn searched(data: &str) -> Members {
    let begins = |name, first: char| values(data, name).any(|value| value.starts_with(first));
    let filled = |name| {
        let items = values(data, name).filter_map(|value| value.strip_prefix('['));
        items.map(str::trim_ascii_start).any(|items| !items.is_empty() && !items.starts_with(']'))
    };
    let texts = |name| {
        let strings = values(data, name).filter_map(|value| value.strip_prefix('"'));
        strings.map(length).sum()
    };
    Members {
        choices: values(data, "choices").next().is_some(),
        finish: begins("finish_reason", '"'),
        usage: begins("usage", '{'),
        error: begins("error", '{') || begins("error", '"'),
        audio: begins("audio", '{'),
        calls: filled("tool_calls") || begins("function_call", '{'),
        parts: filled("content"),
        content: texts("content"),
        arguments: texts("arguments"),
        refusal: texts("refusal"),
        reasoning: texts("reasoning"),
        reasoning_content: texts("reasoning_content"),
        text: texts("text"),
    }
}

/// Bytes up to the quote that closes a string.
fn length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

#[test]
fn members_are_found_wherever_they_lie() {
    for before in 0..20 {
        for after in 0..20 {
            let data = format!("{}\"usage\":{{{}", ":".repeat(before), ":".repeat(after));
            assert!(Members::of(data.as_bytes()).usage, "{data}");
        }
    }
}

#[test]
fn every_name_is_told_from_those_like_it() {
    let names = [
        "choices",
        "finish_reason",
        "usage",
        "error",
        "audio",
        "function_call",
        "tool_calls",
        "content",
        "arguments",
        "refusal",
        "reasoning",
        "reasoning_content",
        "text",
    ];
    for name in names {
        for value in
            ["\"text\"", "{}", "{\"x\":1}", "[]", "[ ]", "[ 7 ]", "null", "", "\"a\\\"b\\\\\"", "\"open"]
        {
            for written in [name.to_owned(), format!("x{name}"), format!("{name}s"), format!("\\\"{name}")] {
                for space in ["", " ", "\n\t "] {
                    let data = format!("{{\"{written}\"{space}:{space}{value}");
                    assert_eq!(Members::of(data.as_bytes()), searched(&data), "{data}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_search_for_each_name_finds(
        pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![
                "\"choices\"", "\"finish_reason\"", "\"usage\"", "\"error\"", "\"audio\"", "\"function_call\"",
                "\"tool_calls\"", "\"content\"", "\"arguments\"", "\"refusal\"", "\"reasoning\"",
                "\"reasoning_content\"", "\"text\"", "content", ":", " : ", ":\"", ":{", ":[", ": [ ]", ":[{", ",", "\"", "\\\"", "}",
            ]).prop_map(str::to_owned),
            "[ -~é]{0,12}",
        ], 0..40)
    ) {
        let data = pieces.concat();
        // Names side by side share a quote, which JSON never does; nor does it have a name right behind a colon.
        prop_assume!(!data.contains("content\"content") && !data.contains("\"\"") && !data.contains(":\"text\":"));
        prop_assert_eq!(Members::of(data.as_bytes()), searched(&data), "{}", data);
    }
}
